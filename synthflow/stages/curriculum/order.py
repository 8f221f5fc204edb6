"""`curriculum.order`: every problem's place in a curriculum, over the whole run.

Invariants: the ranks of a run are 0, 1, 2, … without gaps or ties (`ranks`); equal pass rates are ordered by
problem_id, which is a hash, so that neither the order of the input nor the partitions decide. A problem whose pass
rate nobody knows has no rank and a row in `rejects`. Memory is one row of counts a problem.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import polars as pl
import pyarrow as pa
from pydantic import Field, field_validator

from synthflow import ids
from synthflow.contracts import Coverage, Estimate, Inputs, Services, Stage, StageConfig
from synthflow.rollouts.problem_measures import problem_rejects, rank_rows
from synthflow.schema import SCORES
from synthflow.stages.curriculum import orders
from synthflow.stages.curriculum.bins import DEFAULT_BINS, bin_problem
from synthflow.stages.curriculum.rates import rates_of_run

SCORER = "curriculum.order"


class OrderConfig(StageConfig):
    """Fields of `curriculum.order`."""

    by: Literal["pass_rate", "cyclic", "annealed"] = Field(
        "pass_rate",
        description="pass_rate: sorted; cyclic: passes over the bins; annealed: drawn, with weights that move",
    )
    direction: Literal["easy_to_hard", "hard_to_easy"] = Field("easy_to_hard", description="which come first")
    seed: int = Field(0, ge=0, description="of cyclic and annealed: another seed is another draw")
    bins: dict[str, float] = Field(
        dict(DEFAULT_BINS), description="of cyclic: name of each bin to its upper edge, as in curriculum.pass_rate"
    )
    cycles: int = Field(4, ge=1, le=10_000, description="of cyclic: passes over the bins")
    phases: int = Field(10, ge=1, le=1000, description="of annealed: steps in which the weights move")
    temperature: float = Field(0.1, gt=0, le=100, description="of annealed: width of the weights, in pass rate")

    @field_validator("bins")
    @classmethod
    def _usable(cls, bins: dict[str, float]) -> dict[str, float]:
        problem = bin_problem(bins)
        if problem is not None:
            raise ValueError(problem)
        return bins


class Order(Stage):
    """Rank all problems of the run: sorted, in cycles, or drawn with weights that move."""

    use = SCORER
    version = "1"
    orders_problems = True
    Config = OrderConfig
    scope = "whole"
    reads = ("problem_stats",)
    writes = ("scores",)
    covers = Coverage("problem_stats", "problem_id", {"scores": "target_id"})
    summary = "Rank all problems of the run by pass rate: sorted, in cycles, or annealed."

    def check(self, ancestors: object) -> Iterable[tuple[str, str, str]]:
        for field, kinds in _ONLY.items():
            is_default = getattr(self.config, field) == OrderConfig.model_fields[field].default
            if self.config.by not in kinds and not is_default:
                yield field, f"by: {self.config.by} does not read it", f"remove it, or say by: {' or '.join(kinds)}"

    def estimate(self, upstream: Estimate) -> Estimate:
        return Estimate(upstream.problems, upstream.rollouts, rows={"scores": upstream.problems})

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        rates = rates_of_run(inputs)
        known = self._ordered(rates.filter(pl.col("rate").is_not_null()))
        unknown = rates.filter(pl.col("rate").is_null())["problem_id"].to_list()
        services.count(rows=known.height)
        own = ids.content_id("c", self.config.model_dump(mode="json", exclude={"use", "of"}))
        return {
            "scores": SCORES.conform(rank_rows(known, SCORER, self.version, own, services).to_arrow()),
            "rejects": problem_rejects(unknown, ["no_pass_rate"] * len(unknown), services.stage_id),
        }

    def _ordered(self, known: pl.DataFrame) -> pl.DataFrame:
        config: OrderConfig = self.config
        easy_first = config.direction == "easy_to_hard"
        if config.by == "cyclic":
            return orders.cyclic(known, config.bins, config.cycles, easy_first, config.seed)
        if config.by == "annealed":
            return orders.annealed(known, config.phases, config.temperature, easy_first, config.seed)
        return orders.by_rate(known, easy_first)


_ONLY = {
    "seed": ("cyclic", "annealed"),
    "bins": ("cyclic",),
    "cycles": ("cyclic",),
    "phases": ("annealed",),
    "temperature": ("annealed",),
}
"""Which orders read a field."""
