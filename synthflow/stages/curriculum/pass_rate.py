"""`curriculum.pass_rate`: how often a policy solves each problem.

Invariants: one row of problem_stats a group (problem, policy, round, sampling), from first rollouts only; a problem
without any has a row in `rejects`, never a pass rate of 0. The rank in a curriculum needs all problems, so it is null
here and `curriculum.order` writes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field, field_validator

from synthflow.contracts import Coverage, Estimate, Inputs, Services, Stage, StageConfig, StageInfo
from synthflow.rollouts.groups import GROUP, MIN_JUDGED, group_counts
from synthflow.rollouts.problem_measures import problem_rejects
from synthflow.rollouts.views import check_verdicts, first_rollouts, verdicts
from synthflow.schema import PROBLEM_STATS
from synthflow.stages.curriculum.bins import DEFAULT_BINS, bin_names, bin_problem
from synthflow.statistics.intervals import wilson


class PassRateConfig(StageConfig):
    """Fields of `curriculum.pass_rate`."""

    verdicts: str | None = Field(None, description="the verify stage whose verdicts count; null where there is one")
    min_judged: int = Field(MIN_JUDGED, ge=1, description="fewest judged rollouts that decide a group's state")
    bins: dict[str, float] = Field(
        dict(DEFAULT_BINS),
        description="name of each bin to its upper edge, in order; 0 is impossible, 1 perfect, too few undecided",
    )

    @field_validator("bins")
    @classmethod
    def _usable(cls, bins: dict[str, float]) -> dict[str, float]:
        problem = bin_problem(bins)
        if problem is not None:
            raise ValueError(problem)
        return bins


class PassRate(Stage):
    """Pass rate, interval and difficulty bin of every problem."""

    use = "curriculum.pass_rate"
    version = "1"
    Config = PassRateConfig
    reads = ("problems", "rollouts", "scores")
    writes = ("problem_stats",)
    covers = Coverage("problems", "problem_id", {"problem_stats": "problem_id"})
    summary = "Pass rate, Wilson interval, group state and difficulty bin of every problem."

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        return check_verdicts(ancestors, self.config.verdicts)

    def estimate(self, upstream: Estimate) -> Estimate:
        return Estimate(upstream.problems, upstream.rollouts, rows={"problem_stats": upstream.problems})

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        rollouts = first_rollouts(inputs, ["rollout_id", *GROUP, "finish_reason"]).unique("rollout_id")
        judged = verdicts(inputs, self.config.verdicts, ["verdict"])
        counts = group_counts(rollouts.join(judged, on="rollout_id", how="left"), self.config.min_judged)
        stats = self._rates(counts, services.stage_id)
        problems = inputs.frame("problems", ["problem_id"], nearest=True)["problem_id"].unique()
        missing = problems.filter(~problems.is_in(stats["problem_id"].implode())).sort()
        services.count(
            rows=stats.height,
            correct=int(stats["n_correct"].sum()),
            wrong=int(stats["n_wrong"].sum()),
            unknown=int(stats["n_unknown"].sum()),
        )
        rejects = problem_rejects(missing.to_list(), ["no_rollouts"] * len(missing), services.stage_id)
        return {"problem_stats": PROBLEM_STATS.conform(stats.to_arrow()), "rejects": rejects}

    def _rates(self, stats: pl.DataFrame, stage_id: str) -> pl.DataFrame:
        correct = stats["n_correct"].to_numpy().astype(np.float64)
        judged = correct + stats["n_wrong"].to_numpy()
        low, high = wilson(correct, judged)
        rate = np.divide(correct, judged, out=np.full(len(judged), np.nan), where=judged > 0)
        known = pl.Series(rate, dtype=pl.Float64).fill_nan(None)
        decided = pl.col("group_state") != "undecided"
        return stats.with_columns(
            known.cast(pl.Float32).alias("pass_rate"),
            pl.Series("pass_low", low, pl.Float32).fill_nan(None),
            pl.Series("pass_high", high, pl.Float32).fill_nan(None),
            (1 - known).cast(pl.Float32).alias("difficulty"),
            bin_names(pl.when(decided).then(pl.lit(known)), self.config.bins).alias("difficulty_bin"),
            pl.lit(None, pl.Int64).alias("curriculum_rank"),
            pl.lit(stage_id).alias("stage_id"),
        )
