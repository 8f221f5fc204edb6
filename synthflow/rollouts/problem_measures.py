"""What the stages that order or weigh problems write: measures on a problem, ranks among them, and rejects.

Invariants: the ranks of a stage are 0, 1, 2, … without gaps or ties; a rank is a measure whose scorer is the stage's
`use`, its `detail` the rank as a whole number, its `value` the same as a float, exact up to 2^24.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pyarrow as pa

from synthflow.contracts import Inputs, Services
from synthflow.schema import REJECTS

RANKERS = ("curriculum.order", "curriculum.bandit", "curriculum.reestimate")
"""Stages whose ranks exports follow; of several above an export, the last."""

REPEATS = "curriculum.repeats"
"""The stage that says how often a problem is repeated."""


def measure_rows(
    frame: pl.DataFrame,
    scorer: str,
    version: str,
    config_hash: str,
    value: pl.Expr,
    detail: pl.Expr,
    services: Services,
    reason: pl.Expr | None = None,
) -> pl.DataFrame:
    """Rows of `scores`, a measure on each problem of `frame` (column problem_id)."""
    return frame.select(
        "problem_id",
        pl.lit("problem").alias("target_kind"),
        pl.col("problem_id").alias("target_id"),
        pl.lit("measure").alias("kind"),
        pl.lit(scorer).alias("scorer"),
        pl.lit(version).alias("scorer_version"),
        pl.lit(config_hash).alias("config_hash"),
        pl.lit(None, pl.String).alias("verdict"),
        value.cast(pl.Float32).alias("value"),
        (pl.lit(None, pl.String) if reason is None else reason).alias("reason"),
        detail.alias("detail"),
        pl.lit(services.stage_id).alias("stage_id"),
    )


def rank_rows(frame: pl.DataFrame, scorer: str, version: str, config_hash: str, services: Services) -> pl.DataFrame:
    """Rows of `scores` that give each problem of `frame` its row number as rank."""
    rank = pl.int_range(pl.len())
    return measure_rows(frame, scorer, version, config_hash, rank, rank.cast(pl.String), services)


def problem_rejects(problems: Sequence[str], reasons: Sequence[str], stage_id: str) -> pa.Table:
    """Rows of `rejects`, one a problem."""
    return REJECTS.conform(
        pl.DataFrame(
            {"problem_id": problems, "target_id": problems, "reason": reasons},
            schema={"problem_id": pl.String, "target_id": pl.String, "reason": pl.String},
        )
        .with_columns(
            pl.lit("problem").alias("target_kind"),
            pl.lit(None, pl.Float32).alias("score"),
            pl.lit(stage_id).alias("stage_id"),
        )
        .to_arrow()
    )


def problem_measure(part: Inputs, stage: str, scorer: str) -> pl.DataFrame:
    """problem_id, value and detail of one measure of a stage; each problem once."""
    scores = pl.from_arrow(part.of_stage(stage, "scores"))
    assert isinstance(scores, pl.DataFrame)
    wanted = (pl.col("target_kind") == "problem") & (pl.col("scorer") == scorer) & (pl.col("kind") == "measure")
    return (
        scores.filter(wanted)
        .select(pl.col("target_id").alias("problem_id"), "value", "detail")
        .unique("problem_id", keep="first", maintain_order=True)
    )
