"""Training examples of the demo policies, by position.

Invariant: batch number s of seed S of a world is a function of these three only: no state, no clock, no worker order.
So a run that was killed and resumed sees exactly the examples it would have seen.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from synthflow.demo.world import WORLDS, make_problem
from synthflow.demo.world_facts import Facts
from synthflow.demo.world_solve import solve

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True, slots=True)
class Mixture:
    """What the batches of a world are made of.

    size: examples of a batch. ops: weight of each number of operations. families: weights other than 1. curriculum:
    (first step at which it holds, most operations).
    """

    size: int
    ops: Mapping[int, float]
    families: Mapping[str, float] = field(default_factory=dict)
    curriculum: tuple[tuple[int, int], ...] = ((0, 10**6),)

    def most_ops(self, step: int) -> int:
        return next(ops for first, ops in reversed(self.curriculum) if step >= first)


MIXTURES = {
    # Short problems are favoured, the long ones stay rare and hard; a family that a small model learns last gets more
    # of the examples; a short warm-up on short problems.
    "short": Mixture(
        size=32,
        ops=dict(zip(range(1, 9), (8.0, 5.0, 3.5, 2.2, 1.5, 1.1, 0.9, 0.7), strict=True)),
        families={"exchange": 3.0},
        curriculum=((0, 2), (150, 4), (400, 8)),
    ),
    # Every step of a long problem is alike: no order to learn them in. A batch has about as many tokens.
    "long": Mixture(size=8, ops=dict.fromkeys(WORLDS["long"].ops, 1.0)),
}


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids of `<bos><user>prompt<assistant>solution<eos>`; the loss starts at `n_prompt`."""

    ids: tuple[int, ...]
    n_prompt: int


def example_text(seed: int, step: int, row: int, world: str = "short") -> tuple[str, str]:
    """(prompt, solution) of one row of one batch, from the train split."""
    rng = random.Random(f"synthflow-demo/batch/{seed}/{step}/{row}")
    mixture, families = MIXTURES[world], tuple(WORLDS[world].families)
    weights = {ops: weight for ops, weight in mixture.ops.items() if ops <= mixture.most_ops(step)}
    n_ops = rng.choices(tuple(weights), tuple(weights.values()))[0]
    family = rng.choices(families, [mixture.families.get(f, 1.0) for f in families])[0]
    problem = make_problem(family=family, n_ops=n_ops, split="train", key=f"batch/{seed}/{step}/{row}")
    return problem.prompt, "\n".join(solve(Facts.from_json(problem.metadata["facts"]), rng))


def batch(tokenizer: PreTrainedTokenizerFast, seed: int, step: int, world: str = "short") -> list[Example]:
    """The examples of one optimizer step, sorted by length so that neighbours pad little."""
    rows = [example_text(seed, step, row, world) for row in range(MIXTURES[world].size)]
    core = tokenizer.backend_tokenizer
    prompts = core.encode_batch([f"<|bos|><|user|>{p}<|assistant|>" for p, _ in rows], add_special_tokens=False)
    answers = core.encode_batch([f"{s}<|eos|>" for _, s in rows], add_special_tokens=False)
    examples = [Example(tuple(p.ids) + tuple(a.ids), len(p.ids)) for p, a in zip(prompts, answers, strict=True)]
    return sorted(examples, key=lambda e: len(e.ids))
