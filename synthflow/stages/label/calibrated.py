"""`label.calibrated`: process scores brought into line with how the rollout ended.

Invariants: over a rollout the advantages add up to its verdict (1 or 0) minus its group's pass rate, whatever the
scores say, wherever all of them are known; the steps are those of the labeler whose scores are read, and so is the
first error; nothing is sampled. Rows depend on a rollout's group only.

PPR ("Hybrid Reward Normalization for Process-supervised Non-verifiable Agentic Tasks", 2025) calibrates scores of steps
with the outcome, so that what pays for a step does not come apart from what ends well; the formula of its ReNorm is not
public. Ours, `centred`: with s_k the score of step k of T, m the mean of the scores of all steps but last ones in the
group, p the group's pass rate, o the verdict and w the weight,

    V_0 = p,   V_k = p + w (s_k - m) for 0 < k < T,   V_T = o,   A_k = V_k - V_{k-1}.

That is the outcome's advantage o - p, paid at the end, and a potential w (s_k - m) that is 0 at both ends: shaping of
the form of Ng, Harada and Russell (1999, with gamma 1), which moves credit between steps and adds none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl
import pyarrow as pa
from pydantic import Field

from synthflow import ids
from synthflow.contracts import Coverage, Estimate, Inputs, Services, Stage, StageConfig, StageInfo
from synthflow.rollouts.groups import GROUP, group_counts
from synthflow.rollouts.step_rows import reject_rows
from synthflow.rollouts.views import check_verdicts, first_rollouts, verdicts
from synthflow.schema import STEP_VALUES, STEPS

LABELER, VERSION = "calibrated", "1"


class CalibratedConfig(StageConfig):
    """Fields of `label.calibrated`."""

    values: str | None = Field(None, description="the label stage whose scores are calibrated; null where there is one")
    verdicts: str | None = Field(None, description="the verify stage that says the outcome; null where there is one")
    weight: float = Field(1.0, ge=0, le=1000, description="of the scores against the outcome; 0: the outcome alone")


class Calibrated(Stage):
    """Process scores, centred within their group, beside the outcome."""

    use = "label.calibrated"
    version = VERSION
    Config = CalibratedConfig
    reads = ("rollouts", "scores", "steps", "step_values")
    writes = ("steps", "step_values")
    covers = Coverage("rollouts", "rollout_id", {"step_values": "rollout_id"})
    summary = "Process scores calibrated with the outcome: advantages that add up to it. Samples nothing."

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        yield from check_verdicts(ancestors, self.config.verdicts)
        known, wanted = _label_stages(ancestors), self.config.values
        if wanted is not None and wanted not in known:
            yield "values", f"{wanted!r} is no label stage above this one", f"known: {', '.join(known) or 'none'}"
        elif wanted is None and not known:
            yield "of", "no label stage above this one", "read one that scores steps, such as label.judge"
        elif wanted is None and len(known) > 1:
            yield "values", f"several label stages above: {', '.join(known)}", "say which with values: NAME"

    def estimate(self, upstream: Estimate) -> Estimate:
        rows = {name: upstream.rows.get(name, 0.0) for name in self.writes}
        return Estimate(upstream.problems, upstream.rollouts, rows=rows, note="samples nothing")

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """The steps again, their calibrated values, and rejects."""
        config: CalibratedConfig = self.config
        source = config.values if config.values is not None else _label_stages(inputs.ancestors)[-1]
        scored = _frame(inputs, source, "step_values")
        judged = (
            first_rollouts(inputs, ["rollout_id", *GROUP, "finish_reason"])
            .unique("rollout_id", keep="first", maintain_order=True)
            .join(verdicts(inputs, config.verdicts).select("rollout_id", "verdict"), on="rollout_id", how="inner")
        )
        judged = judged.join(group_counts(judged).drop("n"), on=GROUP, how="inner")
        outcomes = judged.join(scored.select("rollout_id"), on="rollout_id", how="semi")
        values = calibrate(scored, outcomes, config.weight).with_columns(
            pl.lit(LABELER).alias("labeler"),
            pl.lit(VERSION).alias("labeler_version"),
            self._hash(scored).alias("config_hash"),
            pl.lit("reward").alias("scale"),
            pl.lit(services.stage_id).alias("stage_id"),
        )
        steps = _frame(inputs, source, "steps").join(values.select("step_id"), on="step_id", how="semi")
        rejects = _rejects(inputs, judged, values)
        services.count(rows=values["rollout_id"].n_unique(), steps=values.height, rejected=len(rejects))
        return {
            "steps": STEPS.conform(steps.with_columns(pl.lit(services.stage_id).alias("stage_id")).to_arrow()),
            "step_values": STEP_VALUES.conform(values.select(STEP_VALUES.names).to_arrow()),
            "rejects": reject_rows(rejects, services.stage_id),
        }

    def _hash(self, scored: pl.DataFrame) -> pl.Expr:
        """H(weight, and who gave the scores)."""
        behind = pl.concat_str("labeler", "labeler_version", "config_hash", "policy_id", separator="|")
        known = scored.select(behind.unique()).to_series().to_list()
        hashed = {one: ids.content_id("c", LABELER, self.config.weight, one) for one in known}
        return behind.replace_strict(hashed, default=None, return_dtype=pl.String)


def calibrate(scored: pl.DataFrame, outcomes: pl.DataFrame, weight: float) -> pl.DataFrame:
    """Calibrated values of steps, by the formula above.

    Args:
        scored: rows of step_values; a value that is null or no finite number is unknown.
        outcomes: rollout_id, the columns of `GROUP`, verdict, and n_correct and n_wrong of the group; rows of rollouts
            that are not here are left out.
        weight: of the scores.

    Returns:
        The rows with value_before, value, advantage and what depends on them replaced, sorted by rollout and index.
    """
    score = pl.when(pl.col("value").is_finite()).then(pl.col("value").cast(pl.Float64))
    outcome = pl.col("verdict").replace_strict({"correct": 1.0, "wrong": 0.0}, default=None, return_dtype=pl.Float64)
    judged = pl.col("n_correct") + pl.col("n_wrong")
    rate = pl.when(judged > 0).then(pl.col("n_correct") / judged)
    series = ("rollout_id", "labeler", "config_hash")
    is_last = pl.col("index") == pl.col("index").max().over(*series)
    nothing = pl.lit(None, pl.Float32)
    return (
        scored.join(outcomes.select("rollout_id", *GROUP[1:], "verdict", "n_correct", "n_wrong"), on="rollout_id",
                    how="inner", suffix="_writer")
        .sort(*series, "index")
        .with_columns(score.alias("_score"), is_last.alias("_is_last"), rate.alias("_rate"), outcome.alias("_outcome"))
        .with_columns(
            pl.when(~pl.col("_is_last")).then(pl.col("_score")).mean()
            .over("problem_id", "policy_id_writer", "round", "sampling_id", "labeler", "config_hash").alias("_mean")
        )
        .with_columns(
            pl.when(pl.col("_is_last")).then(pl.col("_outcome"))
            .otherwise(pl.col("_rate") + weight * (pl.col("_score") - pl.col("_mean"))).alias("_value")
        )
        .with_columns(
            pl.when(pl.col("index") == 0).then(pl.col("_rate"))
            .otherwise(pl.col("_value").shift(1).over(*series)).alias("_before")
        )
        .with_columns(
            pl.col("_value").cast(pl.Float32).alias("value"),
            pl.col("_before").cast(pl.Float32).alias("value_before"),
            (pl.col("_value") - pl.col("_before")).cast(pl.Float32).alias("advantage"),
            nothing.alias("advantage_se"), nothing.alias("value_low"), nothing.alias("value_high"),
            *(pl.lit(0, scored.schema[name]).alias(name) for name in ("n", "successes", "n_unknown", "tokens_spent")),
        )
        .select(scored.columns)
    )  # fmt: skip


def _label_stages(ancestors: Sequence[StageInfo]) -> list[str]:
    return [a.name for a in ancestors if "step_values" in a.writes]


def _frame(inputs: Inputs, stage: str, table: str) -> pl.DataFrame:
    frame = pl.from_arrow(inputs.of_stage(stage, table))
    assert isinstance(frame, pl.DataFrame)
    return frame


def _rejects(inputs: Inputs, judged: pl.DataFrame, values: pl.DataFrame) -> list[tuple[Any, ...]]:
    """Rollouts without calibrated values: those that the labeler did not label, and those without an outcome."""
    return (
        inputs.frame("rollouts", ["problem_id", "rollout_id", "condition"], nearest=True)
        .join(values.select("rollout_id"), on="rollout_id", how="anti")
        .join(judged.select("rollout_id", "verdict"), on="rollout_id", how="left")
        .select(
            "problem_id",
            "rollout_id",
            pl.when(pl.col("condition") != "none")
            .then(pl.lit("not_first_rollout"))
            .when(pl.col("verdict").is_null())
            .then(pl.lit("no_verdict"))
            .otherwise(pl.lit("no_step_values"))
            .alias("reason"),
        )
        .unique()
        .sort("problem_id", "rollout_id")
        .rows()
    )
