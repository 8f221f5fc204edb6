"""Writes the held-out problems that the package ships: `python -m synthflow.demo.heldout`.

Invariant: the file is a function of SEED and SIZE, byte for byte; a test makes it again and compares.
"""

from __future__ import annotations

import json

from synthflow.demo import heldout_path
from synthflow.demo.world import FAMILIES, MAX_OPS, generate_problems

SEED = 20
PER_CELL = 10
SIZE = PER_CELL * MAX_OPS * len(FAMILIES)


def render() -> str:
    """The whole file: PER_CELL problems for every (n_ops, family)."""
    rows = (p.to_row() for p in generate_problems(SIZE, seed=SEED, split="heldout"))
    return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)


if __name__ == "__main__":
    heldout_path().write_text(render(), encoding="utf-8")
