"""What every stage that judges rollouts knows before it asks anybody.

Invariant: a rollout that continues a prefix is no answer by itself: whoever samples continuations judges them, so here
it is a reject. One that has no end of its own (refused, failed, poison, truncated) is judged by how it ended,
everywhere alike.
"""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from synthflow.contracts import UNANSWERED, Judgement
from synthflow.schema import REJECTS


def split(rollouts: pl.DataFrame, stage_id: str) -> tuple[pl.DataFrame, pa.Table]:
    """Rollouts that stand for themselves, and rejects for those that continue a prefix."""
    is_continuation = pl.col("condition") == "prefix"
    rejects = rollouts.filter(is_continuation).select(
        "problem_id",
        pl.lit("rollout").alias("target_kind"),
        pl.col("rollout_id").alias("target_id"),
        pl.lit("continuation").alias("reason"),
        pl.lit(None, pl.Float32).alias("score"),
        pl.lit(stage_id).alias("stage_id"),
    )
    return rollouts.filter(~is_continuation), REJECTS.conform(rejects.to_arrow())


def verdict_from_finish_reason(finish_reason: str | None, truncated: str) -> Judgement | None:
    """What a rollout's ending says already; None if somebody is to be asked.

    Args:
        truncated: what one is that ended at the token limit: `unknown`, `wrong`, or `judge`, as if it had ended.
    """
    if finish_reason in UNANSWERED:
        return Judgement.unknown(finish_reason)
    if finish_reason != "length" or truncated == "judge":
        return None
    return Judgement("wrong", 0.0, "truncated") if truncated == "wrong" else Judgement.unknown("truncated")
