"""`export.graph`: the tables as they are, for analysts and for trainers with their own code.

One config a table (problems, rollouts, scores, steps, step_values, pairs, problem_stats, rejects) with the rows of all
stages above, and `rollouts_flat`: one row a rollout with its problem, verdict, spans, values and advantages side by
side. Column names are those of the tables; several mean something to trainers, so these configs are not for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import polars as pl
import pyarrow as pa

from synthflow.contracts import Inputs, Services, StageInfo
from synthflow.rollouts.groups import GROUP
from synthflow.rollouts.views import check_verdicts, verdicts, verify_stages
from synthflow.schema import TABLES
from synthflow.stages.export.base import Copy, ExportConfig, ParquetExport, Projection
from synthflow.stages.export.columns import BOOL, F32, F32S, I32, MESSAGES, STRING, ConfigSpec, ExportColumn
from synthflow.stages.export.ordering import joined
from synthflow.stages.export.views import group_stats

RAW = ("problems", "rollouts", "scores", "steps", "step_values", "pairs", "problem_stats", "rejects")
_SPAN = pa.struct([pa.field("start", I32), pa.field("end", I32)])


def _raw_spec(name: str) -> ConfigSpec:
    table = TABLES[name]
    columns = [ExportColumn(c.name, c.type, c.comment, "if_any" if c.nullable else "always") for c in table.columns]
    return ConfigSpec(name, table.comment, tuple(columns), (("DuckDB", f"`FROM 'DIR/{name}/*.parquet'`"),))


FLAT = ConfigSpec(
    "rollouts_flat",
    "one row a rollout, with its problem, verdict, step spans, values and advantages",
    (
        ExportColumn("rollout_id", STRING, "the rollout"),
        ExportColumn("problem_id", STRING, "its problem"),
        ExportColumn("policy_id", STRING, "the policy that wrote it"),
        ExportColumn("round", I32, "self-improvement round, from 0"),
        ExportColumn("sampling_id", STRING, "how it was sampled"),
        ExportColumn("condition", STRING, "none, prefix, gold, hint, critique, feedback, scaffold, tree, spliced"),
        ExportColumn("parent_rollout_id", STRING, "the rollout whose prefix it continues", "if_any"),
        ExportColumn("messages_in", MESSAGES, "the prompt as sampled"),
        ExportColumn("response", STRING, "the exact sampled text, no template"),
        ExportColumn("answer", STRING, "gold answer", "if_any"),
        ExportColumn("verdict", STRING, "correct, wrong or unknown; null where nothing judged", "if_any"),
        ExportColumn("verdict_value", F32, "1 correct, 0 wrong, null unknown", "if_any"),
        ExportColumn("verdict_reason", STRING, "why, always given for unknown", "if_any"),
        ExportColumn("finish_reason", STRING, "stop, length (truncated), refused, or poison (it kills the engine)"),
        ExportColumn("n_tokens", I32, "tokens of the response", "if_any"),
        ExportColumn("pass_rate", F32, "of its (problem, policy, round, sampling)", "if_any"),
        ExportColumn("group_state", STRING, "all_correct, mixed, all_wrong or undecided", "if_any"),
        ExportColumn("labeler", STRING, "who valued the steps", "if_any"),
        ExportColumn("step_spans", pa.list_(_SPAN), "half-open spans in code points of the response", "if_any"),
        ExportColumn("step_values", F32S, "value of the prefix that ends with each step", "if_any"),
        ExportColumn("step_advantages", F32S, "value less the value before", "if_any"),
        ExportColumn("step_is_first_error", pa.list_(BOOL), "the first step after which value stays low", "if_any"),
    ),
    (("DuckDB", "`FROM 'DIR/rollouts_flat/*.parquet'`"),),
)

_OF_ROLLOUT = [*(c.name for c in FLAT.columns if c.name in TABLES["rollouts"].names), "prompt", "completion"]
"""Columns of a rollout that are in the flat rows."""


class GraphConfig(ExportConfig):
    pass


class ExportGraph(ParquetExport):
    """The whole graph for analysts."""

    use = "export.graph"
    version = "1"
    grows = True
    for_analysis = True
    Config = GraphConfig
    summary = "The tables of a run as they are, for analysis."

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        if self.config.verdicts is not None or len(verify_stages(ancestors)) > 1:
            yield from check_verdicts(ancestors, self.config.verdicts)

    def configs(self, ancestors: Sequence[StageInfo]) -> Sequence[ConfigSpec]:
        written = {table for a in ancestors for table in a.writes} | {"rejects"}
        specs = [_raw_spec(name) for name in RAW if name in written]
        return [FLAT, *specs] if "rollouts" in written else specs

    def projections(self, ancestors: Sequence[StageInfo]) -> Sequence[Projection]:
        return [partial(self._one, spec.name) for spec in self.configs(ancestors)]

    def project(self, part: Inputs, services: Services) -> Iterable[Copy]:
        for spec in self.configs(part.ancestors):
            yield from self._one(spec.name, part, services)

    def _one(self, config: str, part: Inputs, services: Services) -> Iterable[Copy]:
        yield Copy(config, self._flat(part).to_arrow() if config == FLAT.name else _raw(part, config))

    def _flat(self, part: Inputs) -> pl.DataFrame:
        # Two stages may tell of one rollout that both wanted: it is one row here.
        rollouts = part.frame("rollouts", _OF_ROLLOUT).unique("rollout_id", keep="first", maintain_order=True)
        flat = rollouts.join(_answers(part), on="problem_id", how="left")
        for side, key in ((self._judged(part), "rollout_id"), (_valued(part), "rollout_id")):
            flat = flat.join(side, on=key, how="left")
        stats = group_stats(part).select(*GROUP, "pass_rate", "group_state")
        flat = flat.join(stats, on=GROUP, how="left")
        names = [c.name for c in FLAT.columns if c.name not in ("messages_in", "response")]
        return flat.select(
            *names,
            pl.col("prompt").alias("messages_in"),
            pl.col("completion").alias("response"),
            pl.col("rollout_id").alias("_id"),
            pl.col("problem_id").alias("_problem"),
        )

    def _judged(self, part: Inputs) -> pl.DataFrame:
        stages = verify_stages(part.ancestors)
        names = {"value": "verdict_value", "reason": "verdict_reason"}
        if not stages:
            schema = {"rollout_id": pl.String, "verdict": pl.String, "value": pl.Float32, "reason": pl.String}
            return pl.DataFrame(schema=schema).rename(names)
        judged = verdicts(part, self.config.verdicts)
        return judged.select("rollout_id", "verdict", "value", "reason").rename(names)


def _answers(part: Inputs) -> pl.DataFrame:
    problems = part.frame("problems", ["problem_id", "answer"])
    return problems.unique("problem_id", keep="first", maintain_order=True)


def _valued(part: Inputs) -> pl.DataFrame:
    """Steps and values of the last labeler above, as lists; the spans alone where nothing was valued."""
    steps = part.frame("steps").unique("step_id", keep="first", maintain_order=True)
    values = part.frame("step_values", nearest=False)
    values = values.unique("step_id", keep="last", maintain_order=True)
    columns = ["value", "advantage", "is_first_error", "labeler"]
    both = steps.join(values.select("step_id", *columns), on="step_id", how="left")
    # one segmentation a rollout: the one with values, else the first by name
    has_values = pl.col("labeler").is_not_null().any().over("rollout_id", "segmenter")
    both = both.with_columns(has_values.alias("_has")).sort(
        "rollout_id", "_has", "segmenter", "index", descending=[False, True, False, False]
    )
    both = both.filter(pl.col("segmenter") == pl.col("segmenter").first().over("rollout_id"))
    return both.group_by("rollout_id", maintain_order=True).agg(
        pl.struct(pl.col("char_start").alias("start"), pl.col("char_end").alias("end")).alias("step_spans"),
        pl.col("value").alias("step_values"),
        pl.col("advantage").alias("step_advantages"),
        pl.col("is_first_error").alias("step_is_first_error"),
        pl.col("labeler").drop_nulls().first(),
    )


def _raw(part: Inputs, name: str) -> pa.Table:
    """Rows of a table from all stages above, keyed by its key and the stage that wrote them."""
    parts = []
    for stage in (a.name for a in part.ancestors if name in a.writes or name == "rejects"):
        rows = part.of_stage(stage, name)
        id_ = joined([*(rows.column(column) for column in TABLES[name].key), pa.repeat(stage, rows.num_rows)], "|")
        parts.append(rows.append_column("_id", id_))
    if not parts:
        parts = [TABLES[name].empty().append_column("_id", pa.array([], STRING))]
    table = pa.concat_tables(parts)
    return table.append_column("_problem", table.column("problem_id"))
