"""`mine.unpaired`: which rollouts are positives, which negatives, and with what weight.

Invariants: every first rollout has one measure in `scores` (scorer `mine.RULE`): above 0 it is a positive of that
weight, below 0 a negative, null neither, with the reason; a rollout that a filter drops, or that is empty, is neither.
A rule looks at one group only, and draws no seed: where it takes one of several, ids, which are hashes, decide.

Rules, from the papers' repositories where the papers leave it open:

- `all`: right ones +1, wrong ones -1.
- `psr`, `nsr`, `weighted` (Zhu et al. 2025, arXiv 2506.01347): right ones alone; wrong ones alone; right ones with
  λ = 0.1 beside wrong ones with 1.
- `redi` (Xu et al. 2025, arXiv 2505.24850): of each group the first positive, and the first negative where there is a
  positive too; first by sampling index. With `consensus`, positive is what all the verify stages named call correct.
- `oreal` (Lyu et al. 2025, arXiv 2502.06781): of each mixed group one right and one wrong rollout, at random (the
  smallest id, which is a hash); the negative with weight 0.5. The pass rate is in `detail`, as counts.
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
from synthflow.schema import SCORES
from synthflow.stages.mine.outcomes import OutcomeConfig, check_outcomes, outcomes, reject_rows

Rule = Literal["all", "psr", "nsr", "weighted", "redi", "oreal"]
SCORER = "mine."

_RIGHT, _USABLE = pl.col("right"), pl.col("usable")
_SIDE = [*GROUP, "right", "usable"]


class UnpairedConfig(OutcomeConfig):
    """Fields of `mine.unpaired`."""

    rule: Rule = Field("all", description="which rollouts are taken, and with what weight")
    consensus: tuple[str, ...] | None = Field(
        None, min_length=2, description="verify stages that must all say correct of a positive, in place of verdicts"
    )
    positive_weight: float = Field(0.1, gt=0.0, le=1.0, description="weighted: λ, the weight of right ones")
    negative_weight: float = Field(0.5, gt=0.0, le=1.0, description="oreal: the weight of wrong ones")

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.consensus is not None:
            if self.verdicts is not None:
                raise ValueError("consensus says whose verdicts count: leave verdicts out")
            if len(set(self.consensus)) < len(self.consensus):
                raise ValueError("consensus: each stage once")
        return self


class Unpaired(Stage):
    """Positives and negatives with weights."""

    use = "mine.unpaired"
    version = "1"
    marks_examples = True
    Config = UnpairedConfig
    reads = ("rollouts", "scores")
    writes = ("scores",)
    covers = Coverage("rollouts", "rollout_id", {"scores": "target_id"})
    summary = "Positives and negatives with weights, unpaired: PSR, NSR, weighted, REDI, OREAL."

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        return check_outcomes(ancestors, self.config, self.config.consensus)

    def estimate(self, upstream: Estimate) -> Estimate:
        return Estimate(upstream.problems, upstream.rollouts, rows={"scores": upstream.rollouts})

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        found, others = outcomes(inputs, self.config, self.config.consensus)
        n_right, n_known = _RIGHT.sum().over(GROUP), _RIGHT.count().over(GROUP)
        marked = found.with_columns(
            (_RIGHT.is_not_null() & pl.col("dropped").is_null() & (pl.col("completion") != "")).alias("usable"),
            (n_right.cast(pl.String) + " of " + n_known.cast(pl.String) + " right").alias("detail"),
        )
        weighed = marked.with_columns(_reason(self.config.rule).alias("reason")).with_columns(
            pl.when(pl.col("reason").is_null()).then(self._weight()).alias("value")
        )
        scores = weighed.select(
            "problem_id",
            pl.lit("rollout").alias("target_kind"),
            pl.col("rollout_id").alias("target_id"),
            pl.lit("measure").alias("kind"),
            pl.lit(SCORER + self.config.rule).alias("scorer"),
            pl.lit(self.version).alias("scorer_version"),
            pl.lit(self._config_hash()).alias("config_hash"),
            pl.lit(None, pl.String).alias("verdict"),
            pl.col("value").cast(pl.Float32),
            "reason",
            "detail",
            pl.lit(services.stage_id).alias("stage_id"),
        )
        services.count(
            rows=scores.height,
            positives=int((scores["value"] > 0).sum()),
            negatives=int((scores["value"] < 0).sum()),
        )
        return {"scores": SCORES.conform(scores.to_arrow()), "rejects": reject_rows(others, services.stage_id)}

    def _weight(self) -> pl.Expr:
        config = self.config
        positive = config.positive_weight if config.rule == "weighted" else 1.0
        negative = config.negative_weight if config.rule == "oreal" else 1.0
        return pl.when(_RIGHT).then(positive).otherwise(-negative)

    def _config_hash(self) -> str:
        return ids.content_id("c", self.config.model_dump(mode="json", exclude={"use", "of"}))


def _reason(rule: Rule) -> pl.Expr:
    """Why a rollout is neither positive nor negative; null where it is one."""
    usable = [
        (_RIGHT.is_null(), pl.col("why_not")),
        (pl.col("dropped").is_not_null(), pl.lit("filtered: ") + pl.col("dropped")),
        (~_USABLE, pl.lit("empty")),
    ]
    return pl.coalesce(*(pl.when(applies).then(reason) for applies, reason in [*usable, *_RULES[rule]]))


def _has(right: bool) -> pl.Expr:
    """Whether the group has a usable rollout of that side."""
    return (_USABLE & (_RIGHT if right else ~_RIGHT)).any().over(GROUP)


_FIRST = pl.struct("index", "rollout_id").rank("ordinal").over(_SIDE) == 1
_DRAWN = pl.col("rollout_id").rank("ordinal").over(_SIDE) == 1
_ALL_CORRECT, _ALL_WRONG = (_RIGHT.all().over(GROUP), (~_RIGHT).all().over(GROUP))
"""Of the known ones: null is ignored."""

_RULES: Mapping[str, list[tuple[pl.Expr, pl.Expr]]] = {
    "all": [],
    "weighted": [],
    "psr": [(~_RIGHT, pl.lit("wrong"))],
    "nsr": [(_RIGHT, pl.lit("right"))],
    "redi": [(~_RIGHT & ~_has(True), pl.lit("no_positive")), (~_FIRST, pl.lit("not_first"))],
    "oreal": [
        (_ALL_CORRECT, pl.lit("group_all_correct")),
        (_ALL_WRONG, pl.lit("group_all_wrong")),
        (~(_has(True) & _has(False)), pl.lit("no_partner")),
        (~_DRAWN, pl.lit("not_drawn")),
    ],
}
