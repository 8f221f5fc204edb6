"""Whole responses: one that is right against one that is wrong, of one group.

Invariants: both are first rollouts of the same problem, policy, round and sampling, both were judged, and no filter
drops either. Rollouts with the same text count once. An unknown verdict is on neither side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from synthflow import ids
from synthflow.curriculum.groups import GROUP
from synthflow.mining.choose import Candidate, Side

MAX_SIDE = 64
"""Rollouts considered on each side of a group (or as many as pairs are wanted), those with the smallest ids: what is
compared grows with the square of them."""


def usable(judged: pl.DataFrame) -> pl.DataFrame:
    """Rollouts that may stand in a pair: judged correct or wrong, kept, with a text; each text once a group."""
    return (
        judged.filter(
            pl.col("verdict").is_in(["correct", "wrong"]), pl.col("dropped").is_null(), pl.col("completion") != ""
        )
        .sort("rollout_id")
        .unique([*GROUP, "verdict", "completion_hash"], keep="first", maintain_order=True)
    )


def candidates(rows: Sequence[Mapping[str, Any]], most: int) -> list[Candidate]:
    """All pairs of right and wrong of one problem's usable rollouts, group by group."""
    limit = max(MAX_SIDE, most)
    groups: dict[tuple[Any, ...], tuple[list[Side], list[Side]]] = {}
    for row in rows:
        right, wrong = groups.setdefault(tuple(row[c] for c in GROUP), ([], []))
        value = float(row["verdict"] == "correct")
        side = Side(row["rollout_id"], row["completion"], row["n_tokens"], value, value, value)
        (right if value else wrong).append(side)
    return [
        Candidate("verdict", ids.NO_PREFIX, "", chosen, rejected, 0.0, True)
        for right, wrong in groups.values()
        for chosen in right[:limit]
        for rejected in wrong[:limit]
    ]
