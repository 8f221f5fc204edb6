"""The rollouts of a partition as columns of observations: one row a first rollout, groups next to each other.

Invariants: rows are sorted by (problem, policy, round, sampling, rollout_id), so a group's rows are a run with one
code; an observation that does not exist (no verdict, no logprobs) is NaN, never 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from synthflow.contracts import Inputs
from synthflow.rollouts.groups import GROUP
from synthflow.rollouts.views import verdicts, verify_stages
from synthflow.schema import TABLES
from synthflow.stages.measure.populations import origins
from synthflow.statistics.accumulate import runs
from synthflow.statistics.metrics import all_metrics
from synthflow.statistics.metrics.metric import RolloutMetric
from synthflow.statistics.metrics.population import Chunk
from synthflow.statistics.texts import MAX_CHARS

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

_IDS = ["rollout_id", "problem_id", "policy_id", "round", "sampling_id", "condition", "parent_rollout_id"]
_CUT = r" \([^()]*cut at .*\)$"  # what a verifier tells behind an answer whose text ran on
_NOT_OF_FIRST = ["condition", "parent_rollout_id"]
_CONTENT = ["rollout_id", "completion", "n_tokens", "finish_reason", "logprobs"]
CHUNK_CHARS = 8_000_000
"""Characters of text worked on at once: bounds memory within a partition of long rollouts."""


@dataclass(frozen=True, slots=True)
class Observed:
    """First rollouts of a partition.

    `rollouts` has text and answer; `first` rollout_id, problem_id and made_by; `group` their group's code; `groups`
    problem_id and slice_value, a row a code; `values` those of the rollout metrics, by name; `origin` what `origins`
    says of these rollouts and their continuations.
    """

    rollouts: pl.DataFrame
    first: pa.Table
    group: I64
    groups: pa.Table
    values: dict[str, F64]
    origin: pa.Table

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
    ids = [_ids(inputs, stage) for stage in inputs.producers("rollouts")] or [_made_by(_nothing("rollouts", _IDS), "")]
    everything = pa.concat_tables(ids)
    first = _frame(everything.filter(pc.equal(everything["condition"], pa.scalar("none"))).drop_columns(_NOT_OF_FIRST))
    makers = first["made_by"].unique(maintain_order=True)
    content = [_frame(inputs.of_stage(stage, "rollouts", _CONTENT)) for stage in makers]
    main = verdict_stage if verdict_stage is not None else verify_stages(inputs.ancestors)[-1]
    query = (
        first.lazy()
        .join(pl.concat(content or [_frame(_nothing("rollouts", _CONTENT))]).lazy(), on="rollout_id")
        .join(verdicts(inputs, main, ["verdict", "value", "detail"]).lazy(), on="rollout_id", how="left")
        .sort(*GROUP, "rollout_id")
        .with_columns(pl.struct(GROUP).rle_id().cast(pl.Int64).alias("group"))
    )
    for said in _said_by_others(inputs, main):
        query = query.join(said.lazy(), on="rollout_id", how="left", maintain_order="left")
    # What is told of an unknown verdict ("no answer found", "7 differs, but …") is no answer.
    answer = pl.when(pl.col("verdict") != "unknown").then(pl.col("detail").str.replace(_CUT, "")).alias("answer")
    text = pl.col("completion").str.slice(0, MAX_CHARS).alias("text")
    table = query.with_columns(text, answer).drop("completion", "detail").collect()
    columns = table.select(metric.column() for metric in all_metrics() if isinstance(metric, RolloutMetric))
    group = table["group"].to_numpy()
    starts = table[runs(group)[1]]
    names = pl.format("{}/{}/{}", "policy_id", "round", "sampling_id").alias("slice_value")
    return Observed(
        table.select("text", "answer"),
        _strings(table.select("rollout_id", "problem_id", "made_by")),
        group,
        _strings(starts.select("problem_id", names)),
        {column.name: column.to_numpy() for column in columns},
        origins(everything),
    )


def _ids(inputs: Inputs, stage: str) -> pa.Table:
    return _made_by(inputs.of_stage(stage, "rollouts", _IDS), stage)


def _made_by(rows: pa.Table, stage: str) -> pa.Table:
    return rows.append_column("made_by", pa.repeat(stage, rows.num_rows))


def _nothing(table: str, columns: list[str]) -> pa.Table:
    """No rows, in the columns' types."""
    return TABLES[table].empty().select(columns)


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _strings(frame: pl.DataFrame) -> pa.Table:
    """As the tables of a run have them."""
    return frame.to_arrow().cast(pa.schema([(name, pa.string()) for name in frame.columns]))


def _said_by_others(inputs: Inputs, main: str) -> Iterator[pl.DataFrame]:
    """Beside rollout_id: n_steps, the verdicts of other stages than `main`, and scores of those that give none.

    Columns n_steps, `verdict_of_STAGE` and `score_STAGE`; a rollout of which a stage said nothing has no row.
    """
    judges = verify_stages(inputs.ancestors)
    yield _steps(inputs)
    for stage in judges:
        if stage != main:
            yield verdicts(inputs, stage, ["verdict"]).rename({"verdict": f"verdict_of_{stage}"})
    for stage in inputs.producers("scores"):
        if stage not in judges:
            yield _scores(inputs, stage)


def _steps(inputs: Inputs) -> pl.DataFrame:
    """Steps of each rollout by the stage nearest to the end that cut it: rollout_id, n_steps."""
    counted = [
        _frame(inputs.of_stage(stage, "steps", ["rollout_id"])).group_by("rollout_id").len("n_steps")
        for stage in reversed(inputs.producers("steps"))
    ] or [pl.DataFrame(schema={"rollout_id": pl.String, "n_steps": pl.UInt32})]
    return pl.concat(counted).unique("rollout_id", keep="first", maintain_order=True)


def _scores(inputs: Inputs, stage: str) -> pl.DataFrame:
    """Values of a stage that scores rollouts and gives no verdicts: rollout_id, `score_STAGE`."""
    scores = _frame(inputs.of_stage(stage, "scores", ["target_kind", "target_id", "kind", "value"])).filter(
        pl.col("target_kind") == "rollout", ~pl.col("kind").is_in(["verdict", "component"])
    )
    return scores.unique("target_id", keep="first", maintain_order=True).select(
        pl.col("target_id").alias("rollout_id"), pl.col("value").alias(f"score_{stage}")
    )
