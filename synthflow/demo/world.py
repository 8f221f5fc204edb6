"""The demo world: word problems with known facts, made from a seed.

Invariant: problem number i of (seed, split, ops) is a function of these four and nothing else, so any part
of the stream can be made again on any machine; the two splits share no sentence pattern of the prompt, no
(name, object) pair, and therefore no template.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synthflow.demo.world_facts import Facts
from synthflow.demo.world_families import packs, purchases, sharing, transfers
from synthflow.demo.world_groups import comparisons, exchange, production
from synthflow.demo.world_long import purse, till
from synthflow.demo.world_solve import solve
from synthflow.demo.world_story import Story
from synthflow.demo.world_words import Split

FAMILIES: dict[str, Callable[[Story, int], Facts]] = {
    "transfers": transfers,
    "purchases": purchases,
    "packs": packs,
    "sharing": sharing,
    "production": production,
    "comparisons": comparisons,
    "exchange": exchange,
}
MAX_OPS = 8
MAX_VALUE = 999


@dataclass(frozen=True, slots=True)
class World:
    """Families, the numbers of operations that each of them has problems of, and the source that rows name."""

    families: Mapping[str, Callable[[Story, int], Facts]]
    ops: tuple[int, ...]
    source: str


WORLDS: dict[str, World] = {
    "short": World(FAMILIES, tuple(range(1, MAX_OPS + 1)), "synthflow-demo"),
    "long": World({"till": till, "purse": purse}, tuple(range(8, 17)), "synthflow-demo-long"),
}


@dataclass(frozen=True, slots=True)
class DemoProblem:
    """One problem. `metadata` is JSON and enough for `check_steps` and `reference_solutions`."""

    prompt: str
    answer: str
    n_ops: int
    family: str
    template: str
    metadata: dict[str, Any]

    def to_row(self) -> dict[str, Any]:
        """The line of a problems file: prompt, answer, source, domain, metadata."""
        return {
            "prompt": self.prompt,
            "answer": self.answer,
            "source": world_of(self.family).source,
            "domain": "math",
            "metadata": self.metadata,
        }


def world_of(family: str) -> World:
    """The world that a family belongs to. Raises ValueError when there is none."""
    for world in WORLDS.values():
        if family in world.families:
            return world
    raise ValueError(f"family must be one of {', '.join(f for w in WORLDS.values() for f in w.families)}")


def make_problem(*, family: str, n_ops: int, split: Split, key: str) -> DemoProblem:
    """The problem of `family` with exactly n_ops operations that `key` stands for."""
    if split not in ("train", "heldout"):
        raise ValueError(f"split must be 'train' or 'heldout', not {split!r}")
    world = world_of(family)
    if n_ops not in world.ops:
        raise ValueError(f"n_ops must be {world.ops[0]}..{world.ops[-1]}, not {n_ops}")
    rng = random.Random(f"synthflow-demo/{split}/{family}/{n_ops}/{key}")
    while True:
        story = Story(rng, split, n_ops)
        try:
            facts = world.families[family](story, n_ops)
        except ValueError:  # numbers that do not divide: draw again from the same stream
            continue
        if facts.n_ops == n_ops and all(1 <= q.value <= MAX_VALUE for q in facts.quantities):
            break
    template = f"{split}/{family}/" + "-".join(story.template)
    metadata = {"n_ops": n_ops, "family": family, "template": template, "facts": facts.to_json()}
    return DemoProblem(" ".join(story.lines), str(facts.gold), n_ops, family, template, metadata)


def generate_problems(
    n: int,
    *,
    seed: int,
    split: Split,
    ops: Sequence[int] | None = None,
    families: Sequence[str] | None = None,
    world: str = "short",
) -> Iterator[DemoProblem]:
    """n problems, balanced over `ops` and `families` (round robin; None: all of the world), no prompt twice.

    Raises ValueError when a wanted world, number of operations or family does not exist.
    """
    if world not in WORLDS:
        raise ValueError(f"world must be one of {', '.join(WORLDS)}, not {world!r}")
    known = WORLDS[world]
    ops = known.ops if ops is None else ops
    families = tuple(known.families) if families is None else families
    if n < 0 or not ops or not families or any(f not in known.families for f in families):
        raise ValueError("n must be >= 0, ops and families non-empty and known")
    seen: set[int] = set()
    for i in range(n):
        n_ops, family = ops[i % len(ops)], families[(i // len(ops)) % len(families)]
        attempt = 0
        while True:
            problem = make_problem(family=family, n_ops=n_ops, split=split, key=f"{seed}/{i}/{attempt}")
            attempt += 1
            if hash_text(problem.prompt) not in seen:
                break
        seen.add(hash_text(problem.prompt))
        yield problem


def hash_text(text: str) -> int:
    """A 64-bit content hash that is the same on every machine."""
    import hashlib

    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def reference_solutions(problem: DemoProblem, k: int, seed: int) -> list[list[str]]:
    """Up to k different valid solutions, each a list of lines; fewer when the problem has no more."""
    facts = Facts.from_json(problem.metadata["facts"])
    rng = random.Random(f"synthflow-demo/solutions/{seed}/{problem.prompt}")
    out: list[list[str]] = []
    for _ in range(4 * k):
        if len(out) == k:
            break
        lines = solve(facts, rng)
        if lines not in out:
            out.append(lines)
    return out
