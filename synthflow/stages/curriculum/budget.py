"""`curriculum.budget`: how many further rollouts each problem gets, from the pass rates of those it has.

Invariants: of every problem with a pass rate there are two measures in `scores`: `curriculum.budget`, whose `detail` is
the number of further rollouts as a whole number, and `curriculum.budget.p_mixed`, the chance that its group will then
be mixed, whose `detail` is the group as JSON; any other problem stands in `rejects` and gets none. `sample.more` reads
them. The budget is a mean over the problems with a pass rate, so that a part of them (a pilot) is treated like all.

It needs all problems at once, and holds one row of counts for each; it samples nothing, so that rollouts are never
held in memory for the whole run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field, model_validator

from synthflow import ids
from synthflow.contracts import Coverage, Estimate, Inputs, Services, Stage, StageConfig, StageInfo
from synthflow.errors import UserError
from synthflow.rollouts.first_wave import BUDGET, FORECAST, check_first_wave, first_wave, group_costs
from synthflow.rollouts.groups import GROUP
from synthflow.rollouts.problem_measures import measure_rows, problem_rejects
from synthflow.schema import SCORES
from synthflow.stages.curriculum.allocation import (
    Method,
    One,
    Rules,
    Solver,
    ValueOf,
    Wave,
    Zero,
    allocate,
    mixed_forecast,
)
from synthflow.stages.curriculum.knapsack import JEFFREYS, Floats, Ints
from synthflow.stages.curriculum.rates import largest_groups

_SCHEMA = {
    "problem_id": pl.String,
    "policy_id": pl.String,
    "round": pl.Int32,
    "sampling_id": pl.String,
    "n": pl.Int32,
    "n_correct": pl.Int32,
    "n_wrong": pl.Int32,
    "tokens": pl.Float64,
}


class BudgetConfig(StageConfig):
    """Fields of `curriculum.budget`. Rollouts or tokens: exactly one of the two budgets."""

    rollouts: str | None = Field(None, description="the sample stage whose groups grow; null where there is one")
    rollouts_per_problem: float | None = Field(
        None, gt=0, le=100_000, description="budget: further rollouts, on average over the problems"
    )
    tokens_per_problem: float | None = Field(
        None, gt=0, description="budget: further tokens; a rollout costs the mean of those its problem has"
    )
    method: Method = Field("knapsack", description="knapsack, or uniform: the same for every problem")
    solver: Solver = Field(
        "auto", description="auto: greedy where that is exact, else exact where the table is small enough"
    )
    value: ValueOf = Field(
        "seen",
        description="seen: given the first wave, so that a mixed group gains no more; fresh: of N rollouts of which "
        "nothing is known but the pass rate (Knapsack RL's form)",
    )
    prior: Annotated[float, Field(ge=0, le=100)] | Literal["fitted"] = Field(
        JEFFREYS,
        description="Beta(prior, prior) that smooths pass rates; 0: none; fitted: the Beta distribution that the first "
        "wave is likeliest under, over which values are expected",
    )
    n_min: int = Field(0, ge=0, le=10_000, description="fewest rollouts of a problem, those it has included")
    n_max: int = Field(128, ge=1, le=10_000, description="most rollouts of a problem, those it has included")
    zero: Zero = Field(
        "explore",
        description="problems with pass rate 0: skip (nothing), minimum (n_min), explore (a share of the budget, "
        "evenly) or posterior (like all others)",
    )
    explore_share: float = Field(0.5, ge=0, le=1, description="share of the budget that explore reserves")
    one: One = Field("posterior", description="problems with pass rate 1: skip, minimum or posterior")

    @model_validator(mode="after")
    def _fits(self) -> BudgetConfig:
        if (self.rollouts_per_problem is None) == (self.tokens_per_problem is None):
            raise ValueError("give rollouts_per_problem or tokens_per_problem, and not both")
        if self.n_min > self.n_max:
            raise ValueError(f"n_min {self.n_min} is above n_max {self.n_max}")
        return self

    def rules(self) -> Rules:
        return Rules(**self.model_dump(include=set(Rules.__dataclass_fields__)))


class Budget(Stage):
    """Divide a budget of further rollouts or tokens among all problems of the run."""

    use = BUDGET
    version = "1"
    sets_budgets = True
    Config = BudgetConfig
    scope = "whole"
    reads = ("problem_stats", "rollouts")
    writes = ("scores",)
    covers = Coverage("problem_stats", "problem_id", {"scores": "target_id"})
    summary = "Divide a budget of further rollouts among problems by their pass rates: knapsack or uniform."

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        mistakes = [*check_first_wave(ancestors, self.config.rollouts)]
        yield from mistakes
        if mistakes:
            return
        first = first_wave(ancestors, self.config.rollouts)
        n, given = int(first.config["n"]), self.config.rollouts_per_problem
        if self.config.n_max <= n:
            what = f"{self.config.n_max} is no more than the {n} rollouts that {first.name!r} samples already"
            yield "n_max", what, f"raise it above {n}"
        elif given is not None and self.config.n_min > n + given:
            what = f"{self.config.n_min} of every problem are more than the {n} of {first.name!r} and {given:g} further"
            yield "n_min", what, f"lower it to {n + int(given)}, or raise rollouts_per_problem"

    def estimate(self, upstream: Estimate) -> Estimate:
        per, tokens = self.config.rollouts_per_problem, self.config.tokens_per_problem
        asked = {"rollouts": upstream.problems * per} if per is not None else {"tokens": upstream.problems * tokens}
        asked["most"] = upstream.problems * self.config.n_max
        rows = {"scores": 2 * upstream.problems}
        return Estimate(upstream.problems, upstream.rollouts, rows=rows, asked=asked)

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """Measures of every problem with a pass rate, and rejects.

        Raises:
            UserError: if `n_min` takes more than the budget, or the exact solver is asked for more than it can hold.
        """
        first = first_wave(inputs.ancestors, self.config.rollouts).name
        parts = [(largest_groups(p), group_costs(p, first)) for p in inputs.partitions()]
        groups = [stats.join(costs, on=GROUP, how="inner").select(list(_SCHEMA)) for stats, costs in parts]
        found = pl.concat([pl.DataFrame(schema=_SCHEMA), *groups]).unique("problem_id", keep="first").sort("problem_id")
        every = pl.concat([pl.Series("problem_id", [], pl.String), *(stats["problem_id"] for stats, _ in parts)])
        known = found.filter(pl.col("n_correct") + pl.col("n_wrong") > 0)
        other = every.unique().sort()
        other = other.filter(~other.is_in(known["problem_id"].implode()))
        in_group = other.is_in(found["problem_id"].implode()).to_list()
        reasons = ["no_pass_rate" if judged else "no_group" for judged in in_group]
        extra, forecast = self._divide(known)
        services.count(rows=known.height, extra_rollouts=int(extra.sum()), rejected=len(other))
        return {
            "scores": self._scores(known, extra, forecast, services),
            "rejects": problem_rejects(other.to_list(), reasons, services.stage_id),
        }

    def _divide(self, known: pl.DataFrame) -> tuple[Ints, Floats]:
        n, correct, wrong = (known[c].to_numpy().astype(np.int64) for c in ("n", "n_correct", "n_wrong"))
        per, cost = self.config.rollouts_per_problem, np.ones_like(n)
        if per is None:
            if known["tokens"].null_count():
                raise UserError(
                    f"stage {self.name!r}: tokens_per_problem needs the number of tokens of every rollout, and a "
                    "server told none; give rollouts_per_problem in its place"
                )
            per, cost = self.config.tokens_per_problem, np.ceil(known["tokens"].to_numpy()).astype(np.int64)
        budget = int(per * known.height)
        cost = np.maximum(1, cost)  # empty completions cost something, too
        wave = Wave(n, correct, wrong, cost)
        try:
            extra = allocate(wave, budget, self.config.rules())
        except ValueError as error:
            raise UserError(
                f"stage {self.name!r}: {error}; lower n_min, raise the budget, or take another solver"
            ) from error
        return extra, mixed_forecast(wave, extra, self.config.prior)

    def _scores(self, known: pl.DataFrame, extra: Ints, forecast: Floats, services: Services) -> pa.Table:
        own = self.config.model_dump(mode="json", exclude={"use", "of"})
        made = known.with_columns(pl.Series("extra", extra), pl.Series("p_mixed", forecast))
        group = pl.struct(*GROUP[1:], "n", "n_correct", "n_wrong", "extra").struct.json_encode()
        common, extra_rollouts = (self.version, ids.content_id("c", own)), pl.col("extra")
        measures = [
            measure_rows(made, BUDGET, *common, extra_rollouts, extra_rollouts.cast(pl.String), services),
            measure_rows(made, FORECAST, *common, pl.col("p_mixed"), group, services),
        ]
        return SCORES.conform(pl.concat(measures).to_arrow())
