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
from synthflow.statistics.accumulate import group_sums
from synthflow.statistics.texts import MAX_CHARS, sizes

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

_IDS = ["rollout_id", "problem_id", "policy_id", "round", "sampling_id", "condition", "parent_rollout_id"]
_CONTENT = ["rollout_id", "completion", "n_tokens", "finish_reason", "logprobs"]
CHUNK_CHARS = 8_000_000
"""Characters of text worked on at once: bounds memory within a partition of long rollouts."""


@dataclass(frozen=True, slots=True)
class Observed:
    """First rollouts of a partition.

    `rollouts` has rollout_id, problem_id, made_by, text and answer; `group` their group's code; `per_rollout` maps
    metric to values; `groups` has problem_id and slice_value by code; `difficulty` is one value a group.
    """

    rollouts: pl.DataFrame
    group: I64
    groups: pl.DataFrame
    per_rollout: dict[str, F64]
    difficulty: F64
    origin: pl.DataFrame

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
    rollouts = table.select(
        "rollout_id", "problem_id", "made_by", pl.col("completion").str.slice(0, MAX_CHARS).alias("text"),
        pl.col("detail").alias("answer"),
    )  # fmt: skip
    per_rollout = {**_verdict_columns(table), **_extents(table, rollouts["text"])}
    per_rollout |= _steps(inputs, rollouts) | _scores(inputs, rollouts) | _agreement(inputs, main, table)
    group = table["group"].to_numpy()
    return Observed(rollouts, group, groups, per_rollout, _difficulty(group, groups.height, per_rollout), origin)


def _typed(table: str, columns: list[str]) -> pl.DataFrame:
    """No rows, in the columns' types."""
    frame = pl.from_arrow(TABLES[table].empty().select(columns))
    assert isinstance(frame, pl.DataFrame)
    return frame


def _stage_frame(inputs: Inputs, stage: str, table: str, columns: list[str]) -> pl.DataFrame:
    frame = pl.from_arrow(inputs.of_stage(stage, table, columns))
    assert isinstance(frame, pl.DataFrame)
    return frame


def _floats(column: pl.Series) -> F64:
    """Null becomes NaN."""
    values: F64 = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return values


def _verdict_columns(table: pl.DataFrame) -> dict[str, F64]:
    verdict = pl.col("verdict")
    columns = table.select(
        pl.when(verdict == "correct").then(1.0).when(verdict == "wrong").then(0.0).alias("pass_rate"),
        (verdict == "unknown").alias("unknown_share"),
        (pl.col("finish_reason") == "length").alias("truncated_share"),
        pl.col("value").alias("verdict_value"),
    )
    return {name: _floats(columns[name]) for name in columns.columns} | {"mean_logprob": _mean_logprobs(table)}


def _mean_logprobs(table: pl.DataFrame) -> F64:
    lists = table["logprobs"].fill_null([])
    lengths = lists.list.len().to_numpy().astype(np.int64)
    flat = lists.explode(empty_as_null=False).cast(pl.Float64).fill_null(np.nan).to_numpy()
    sums = group_sums(np.repeat(np.arange(len(lengths)), lengths), flat, len(lengths))
    return _ratio(sums, lengths)


def _extents(table: pl.DataFrame, texts: pl.Series) -> dict[str, F64]:
    counted = sizes(texts)
    return {"n_tokens": _floats(table["n_tokens"])} | {name: _floats(counted[name]) for name in counted.columns}


def _steps(inputs: Inputs, rollouts: pl.DataFrame) -> dict[str, F64]:
    """Steps of each rollout by the stage nearest to the end that cut it."""
    counted = [
        _stage_frame(inputs, stage, "steps", ["rollout_id"]).group_by("rollout_id").len()
        for stage in reversed(inputs.producers("steps"))
    ]
    if not counted:
        return {}
    steps = pl.concat(counted).unique("rollout_id", keep="first", maintain_order=True)
    return {"n_steps": _floats(rollouts.join(steps, on="rollout_id", how="left", maintain_order="left")["len"])}


def _scores(inputs: Inputs, rollouts: pl.DataFrame) -> dict[str, F64]:
    """Values of every stage that scores rollouts and gives no verdicts."""
    found = {}
    for stage in inputs.producers("scores"):
        if stage in verify_stages(inputs.ancestors):
            continue
        scores = _stage_frame(inputs, stage, "scores", ["target_kind", "target_id", "kind", "value"]).filter(
            pl.col("target_kind") == "rollout", ~pl.col("kind").is_in(["verdict", "component"])
        )
        by_rollout = scores.unique("target_id", keep="first", maintain_order=True).select(
            pl.col("target_id").alias("rollout_id"), "value"
        )
        found[f"score_{stage}"] = _floats(
            rollouts.join(by_rollout, on="rollout_id", how="left", maintain_order="left")["value"]
        )
    return found


def _agreement(inputs: Inputs, main: str, table: pl.DataFrame) -> dict[str, F64]:
    """Whether each other verify stage gives the verdict of the main one, where both are sure."""
    found = {}
    for stage in verify_stages(inputs.ancestors):
        if stage == main:
            continue
        other = verdicts(inputs, stage).select("rollout_id", pl.col("verdict").alias("other"))
        both = table.select("rollout_id", "verdict").join(other, on="rollout_id", how="left", maintain_order="left")
        sure = (pl.col("verdict") != "unknown") & (pl.col("other") != "unknown")
        same = both.select(pl.when(sure).then((pl.col("verdict") == pl.col("other")).cast(pl.Float64)).alias("same"))
        found[f"agreement_with_{stage}"] = _floats(same["same"])
    return found


def _difficulty(group: I64, n_groups: int, per_rollout: dict[str, F64]) -> F64:
    """1 - pass rate of each group, over all of its judged rollouts; NaN if none was judged."""
    passed = per_rollout["pass_rate"]
    judged = np.isfinite(passed)
    n = np.bincount(group[judged], minlength=n_groups)
    correct = group_sums(group[judged], passed[judged], n_groups)
    return _ratio(n - correct, n)


def _ratio(above: F64, below: I64) -> F64:
    """above / below; NaN where below is 0."""
    values: F64 = np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)
    return values
