"""`curriculum.order`: every problem's place in a curriculum, over the whole run.

Invariants: the ranks of a run are 0, 1, 2, … without gaps or ties; equal pass rates are ordered by problem_id, which is
a hash, so that neither the order of the input nor the partitions decide. A problem whose pass rate nobody knows has no
rank and a row in `rejects`.

A rank is a measure on the problem in `scores` (scorer `curriculum.order`): its `detail` is the rank as a whole
number, its `value` the same as a float, exact up to 2^24. Memory is one row of counts a problem.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import polars as pl
import pyarrow as pa
from pydantic import Field

from synthflow import ids
from synthflow.contracts import Coverage, Inputs, Services, Stage, StageConfig, Volume
from synthflow.schema import REJECTS, SCORES

SCORER = "curriculum.order"


class OrderConfig(StageConfig):
    """Fields of `curriculum.order`."""

    by: Literal["pass_rate"] = Field("pass_rate", description="what orders the problems")
    direction: Literal["easy_to_hard", "hard_to_easy"] = Field("easy_to_hard", description="which come first")


class Order(Stage):
    """Rank all problems of the run, easy to hard or hard to easy."""

    use = SCORER
    version = "1"
    Config = OrderConfig
    scope = "whole"
    reads = ("problem_stats",)
    writes = ("scores",)
    covers = Coverage("problem_stats", "problem_id", {"scores": "target_id"})
    summary = "Rank all problems of the run by pass rate."

    def estimate(self, upstream: Volume) -> Volume:
        return Volume(upstream.problems, upstream.rollouts, rows={"scores": upstream.problems})

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        wanted = ["problem_id", "round", "n_correct", "n_wrong"]
        parts = [_latest(part.frame("problem_stats", wanted, nearest=True)) for part in inputs.partitions()]
        rates = pl.concat(parts) if parts else _latest(inputs.frame("problem_stats", wanted, nearest=True))
        known = rates.filter(pl.col("rate").is_not_null()).sort(
            "rate", "problem_id", descending=[self.config.direction == "easy_to_hard", False]
        )
        unknown = rates.filter(pl.col("rate").is_null()).sort("problem_id")
        services.count(rows=known.height)
        return {"scores": self._scores(known, services), "rejects": _rejects(unknown, services)}

    def _scores(self, known: pl.DataFrame, services: Services) -> pa.Table:
        config_hash = ids.content_id("c", self.config.model_dump(mode="json", include={"by", "direction"}))
        rank = pl.int_range(pl.len())
        frame = known.select(
            "problem_id",
            pl.lit("problem").alias("target_kind"),
            pl.col("problem_id").alias("target_id"),
            pl.lit("measure").alias("kind"),
            pl.lit(SCORER).alias("scorer"),
            pl.lit(self.version).alias("scorer_version"),
            pl.lit(config_hash).alias("config_hash"),
            pl.lit(None, pl.String).alias("verdict"),
            rank.cast(pl.Float32).alias("value"),
            pl.lit(None, pl.String).alias("reason"),
            rank.cast(pl.String).alias("detail"),
            pl.lit(services.stage_id).alias("stage_id"),
        )
        return SCORES.conform(frame.to_arrow())


def _latest(stats: pl.DataFrame) -> pl.DataFrame:
    """One pass rate a problem: of its latest round, its policies and samplings pooled (our default)."""
    correct, wrong = pl.col("n_correct").sum(), pl.col("n_wrong").sum()
    return (
        stats.filter(pl.col("round") == pl.col("round").max().over("problem_id"))
        .group_by("problem_id")
        .agg(pl.when(correct + wrong > 0).then(correct / (correct + wrong)).alias("rate"))
    )


def _rejects(unknown: pl.DataFrame, services: Services) -> pa.Table:
    frame = unknown.select(
        "problem_id",
        pl.lit("problem").alias("target_kind"),
        pl.col("problem_id").alias("target_id"),
        pl.lit("no_pass_rate").alias("reason"),
        pl.lit(None, pl.Float32).alias("score"),
        pl.lit(services.stage_id).alias("stage_id"),
    )
    return REJECTS.conform(frame.to_arrow())
