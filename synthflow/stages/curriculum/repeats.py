"""`curriculum.repeats`: how often each problem is repeated in training, by its pass rate.

Invariants: of every problem with a pass rate there is one row in `scores`: a measure with the number of repeats, or,
where it is 0, a filter's row that drops the problem, which every export heeds and gives as its reason; a problem
without a pass rate stands in `rejects` and is neither repeated nor dropped.

The default table is OREAL's (Exploring the Limit of Outcome Reward): six times below .2, four times below .6, twice
below .8, and dropped from .8 on.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import pyarrow as pa
from pydantic import Field, model_validator

from synthflow import ids
from synthflow.contracts import Coverage, Estimate, Inputs, Services, Stage, StageConfig
from synthflow.rollouts.problem_measures import REPEATS, measure_rows, problem_rejects
from synthflow.schema import SCORES
from synthflow.stages.curriculum.rates import largest_groups, latest_rates

OREAL_EDGES, OREAL_TIMES = (0.2, 0.4, 0.6, 0.8), (6, 4, 4, 2, 0)


class RepeatsConfig(StageConfig):
    """Fields of `curriculum.repeats`."""

    edges: tuple[float, ...] = Field(
        OREAL_EDGES, description="pass rates, rising, at which the next number of repeats begins"
    )
    times: tuple[int, ...] = Field(
        OREAL_TIMES, description="repeats below the first edge, between edges, and from the last on; 0 drops"
    )

    @model_validator(mode="after")
    def _fits(self) -> RepeatsConfig:
        edges = list(self.edges)
        if any(low >= high for low, high in zip([0.0, *edges], edges, strict=False)):
            raise ValueError(f"edges must rise from above 0; found {edges}")
        if len(self.times) != len(edges) + 1:
            raise ValueError(f"{len(edges)} edges need {len(edges) + 1} times; found {len(self.times)}")
        if any(not 0 <= times <= 10_000 for times in self.times):
            raise ValueError("times must be whole numbers from 0 to 10000")
        return self


class Repeats(Stage):
    """Say how often each problem is repeated, by its pass rate; 0 drops it."""

    use = REPEATS
    version = "1"
    repeats_problems = True
    Config = RepeatsConfig
    reads = ("problem_stats",)
    writes = ("scores",)
    covers = Coverage("problem_stats", "problem_id", {"scores": "target_id"})
    summary = "How often to repeat each problem in training, by its pass rate (OREAL)."

    def estimate(self, upstream: Estimate) -> Estimate:
        return Estimate(upstream.problems, upstream.rollouts, rows={"scores": upstream.problems})

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        rates = latest_rates(largest_groups(inputs))
        known = rates.filter(pl.col("rate").is_not_null()).with_columns(self._times().alias("times"))
        unknown = rates.filter(pl.col("rate").is_null())["problem_id"].to_list()
        own = ids.content_id("c", self.config.model_dump(mode="json", exclude={"use", "of"}))
        dropped = pl.col("times") == 0
        why = pl.when(dropped).then(pl.format("pass rate {} is repeated 0 times", pl.col("rate").round(4)))
        scores = measure_rows(
            known, REPEATS, self.version, own, pl.col("times"), pl.col("times").cast(pl.String), services, why
        ).with_columns(pl.when(pl.col("value") == 0).then(pl.lit("filter")).otherwise(pl.col("kind")).alias("kind"))
        gone = int(known.select(dropped.sum()).item())
        services.count(rows=known.height, dropped=gone, repeats=int(known["times"].sum()))
        return {
            "scores": SCORES.conform(scores.to_arrow()),
            "rejects": problem_rejects(unknown, ["no_pass_rate"] * len(unknown), services.stage_id),
        }

    def _times(self) -> pl.Expr:
        bins = [
            pl.when(pl.col("rate") < edge).then(pl.lit(times, pl.Int32))
            for edge, times in zip(self.config.edges, self.config.times, strict=False)
        ]
        return pl.coalesce(*bins, pl.lit(self.config.times[-1], pl.Int32))
