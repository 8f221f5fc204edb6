"""Groups: the first rollouts of one problem by one policy in one round under one sampling.

Invariant: pass rate belongs to a group, never to a problem alone. It is correct / (correct + wrong); unknown verdicts
count in neither, so a group of failures to judge is undecided and not a zero. What filters drop still counts: they
say what to train on, not what the policy can do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

GROUP = ("problem_id", "policy_id", "round", "sampling_id")
"""The columns of a group: the key of problem_stats."""

MIN_JUDGED = 2
"""Fewest judged rollouts that decide a group's state (our default): one can be neither mixed nor unanimous."""


def group_counts(rollouts: pl.DataFrame, min_judged: int = MIN_JUDGED) -> pl.DataFrame:
    """Counts and state of each group.

    Args:
        rollouts: first rollouts with the columns of `GROUP`, `verdict` (correct, wrong, unknown or null) and
            `finish_reason`.
        min_judged: fewest judged rollouts for a state other than undecided.

    Returns:
        The columns of `GROUP`, n, n_correct, n_wrong, n_unknown, n_truncated and group_state (all_correct, mixed,
        all_wrong or undecided), one row a group, sorted by `GROUP`.
    """
    correct, wrong = pl.col("n_correct"), pl.col("n_wrong")
    return (
        rollouts.group_by(GROUP)
        .agg(
            pl.len().alias("n"),
            (pl.col("verdict") == "correct").sum().alias("n_correct"),
            (pl.col("verdict") == "wrong").sum().alias("n_wrong"),
            (pl.col("finish_reason") == "length").sum().alias("n_truncated"),
        )
        .with_columns(pl.col("n", "n_correct", "n_wrong", "n_truncated").cast(pl.Int32))
        .with_columns(
            (pl.col("n") - correct - wrong).alias("n_unknown"),
            pl.when(correct + wrong < min_judged)
            .then(pl.lit("undecided"))
            .when(wrong == 0)
            .then(pl.lit("all_correct"))
            .when(correct == 0)
            .then(pl.lit("all_wrong"))
            .otherwise(pl.lit("mixed"))
            .alias("group_state"),
        )
        .sort(GROUP)
    )


def by_group(rows: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Rows of each group, in order."""
    found: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in GROUP), []).append(row)
    return list(found.values())
