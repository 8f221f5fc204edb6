"""`mine.advantages`: what each rollout's reward says of it within its group, by the estimators of several methods.

Invariants: an advantage is a measure in `scores` (scorer `advantage.NAME`) of its rollout, null with a reason where it
is not defined; it depends on the rollout's own group only. What filters drop counts in a group as in `curriculum`:
a baseline is what the policy does, not what is trained on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Self

import polars as pl
import pyarrow as pa
from pydantic import Field, model_validator

from synthflow import ids
from synthflow.contracts import Coverage, Estimate, Inputs, Services, Stage, StageInfo
from synthflow.rollouts.groups import GROUP
from synthflow.rollouts.scores import check_scorer, numbers
from synthflow.schema import SCORES
from synthflow.stages.mine.estimators import BINARY, Estimator, Knobs, columns
from synthflow.stages.mine.outcomes import OutcomeConfig, check_outcomes, outcomes, reject_rows


class AdvantagesConfig(OutcomeConfig):
    """Fields of `mine.advantages`."""

    estimators: tuple[Estimator, ...] = Field(("grpo",), min_length=1, description="which advantages are written")
    include_branches: bool | tuple[str, ...] = Field(
        False,
        description="judged continuations that join the group of their original: of the stages named; true: of all "
        "above that sample and judge some, but for label stages, whose continuations are estimates",
    )
    reward: str | None = Field(
        None, description="STAGE or STAGE/SCORER whose number is the reward; null: 1 for right, 0 for wrong"
    )
    std: Literal["sample", "population"] = Field("sample", description="grpo: divide squares by n - 1, or by n")
    eps: float = Field(1e-4, ge=0.0, le=1.0, description="grpo: added to the standard deviation")
    positive_weight: float = Field(0.1, ge=0.0, le=1.0, description="weighted: λ, the weight of right ones")
    negative_factor: float = Field(0.5, ge=0.0, le=1.0, description="oreal: factor of the advantage of wrong ones")
    prompt_weight: Literal["one_minus", "sqrt"] = Field(
        "one_minus", description="nft: weight of a problem of pass rate r: 1 - r, or sqrt((1 - r) / r)"
    )

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if len(set(self.estimators)) < len(self.estimators):
            raise ValueError("estimators: each once")
        binary = [name for name in self.estimators if name in BINARY]
        if self.reward is not None and binary:
            raise ValueError(f"reward: {binary[0]} knows right and wrong only; leave reward out, or {binary[0]}")
        return self


class Advantages(Stage):
    """Advantages of rollouts within their groups."""

    use = "mine.advantages"
    version = "1"
    weighs_rollouts = True
    Config = AdvantagesConfig
    reads = ("rollouts", "scores")
    writes = ("scores",)
    covers = Coverage("rollouts", "rollout_id", {"scores": "target_id"})
    summary = "Advantages of rollouts within their groups: GRPO, RLOO, PSR/NSR, OREAL, and the columns of NFT."

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        yield from check_outcomes(ancestors, self.config)
        yield from check_scorer(ancestors, "reward", self.config.reward)
        wanted, known = self.config.include_branches, _sampling_and_judging(ancestors)
        if wanted is True and not branch_stages(ancestors, True):
            yield "include_branches", "no stage above samples branches and judges them", "leave it out"
        elif not isinstance(wanted, bool):
            for i, name in enumerate(wanted):
                if name not in known:
                    what = f"{name!r} is not a stage above that samples and judges"
                    yield f"include_branches.{i}", what, f"known: {', '.join(known) or 'none'}"

    def estimate(self, upstream: Estimate) -> Estimate:
        rows = upstream.rollouts * len(self.config.estimators)
        return Estimate(upstream.problems, upstream.rollouts, rows={"scores": rows})

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        branches = branch_stages(inputs.ancestors, self.config.include_branches)
        found, others = outcomes(inputs, self.config, branches=branches)
        # Sorted within the group, so that a sum of floats is the same in every partition.
        rewarded = self._rewarded(inputs, found).sort(*GROUP, "rollout_id")
        of_group = (
            (pl.col("reward") == 1).sum().over(GROUP).cast(pl.String)
            + pl.lit(" of ")
            + pl.col("reward").count().over(GROUP).cast(pl.String)
            + pl.lit(" right" if self.config.reward is None else " at 1")
        )
        common = (
            pl.lit("rollout").alias("target_kind"),
            pl.col("rollout_id").alias("target_id"),
            pl.lit("measure").alias("kind"),
            pl.lit(self.version).alias("scorer_version"),
            pl.lit(self._config_hash()).alias("config_hash"),
            pl.lit(None, pl.String).alias("verdict"),
            of_group.alias("detail"),
            pl.lit(services.stage_id).alias("stage_id"),
        )
        frames = [
            rewarded.select(
                "problem_id",
                *common,
                pl.lit(column.scorer).alias("scorer"),
                column.value.cast(pl.Float32).alias("value"),
                pl.coalesce("why_not", column.why_not).alias("reason"),
            )
            for estimator in self.config.estimators
            for column in columns(estimator, self._knobs())
        ]
        scores = pl.concat(frames).sort("problem_id", "target_id", "scorer")
        services.count(rows=scores.height, unknown=int(rewarded["reward"].null_count()))
        return {
            "scores": SCORES.conform(scores.select(SCORES.names).to_arrow()),
            "rejects": reject_rows(others, services.stage_id),
        }

    def _rewarded(self, inputs: Inputs, found: pl.DataFrame) -> pl.DataFrame:
        """`reward`, null with a reason in `why_not`."""
        if self.config.reward is None:
            return found.with_columns(pl.col("right").cast(pl.Float64).alias("reward"))
        named = found.join(numbers(inputs, self.config.reward), on="rollout_id", how="left")
        return named.with_columns(
            pl.col("number").alias("reward"),
            pl.when(pl.col("number").is_null()).then(pl.lit("no_reward")).alias("why_not"),
        )

    def _knobs(self) -> Knobs:
        config = self.config
        return Knobs(config.std, config.eps, config.positive_weight, config.negative_factor, config.prompt_weight)

    def _config_hash(self) -> str:
        return ids.content_id("c", self.config.model_dump(mode="json", exclude={"use", "of", "estimators"}))


def _sampling_and_judging(ancestors: Sequence[StageInfo]) -> list[str]:
    return [a.name for a in ancestors if {"rollouts", "scores"} <= set(a.writes)]


def branch_stages(ancestors: Sequence[StageInfo], wanted: bool | Sequence[str]) -> list[str]:
    """Names of the stages whose continuations join their originals' groups."""
    if not isinstance(wanted, bool):
        return list(wanted)
    sampling = {a.name for a in ancestors if a.has("writes_rollouts")}
    return [name for name in _sampling_and_judging(ancestors) if name in sampling] if wanted else []
