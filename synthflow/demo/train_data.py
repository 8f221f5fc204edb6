"""Training examples of the demo policy, by position.

Invariant: batch number s of seed S is a function of (S, s) only: no state, no clock, no worker order. So a
run that was killed and resumed sees exactly the examples it would have seen.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from synthflow.demo.world import FAMILIES, make_problem
from synthflow.demo.world_facts import Facts
from synthflow.demo.world_solve import solve

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# Weight of 1..8 operations in the mixture. Short problems are favoured; the long ones stay rare and hard.
OPS_WEIGHTS = (8.0, 5.0, 3.5, 2.2, 1.5, 1.1, 0.9, 0.7)
# Families that a small model learns last get more of the examples.
HARD_FAMILIES = {"exchange": 3.0}
# (first step at which it holds, most operations): a short warm-up on short problems
CURRICULUM = ((0, 2), (150, 4), (400, 8))


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids of `<bos><user>prompt<assistant>solution<eos>`; the loss starts at `n_prompt`."""

    ids: tuple[int, ...]
    n_prompt: int


def most_ops(step: int) -> int:
    return next(ops for first, ops in reversed(CURRICULUM) if step >= first)


def example_text(seed: int, step: int, row: int) -> tuple[str, str]:
    """(prompt, solution) of one row of one batch, from the train split."""
    rng = random.Random(f"synthflow-demo/batch/{seed}/{step}/{row}")
    limit = most_ops(step)
    n_ops = rng.choices(range(1, limit + 1), OPS_WEIGHTS[:limit])[0]
    family = rng.choices(tuple(FAMILIES), [HARD_FAMILIES.get(f, 1.0) for f in FAMILIES])[0]
    problem = make_problem(family=family, n_ops=n_ops, split="train", key=f"batch/{seed}/{step}/{row}")
    return problem.prompt, "\n".join(solve(Facts.from_json(problem.metadata["facts"]), rng))


def batch(tokenizer: PreTrainedTokenizerFast, seed: int, step: int, size: int) -> list[Example]:
    """The examples of one optimizer step, sorted by length so that neighbours pad little."""
    rows = [example_text(seed, step, row) for row in range(size)]
    core = tokenizer.backend_tokenizer
    prompts = core.encode_batch([f"<|bos|><|user|>{p}<|assistant|>" for p, _ in rows], add_special_tokens=False)
    answers = core.encode_batch([f"{s}<|eos|>" for _, s in rows], add_special_tokens=False)
    examples = [Example(tuple(p.ids) + tuple(a.ids), len(p.ids)) for p, a in zip(prompts, answers, strict=True)]
    return sorted(examples, key=lambda e: len(e.ids))
