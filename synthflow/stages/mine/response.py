"""Whole responses: one that is right against one that is wrong, of one group.

Invariants: both are first rollouts of the same problem, policy, round and sampling, both were judged, and no filter
drops either. Rollouts with the same text count once. An unknown verdict is on neither side, unless the recipe says
that it is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from synthflow import ids
from synthflow.rollouts.groups import GROUP
from synthflow.stages.mine.choose import Candidate, Side
from synthflow.stages.mine.negatives import Negatives, ranked

MAX_SIDE = 64
"""Rollouts considered on each side of a group (or as many as pairs are wanted), those with the smallest ids: what is
compared grows with the square of them."""


def usable(judged: pl.DataFrame, first: str = "rollout_id") -> pl.DataFrame:
    """Rollouts that may stand in a pair: known to be `right` or not, kept, with a text; each text once a group.

    Args:
        first: the column by which the first of those with one text stands for them.
    """
    return (
        judged.filter(pl.col("right").is_not_null(), pl.col("dropped").is_null(), pl.col("completion") != "")
        .sort(first, "rollout_id")
        .unique([*GROUP, "right", "completion_hash"], keep="first", maintain_order=True)
    )


def candidates(
    rows: Sequence[Mapping[str, Any]], most: int, how: Negatives = "even", rule: str = "verdict"
) -> list[Candidate]:
    """All pairs of right and wrong of one problem's usable rollouts that `how` allows, group by group."""
    limit = max(MAX_SIDE, most)
    groups: dict[tuple[Any, ...], tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]] = {}
    for row in rows:
        right, wrong = groups.setdefault(tuple(row[c] for c in GROUP), ([], []))
        (right if row["right"] else wrong).append(row)
    return [
        Candidate(rule, ids.NO_PREFIX, "", _side(chosen), _side(rejected), 0.0, True, rank)
        for right, wrong in groups.values()
        for chosen, rejected, rank in ranked(right, wrong, how, limit)
    ]


def _side(row: Mapping[str, Any]) -> Side:
    value = float(row["right"])
    return Side(row["rollout_id"], row["completion"], row["n_tokens"] or 0, value, value, value)
