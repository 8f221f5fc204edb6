"""Writes the held-out problems that the package ships: `python -m synthflow.demo.heldout`.

Invariant: a world's file is a function of SEED and PER_CELL, byte for byte; a test makes it again and compares.
"""

from __future__ import annotations

import json

from synthflow.demo import heldout_path
from synthflow.demo.world import WORLDS, generate_problems

SEED = 20
PER_CELL = {"short": 10, "long": 12}


def size(world: str) -> int:
    """Problems in a world's file."""
    return PER_CELL[world] * len(WORLDS[world].ops) * len(WORLDS[world].families)


def render(world: str = "short") -> str:
    """The whole file: PER_CELL problems for every (n_ops, family)."""
    rows = (p.to_row() for p in generate_problems(size(world), seed=SEED, split="heldout", world=world))
    return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)


if __name__ == "__main__":
    for name in WORLDS:
        heldout_path(name).write_text(render(name), encoding="utf-8")
