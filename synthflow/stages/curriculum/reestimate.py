"""`curriculum.reestimate`: an earlier order whose batches are sorted again by what the current policy can do (ADCL).

Invariants: ranks as in `ranks`; a problem never leaves its batch of the earlier order, so the curriculum as a whole is
kept. A problem without an earlier pass rate has no rank and stands in `rejects`; one without a current pass rate keeps
its earlier one. Beside its rank a problem that has both has the measure `curriculum.reestimate.shift`: current less
earlier pass rate. Memory is one row a problem.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import polars as pl
import pyarrow as pa
from pydantic import Field

from synthflow import ids
from synthflow.contracts import Coverage, Estimate, Inputs, Services, Stage, StageConfig, StageInfo
from synthflow.rollouts.problem_measures import measure_rows, problem_rejects, rank_rows
from synthflow.schema import SCORES
from synthflow.stages.curriculum.orders import rank_correlation, reestimated
from synthflow.stages.curriculum.rates import check_stats, rates_of_run

SCORER = "curriculum.reestimate"


class ReestimateConfig(StageConfig):
    """Fields of `curriculum.reestimate`."""

    before: str = Field(description="the stage with the pass rates of the earlier order")
    now: str = Field(description="the stage with the current pass rates: a later round, or another policy")
    batch: int = Field(64, ge=1, le=1_000_000, description="problems that are sorted again among themselves")
    direction: Literal["easy_to_hard", "hard_to_easy"] = Field("easy_to_hard", description="which come first")


class Reestimate(Stage):
    """Keep the batches of an earlier order, and sort each by current pass rates."""

    use = SCORER
    version = "1"
    orders_problems = True
    Config = ReestimateConfig
    scope = "whole"
    reads = ("problem_stats",)
    writes = ("scores",)
    covers = Coverage("problem_stats", "problem_id", {"scores": "target_id"})
    summary = "Sort the batches of an earlier order again by current pass rates (ADCL)."

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        yield from check_stats(ancestors, self.config.before, "before")
        yield from check_stats(ancestors, self.config.now, "now")
        if self.config.before == self.config.now:
            yield "now", "it is the stage that `before` names", "name one that counts other rollouts"

    def estimate(self, upstream: Estimate) -> Estimate:
        return Estimate(upstream.problems, upstream.rollouts, rows={"scores": 2 * upstream.problems})

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        now = rates_of_run(inputs, self.config.now).rename({"rate": "now"})
        rates = rates_of_run(inputs, self.config.before).join(
            now, on="problem_id", how="full", coalesce=True, maintain_order="left_right"
        )
        known = reestimated(
            rates.filter(pl.col("rate").is_not_null()), self.config.batch, self.config.direction == "easy_to_hard"
        )
        unknown = rates.filter(pl.col("rate").is_null())["problem_id"].sort().to_list()
        both = known.filter(pl.col("now").is_not_null())
        correlation = rank_correlation(both["rate"].to_numpy(), both["now"].to_numpy())
        counts = {} if correlation is None else {"rank_correlation": correlation}
        services.count(rows=known.height, estimated_again=both.height, **counts)
        own = ids.content_id("c", self.config.model_dump(mode="json", exclude={"use", "of", "before", "now"}))
        shift, detail = pl.col("now") - pl.col("rate"), pl.format("{} -> {}", "rate", "now")
        scores = [
            rank_rows(known, SCORER, self.version, own, services),
            measure_rows(both, f"{SCORER}.shift", self.version, own, shift, detail, services),
        ]
        return {
            "scores": SCORES.conform(pl.concat(scores).to_arrow()),
            "rejects": problem_rejects(unknown, ["no_earlier_pass_rate"] * len(unknown), services.stage_id),
        }
