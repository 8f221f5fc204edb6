"""The rollouts of a partition as columns of observations: one row a first rollout, groups next to each other.

Invariants: rows are sorted by (problem, policy, round, sampling, rollout_id), so a group's rows are a run with one
code; an observation that does not exist (no verdict, no logprobs) is NaN, never 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from synthflow.contracts import Inputs
from synthflow.rollouts.groups import GROUP
from synthflow.rollouts.views import verdicts, verify_stages
from synthflow.schema import TABLES
from synthflow.stages.measure.populations import origins
from synthflow.statistics.metrics import all_metrics
from synthflow.statistics.metrics.metric import RolloutMetric
from synthflow.statistics.metrics.population import Chunk
from synthflow.statistics.texts import MAX_CHARS

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

_IDS = ["rollout_id", "problem_id", "policy_id", "round", "sampling_id", "condition", "parent_rollout_id"]
_CUT = r" \([^()]*cut at .*\)$"  # what a verifier tells behind an answer whose text ran on
_CONTENT = ["rollout_id", "completion", "n_tokens", "finish_reason", "logprobs"]
CHUNK_CHARS = 8_000_000
"""Characters of text worked on at once: bounds memory within a partition of long rollouts."""


@dataclass(frozen=True, slots=True)
class Observed:
    """First rollouts of a partition.

    `rollouts` has rollout_id, problem_id, made_by, text and answer; `group` their group's code; `values` those of
    the rollout metrics, by name; `groups` has problem_id and slice_value by code.
    """

    rollouts: pl.DataFrame
    group: I64
    groups: pl.DataFrame
    values: dict[str, F64]
    origin: pl.DataFrame

    def chunk(self, rows: slice, ngram: int) -> Chunk:
        """Some whole groups, for what is computed a group."""
        values = {name: column[rows] for name, column in self.values.items()}
        return Chunk(self.rollouts[rows], self.group[rows], values, ngram)

    def chunks(self) -> Iterator[slice]:
        """Runs of whole groups with about CHUNK_CHARS characters each."""
        if not self.rollouts.height:
            return
        ends = np.append(np.flatnonzero(np.diff(self.group)) + 1, len(self.group))
        chars = np.cumsum(self.rollouts["text"].str.len_bytes().to_numpy().astype(np.int64))[ends - 1]
        start = done = 0
        for end, total, following in zip(ends, chars, [*chars[1:], np.inf], strict=True):
            if following - done > CHUNK_CHARS:
                yield slice(start, int(end))
                start, done = int(end), int(total)


def observe(inputs: Inputs, verdict_stage: str | None) -> Observed:
    """Read and align everything that is measured about single rollouts.

    Args:
        verdict_stage: whose verdicts count; None where there is exactly one verify stage.
    """
    samplers = inputs.producers("rollouts")
    ids = pl.concat(
        [_stage_frame(inputs, stage, "rollouts", _IDS).with_columns(made_by=pl.lit(stage)) for stage in samplers]
        or [_typed("rollouts", _IDS).with_columns(made_by=pl.lit(""))]
    )
    origin = origins(ids.select("rollout_id", "parent_rollout_id"))
    first = ids.filter(pl.col("condition") == "none").drop("condition", "parent_rollout_id")
    content = [
        _stage_frame(inputs, stage, "rollouts", _CONTENT).join(first.select("rollout_id"), on="rollout_id", how="semi")
        for stage in first["made_by"].unique(maintain_order=True)
    ] or [_typed("rollouts", _CONTENT)]
    main = verdict_stage if verdict_stage is not None else verify_stages(inputs.ancestors)[-1]
    table = (
        first.join(pl.concat(content), on="rollout_id")
        .join(verdicts(inputs, main).drop("problem_id", "reason"), on="rollout_id", how="left")
        .sort(*GROUP, "rollout_id")
        .with_columns(pl.struct(GROUP).rle_id().cast(pl.Int64).alias("group"))
    )
    names = pl.format("{}/{}/{}", "policy_id", "round", "sampling_id").first()
    groups = table.group_by("group", maintain_order=True).agg(pl.col("problem_id").first(), names.alias("slice_value"))
    text = pl.col("completion").str.slice(0, MAX_CHARS).alias("text")
    others = _said_by_others(inputs, main, table.select("rollout_id")).drop("rollout_id")
    # What is told of an unknown verdict ("no answer found", "7 differs, but …") is no answer.
    answer = pl.when(pl.col("verdict") != "unknown").then(pl.col("detail").str.replace(_CUT, "")).alias("answer")
    table = table.with_columns(text, answer).drop("detail").hstack(others)
    columns = table.select(metric.column() for metric in all_metrics() if isinstance(metric, RolloutMetric))
    values: dict[str, F64] = {column.name: column.to_numpy() for column in columns}
    rollouts = table.select("rollout_id", "problem_id", "made_by", "text", "answer")
    return Observed(rollouts, table["group"].to_numpy(), groups, values, origin)


def _typed(table: str, columns: list[str]) -> pl.DataFrame:
    """No rows, in the columns' types."""
    frame = pl.from_arrow(TABLES[table].empty().select(columns))
    assert isinstance(frame, pl.DataFrame)
    return frame


def _stage_frame(inputs: Inputs, stage: str, table: str, columns: list[str]) -> pl.DataFrame:
    frame = pl.from_arrow(inputs.of_stage(stage, table, columns))
    assert isinstance(frame, pl.DataFrame)
    return frame


def _said_by_others(inputs: Inputs, main: str, rollouts: pl.DataFrame) -> pl.DataFrame:
    """Beside each rollout_id: n_steps, verdicts of other stages than `main`, and scores of those that give none.

    Columns n_steps, `verdict_of_STAGE` and `score_STAGE`, null where a stage said nothing.
    """
    judges = verify_stages(inputs.ancestors)
    columns = [_steps(inputs)]
    columns += [
        verdicts(inputs, stage).select("rollout_id", pl.col("verdict").alias(f"verdict_of_{stage}"))
        for stage in judges
        if stage != main
    ]
    columns += [_scores(inputs, stage) for stage in inputs.producers("scores") if stage not in judges]
    for column in columns:
        rollouts = rollouts.join(column, on="rollout_id", how="left", maintain_order="left")
    return rollouts


def _steps(inputs: Inputs) -> pl.DataFrame:
    """Steps of each rollout by the stage nearest to the end that cut it: rollout_id, n_steps."""
    counted = [
        _stage_frame(inputs, stage, "steps", ["rollout_id"]).group_by("rollout_id").len("n_steps")
        for stage in reversed(inputs.producers("steps"))
    ] or [pl.DataFrame(schema={"rollout_id": pl.String, "n_steps": pl.UInt32})]
    return pl.concat(counted).unique("rollout_id", keep="first", maintain_order=True)


def _scores(inputs: Inputs, stage: str) -> pl.DataFrame:
    """Values of a stage that scores rollouts and gives no verdicts: rollout_id, `score_STAGE`."""
    scores = _stage_frame(inputs, stage, "scores", ["target_kind", "target_id", "kind", "value"]).filter(
        pl.col("target_kind") == "rollout", ~pl.col("kind").is_in(["verdict", "component"])
    )
    return scores.unique("target_id", keep="first", maintain_order=True).select(
        pl.col("target_id").alias("rollout_id"), pl.col("value").alias(f"score_{stage}")
    )
