"""`curriculum.bandit`: an order in which a bandit over categories decides what comes next (SEC).

Invariants: ranks as in `ranks`; beside its rank every problem has two measures that together are the bandit's record:
`curriculum.bandit.p`, the chance with which its category was drawn, and `curriculum.bandit.q`, the category's Q after
the problem's batch. The `detail` of both is JSON, {"arm": category, "batch": number}. A problem without a pass rate has
no reward: it has no rank and stands in `rejects`. Memory is one row a problem.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from synthflow import ids
from synthflow.contracts import Coverage, Estimate, Inputs, Services, Stage, StageConfig, StageInfo
from synthflow.errors import UserError
from synthflow.rollouts.problem_measures import measure_rows, problem_rejects, rank_rows
from synthflow.rollouts.rows import utf8
from synthflow.schema import SCORES
from synthflow.stages.curriculum.bandit import Settings, expected_advantage, play
from synthflow.stages.curriculum.bins import DEFAULT_BINS, bin_names, bin_problem
from synthflow.stages.curriculum.orders import uniforms
from synthflow.stages.curriculum.rates import RATES, largest_groups, latest_rates

SCORER = "curriculum.bandit"
NONE = "none"
"""The category of problems that have no domain, or whose metadata do not say."""
MOST_ARMS = 1000
"""A bandit learns nothing of an arm that it draws once; our default."""
MAX_ARM_CHARS = 200


class BanditConfig(StageConfig):
    """Fields of `curriculum.bandit`."""

    arms: Literal["difficulty_bin", "domain", "metadata"] = Field(
        "difficulty_bin", description="categories: bins of the pass rate, the domain, or a field of the metadata"
    )
    metadata_key: str | None = Field(None, description="of arms: metadata: the field, such as family")
    bins: dict[str, float] = Field(
        dict(DEFAULT_BINS), description="of arms: difficulty_bin: name of each bin to its upper edge"
    )
    learning_rate: float = Field(0.5, gt=0, le=1, description="a of Q <- (1 - a) Q + a reward")
    temperature: float = Field(0.2, gt=0, le=1000, description="of the Boltzmann distribution over Q")
    batch: int = Field(32, ge=1, le=1_000_000, description="problems drawn before Q is updated")
    start: dict[str, float] = Field({}, description="Q of arms to begin with, from an earlier round; others 0")
    seed: int = Field(0, ge=0, description="another seed is another draw")

    @field_validator("bins")
    @classmethod
    def _usable(cls, bins: dict[str, float]) -> dict[str, float]:
        problem = bin_problem(bins)
        if problem is not None:
            raise ValueError(problem)
        return bins

    @model_validator(mode="after")
    def _fits(self) -> BanditConfig:
        if (self.arms == "metadata") != (self.metadata_key is not None):
            raise ValueError("metadata_key goes with arms: metadata, and with nothing else")
        if not all(np.isfinite(list(self.start.values()))):
            raise ValueError("start: Q must be numbers")
        return self


class Bandit(Stage):
    """Order all problems of the run by a bandit over categories, rewarded with the expected absolute advantage."""

    use = SCORER
    version = "1"
    orders_problems = True
    Config = BanditConfig
    scope = "whole"
    reads = ("problem_stats", "problems")
    writes = ("scores",)
    covers = Coverage("problem_stats", "problem_id", {"scores": "target_id"})
    summary = "Order problems by a bandit over categories, rewarded with the absolute advantage (SEC)."

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        if self.config.arms == "difficulty_bin":
            known = {*self.config.bins, "impossible", "perfect"}
            for arm in sorted(set(self.config.start) - known):
                yield "start", f"{arm!r} is not a bin", f"known: {', '.join(sorted(known))}"

    def estimate(self, upstream: Estimate) -> Estimate:
        return Estimate(upstream.problems, upstream.rollouts, rows={"scores": 3 * upstream.problems})

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """Ranks, the bandit's record, and rejects.

        Raises:
            UserError: if there are more arms than `MOST_ARMS`.
        """
        parts = [self._categories(part) for part in inputs.partitions()]
        empty = pl.DataFrame(schema={**RATES, "category": pl.String})
        every = pl.concat([empty, *parts]).unique("problem_id", keep="first").sort("problem_id")
        known = every.filter(pl.col("rate").is_not_null())
        unknown = every.filter(pl.col("rate").is_null())["problem_id"].to_list()
        played = self._play(known)
        services.count(rows=played.height, arms=known["category"].n_unique())
        own = ids.content_id("c", self.config.model_dump(mode="json", exclude={"use", "of"}))
        common = (self.version, own)
        drawn = pl.struct(pl.col("category").alias("arm"), "batch").struct.json_encode()
        scores = [
            rank_rows(played, SCORER, *common, services),
            measure_rows(played, f"{SCORER}.p", *common, pl.col("p"), drawn, services),
            measure_rows(played, f"{SCORER}.q", *common, pl.col("q"), drawn, services),
        ]
        return {
            "scores": SCORES.conform(pl.concat(scores).to_arrow()),
            "rejects": problem_rejects(unknown, ["no_pass_rate"] * len(unknown), services.stage_id),
        }

    def _play(self, known: pl.DataFrame) -> pl.DataFrame:
        """`known` in the order drawn, with p, q and batch. Within an arm problems come in a shuffled order."""
        config: BanditConfig = self.config
        names = sorted(known["category"].unique())
        if len(names) > MOST_ARMS:
            raise UserError(
                f"stage {self.name!r}: {len(names)} arms, such as {names[0]!r}; at most {MOST_ARMS}: choose arms that "
                "hold many problems each"
            )
        draw = uniforms(known["problem_id"], config.seed, "bandit queue")
        arm = known["category"].to_numpy()
        queues = [np.flatnonzero(arm == name) for name in names]
        queues = [queue[np.argsort(draw[queue], kind="stable")] for queue in queues]
        settings = Settings(config.learning_rate, config.temperature, config.batch, config.seed, config.start)
        trace = play(queues, names, expected_advantage(known["rate"].to_numpy()), settings)
        drawn = known.select(pl.all().gather(trace.problem.tolist()))
        return drawn.with_columns(pl.Series("p", trace.p), pl.Series("q", trace.q), pl.Series("batch", trace.batch))

    def _categories(self, part: Inputs) -> pl.DataFrame:
        """problem_id, rate, category of one partition."""
        rates = latest_rates(largest_groups(part))
        if self.config.arms == "difficulty_bin":
            return rates.with_columns(bin_names(pl.col("rate"), self.config.bins).alias("category"))
        column = "domain" if self.config.arms == "domain" else "metadata"
        problems = part.frame("problems", ["problem_id", column]).unique("problem_id", keep="first")
        joined = rates.join(problems, on="problem_id", how="left", maintain_order="left")
        said = joined[column].to_list()
        names = said if column == "domain" else [_field(text, str(self.config.metadata_key)) for text in said]
        category = pl.Series("category", names, pl.String).fill_null(NONE).str.slice(0, MAX_ARM_CHARS)
        return joined.select("problem_id", "rate", category)


def _field(metadata: str | None, key: str) -> str | None:
    """A field of a JSON object as text that Arrow can hold; None where there is none, or nothing that has a text."""
    try:
        found: Any = json.loads(metadata or "{}")
        value = found.get(key) if isinstance(found, dict) else None
        if value is None:
            return None
        return utf8(value if isinstance(value, str) else ids.canonical(value))
    except (ValueError, RecursionError):
        return None
