"""`label.signals`: what a trainer reads from step values, as measurements of steps and rollouts.

Invariants: every step that its label stage valued has one row of each signal, null with the reason `undecided` where a
value it needs is; every labelled rollout has its regret. Signals depend on the rollouts of one group only. Nothing is
sampled.

Of steps: `progress_reward`, `termination_advantage`, `advantage_normalised`; of rollouts: `regret`. `signals` has the
formulas; progress itself is the advantage in step_values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field

from synthflow import ids
from synthflow.contracts import Coverage, Estimate, Inputs, Services, Stage, StageConfig, StageInfo
from synthflow.rollouts.groups import GROUP
from synthflow.rollouts.views import check_verdicts, verdicts
from synthflow.schema import SCORES
from synthflow.stages.label.training_signals import (
    normalised,
    normalised_regret,
    progress_rewards,
    termination_advantages,
)

STEP_SIGNALS = ("progress_reward", "termination_advantage", "advantage_normalised")


class SignalsConfig(StageConfig):
    """Fields of `label.signals`."""

    labels: str | None = Field(None, description="the label stage whose values count; null where there is one")
    verdicts: str | None = Field(None, description="the verify stage whose verdicts count; null where there is one")
    budget: int = Field(1024, ge=1, description="regret: tokens over which the area under the values is taken")
    weight: float = Field(1.0, ge=0.0, description="progress_reward: weight of progress beside the outcome's 0 or 1")


class Signals(Stage):
    """Progress rewards, termination advantages, normalised advantages, regret."""

    use = "label.signals"
    version = "1"
    Config = SignalsConfig
    reads = ("steps", "step_values", "rollouts", "scores")
    writes = ("scores",)
    covers = Coverage("steps", "step_id", {"scores": "target_id"})
    summary = "Turn step values into progress rewards, termination and normalised advantages, and regret."

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        yield from check_verdicts(ancestors, self.config.verdicts)
        known = [a.name for a in ancestors if "step_values" in a.writes]
        if self.config.labels is not None and self.config.labels not in known:
            what = f"{self.config.labels!r} is not a label stage above this one"
            yield "labels", what, f"known: {', '.join(known) or 'none'}"
        elif not known:
            yield "of", "no stage above this one values steps", "read one such as label.monte_carlo"
        elif self.config.labels is None and len(known) > 1:
            yield "labels", f"several label stages above: {', '.join(known)}", "say which with labels: NAME"

    def estimate(self, upstream: Estimate) -> Estimate:
        rows = upstream.rows.get("steps", 0) * len(STEP_SIGNALS)
        return Estimate(upstream.problems, upstream.rollouts, rows={"scores": rows})

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        labelled = self._labelled(inputs)
        parts = labelled.partition_by("rollout_id", "labeler", "config_hash", maintain_order=True)
        signals = [self._signals(part) for part in parts]
        steps = pl.concat([labelled.clear().select("problem_id"), *[s[0] for s in signals]], how="diagonal")
        rows = [row for _, row in signals]
        tables = []
        if len(steps):
            group = steps.select(pl.struct(*GROUP, "labeler", "values_hash").rank("dense").cast(pl.Int64) - 1)
            spread = normalised(steps["advantage"].fill_null(float("nan")).to_numpy(), group.to_series().to_numpy())
            steps = steps.with_columns(pl.Series("advantage_normalised", spread))
            tables = [self._scores(steps, "step", "step_id", name, services) for name in STEP_SIGNALS]
            tables.append(self._scores(pl.DataFrame(rows), "rollout", "rollout_id", "regret", services))
        services.count(rows=sum(t.num_rows for t in tables), labelled=len(rows))
        return {"scores": pa.concat_tables([SCORES.empty(), *tables])}

    def _labelled(self, inputs: Inputs) -> pl.DataFrame:
        """Valued steps in order, with their tokens, group and outcome."""
        stage = self.config.labels
        if stage is None:
            stage = next(a.name for a in inputs.ancestors if "step_values" in a.writes)
        values = _frame(
            inputs, stage, "step_values",
            [
                "step_id", "problem_id", "rollout_id", "index", "labeler", "config_hash", "value_before", "value",
                "advantage",
            ],
        )  # fmt: skip
        ends = _frame(inputs, stage, "steps", ["step_id", "token_end"])
        groups = inputs.frame("rollouts", ["rollout_id", "policy_id", "round", "sampling_id"]).unique("rollout_id")
        outcome = verdicts(inputs, self.config.verdicts).select(
            "rollout_id",
            pl.col("verdict").replace_strict({"correct": 1.0, "wrong": 0.0}, default=None).alias("outcome"),
        )
        return (
            values.join(ends, on="step_id", how="left")
            .join(groups, on="rollout_id", how="left")
            .join(outcome, on="rollout_id", how="left")
            .sort("problem_id", "rollout_id", "labeler", "config_hash", "index")
        )

    def _signals(self, part: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, object]]:
        """One rollout under one labeler: its steps' signals, and the row of its regret."""
        before, value = (part[c].cast(pl.Float64).fill_null(float("nan")).to_numpy() for c in ("value_before", "value"))
        values = np.concatenate([before[:1], value])
        given = part["outcome"][0]
        outcome = float("nan") if given is None else float(given)
        ends = part["token_end"]
        regret = float("nan")
        if not ends.has_nulls():
            regret = normalised_regret(values, ends.to_numpy(), self.config.budget)
        first = part.row(0, named=True)
        steps = part.select(
            "problem_id", "policy_id", "round", "sampling_id", "labeler", "step_id", "advantage",
            pl.col("config_hash").alias("values_hash"),
            pl.Series("progress_reward", progress_rewards(values, outcome, self.config.weight)),
            pl.Series("termination_advantage", termination_advantages(values, outcome)),
        )  # fmt: skip
        row = {name: first[name] for name in ("problem_id", "rollout_id", "labeler")}
        return steps, row | {"values_hash": first["config_hash"], "regret": regret}

    def _scores(self, frame: pl.DataFrame, kind: str, key: str, name: str, services: Services) -> pa.Table:
        fields = self.config.model_dump(mode="json", include={"budget", "weight"})
        hashes = {
            (labeler, values): ids.content_id("c", fields, labeler, values)
            for labeler, values in frame.select("labeler", "values_hash").unique().iter_rows()
        }
        of = [hashes[pair] for pair in frame.select("labeler", "values_hash").iter_rows()]
        value = pl.col(name).fill_nan(None)
        return SCORES.conform(
            frame.select(
                "problem_id",
                pl.lit(kind).alias("target_kind"),
                pl.col(key).alias("target_id"),
                pl.lit("measure").alias("kind"),
                pl.lit(name).alias("scorer"),
                pl.lit(self.version).alias("scorer_version"),
                pl.Series("config_hash", of, pl.String),
                pl.lit(None, pl.String).alias("verdict"),
                value.cast(pl.Float32).alias("value"),
                pl.when(value.is_null()).then(pl.lit("undecided")).alias("reason"),
                pl.lit(None, pl.String).alias("detail"),
                pl.lit(services.stage_id).alias("stage_id"),
            ).to_arrow()
        )


def _frame(inputs: Inputs, stage: str, table: str, columns: Sequence[str]) -> pl.DataFrame:
    frame = pl.from_arrow(inputs.of_stage(stage, table, columns))
    assert isinstance(frame, pl.DataFrame)
    return frame
