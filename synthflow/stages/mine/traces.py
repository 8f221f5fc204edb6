"""`mine.traces`: the best correct paths of every problem, by the values of their steps.

Invariant: every whole rollout above has one score of kind filter that keeps or drops it, with the mean value of its
steps as detail; nothing is removed. What is kept depends on the rollouts of one problem only.

rStar-Math (Guan et al. 2025) trains its policy on the correct trajectories of highest mean Q, two a problem by what we
recall of the paper; that the number is `max_per_problem`, and that ties go to fewer tokens and then to the smaller id,
is our default.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import polars as pl
import pyarrow as pa
from pydantic import Field

from synthflow import ids
from synthflow.contracts import Coverage, Estimate, Inputs, Services, Stage, StageConfig, StageInfo
from synthflow.rollouts.labels import check_labels, label_stage, of_stage
from synthflow.rollouts.step_rows import reject_rows
from synthflow.rollouts.views import WHOLE, check_verdicts, dropped, verdicts
from synthflow.schema import SCORES

SCORER = "mine.traces"


class TracesConfig(StageConfig):
    """Fields of `mine.traces`."""

    verdicts: str | None = Field(None, description="the verify stage whose verdicts count; null where there is one")
    labels: str | None = Field(None, description="the label stage whose values count; null: the only one")
    max_per_problem: int = Field(2, ge=1, le=1024, description="correct paths of one problem that are kept")
    min_value: float = Field(0.0, ge=0.0, le=1.0, description="least mean value of the steps of a path that is kept")


class MineTraces(Stage):
    """Keep the best correct paths."""

    use = "mine.traces"
    version = "1"
    Config = TracesConfig
    reads = ("rollouts", "scores", "step_values")
    writes = ("scores",)
    covers = Coverage("rollouts", "rollout_id", {"scores": "target_id"})
    summary = "Keep the correct paths whose steps have the highest mean value."

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        yield from check_verdicts(ancestors, self.config.verdicts)
        yield from check_labels(ancestors, self.config.labels)

    def estimate(self, upstream: Estimate) -> Estimate:
        return Estimate(upstream.problems, upstream.rollouts, rows={"scores": upstream.rollouts})

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """A filter's score for every whole rollout; rejects for continuations and what was put together otherwise."""
        config: TracesConfig = self.config
        read = inputs.frame(
            "rollouts", ["rollout_id", "problem_id", "condition", "n_tokens", "completion_hash"], nearest=True
        )
        read = read.unique("rollout_id", keep="first", maintain_order=True).sort("problem_id", "rollout_id")
        whole = read.filter(pl.col("condition").is_in(WHOLE))
        others = read.filter(~pl.col("condition").is_in(WHOLE)).select(
            "problem_id", "rollout_id", pl.format("condition_{}", "condition")
        )
        values = of_stage(inputs, label_stage(inputs, config.labels), "step_values", ["rollout_id", "value"])
        mean = values.group_by("rollout_id").agg(pl.col("value").cast(pl.Float64).mean().alias("mean"))
        judged = (
            whole.join(verdicts(inputs, config.verdicts).select("rollout_id", "verdict"), on="rollout_id", how="left")
            .join(dropped(inputs, name="reason"), on="rollout_id", how="left")
            .join(mean, on="rollout_id", how="left")
            .with_columns(_why_not(config.min_value).alias("why"))
        )
        ranked = (
            judged.filter(pl.col("why").is_null())
            .sort("problem_id", -pl.col("mean").round(6), "n_tokens", "rollout_id", nulls_last=True)
            .with_columns(
                (pl.col("rollout_id") != pl.col("rollout_id").first().over("problem_id", "completion_hash")).alias(
                    "again"
                )
            )
            .with_columns((~pl.col("again")).cum_sum().over("problem_id").alias("rank"))
            .select(
                "rollout_id",
                pl.when("again")
                .then(pl.lit("repeats a better one"))
                .when(pl.col("rank") > config.max_per_problem)
                .then(pl.format("rank {}", "rank"))
                .alias("lost"),
            )
        )
        told = judged.join(ranked, on="rollout_id", how="left").with_columns(pl.coalesce("why", "lost").alias("why"))
        scores = told.sort("problem_id", "rollout_id").select(
            "problem_id",
            pl.lit("rollout").alias("target_kind"),
            pl.col("rollout_id").alias("target_id"),
            pl.lit("filter").alias("kind"),
            pl.lit(SCORER).alias("scorer"),
            pl.lit(self.version).alias("scorer_version"),
            pl.lit(ids.content_id("c", config.model_dump(mode="json", exclude={"use", "of"}))).alias("config_hash"),
            pl.lit(None, pl.String).alias("verdict"),
            pl.col("why").is_null().cast(pl.Float32).alias("value"),
            pl.col("why").alias("reason"),
            pl.col("mean").round(6).cast(pl.String).alias("detail"),
            pl.lit(services.stage_id).alias("stage_id"),
        )
        kept = int(scores.get_column("value").sum())
        services.count(rows=scores.height, kept=kept, dropped=scores.height - kept)
        return {"scores": SCORES.conform(scores.to_arrow()), "rejects": reject_rows(others.rows(), services.stage_id)}


def _why_not(least: float) -> pl.Expr:
    """Why a path does not take part, whatever the others are."""
    return (
        pl.when(pl.col("verdict").is_null())
        .then(pl.lit("no verdict"))
        .when(pl.col("verdict") != "correct")
        .then(pl.col("verdict"))
        .when(pl.col("reason").is_not_null())
        .then(pl.lit("filtered before"))
        .when(pl.col("mean").is_null())
        .then(pl.lit("no step values"))
        .when(pl.col("mean") < least)
        .then(pl.lit("mean value is below min_value"))
    )
