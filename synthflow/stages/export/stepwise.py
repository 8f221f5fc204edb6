"""`export.stepwise`: solutions cut into steps, every step labelled, for process reward models.

One config, `stepwise`: `prompt` (a string: process reward trainers apply no chat template), `completions` (the
steps) and `labels` (one boolean each). These trainers join steps with a line feed, and `"\\n".join(completions)` is
the response exactly: every step but the last gives up one line feed at its end, and a rollout where a step has none
to give is rejected as `step_separator` (segment by lines, or by a rule that ends steps with a line feed).

A label comes from the step's estimated value, `value >= threshold` (default 0.5: more likely right than wrong from
here; our default), or from its advantage. Math-Shepherd's hard estimate (Wang et al. 2024, arXiv 2312.08935, eq. 3)
calls a step good if any continuation is correct: `threshold: 0.001`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import polars as pl
import pyarrow as pa
from pydantic import Field

from synthflow.contracts import Account, Inputs, Services, StageInfo
from synthflow.rollouts.views import check_verdicts, verify_stages
from synthflow.stages.export.base import ExportConfig, Ledger, ParquetExport, Rule, filter_rules, take
from synthflow.stages.export.columns import BOOL, F32S, OF_ROLLOUT, STRING, ConfigSpec, ExportColumn
from synthflow.stages.export.sft import trainable_rules
from synthflow.stages.export.views import candidates, roles, sidecars_of_rollout, user_text

STEPWISE = ConfigSpec(
    "stepwise",
    "solutions cut into labelled steps",
    (
        ExportColumn("prompt", STRING, "the problem: the user's text, without a system prompt"),
        ExportColumn("completions", pa.list_(STRING), "the steps; joined by a line feed they are the response"),
        ExportColumn("labels", pa.list_(BOOL), "one a step: whether it keeps the solution on its way"),
        ExportColumn("sf_step_values", F32S, "value of the prefix that ends with each step", "if_any"),
        ExportColumn("sf_step_advantages", F32S, "value less the value before, one a step", "if_any"),
        ExportColumn("sf_labeler", STRING, "who valued the steps", "if_any"),
        *OF_ROLLOUT,
    ),
    (
        ("Axolotl", '`{path: DIR/stepwise, ds_type: parquet, type: stepwise_supervised, step_separator: "\\n"}`'),
        ("TRL up to 1.13", "`PRMTrainer` with its defaults (later versions have none)"),
    ),
)
_STEPS: Mapping[str, Any] = {
    "rollout_id": pl.String,
    "_texts": pl.List(pl.String),
    "_values": pl.List(pl.Float32),
    "_advantages": pl.List(pl.Float32),
    "_labeler": pl.String,
}


class StepwiseConfig(ExportConfig):
    values: str | None = Field(None, description="the stage whose step values are believed, where several are above")
    rule: Literal["value", "advantage"] = Field("value", description="what is compared with the threshold")
    threshold: float = Field(0.5, ge=-1, le=1, description="least value (or advantage) of a good step")


def value_stages(ancestors: Sequence[StageInfo]) -> list[str]:
    return [a.name for a in ancestors if "step_values" in a.writes]


class ExportStepwise(ParquetExport):
    """Labelled steps for process reward models."""

    use = "export.stepwise"
    version = "1"
    account = Account("stepwise", "sf_rollout_id", "rollouts", "rollout_id", "c.condition <> 'prefix'")
    Config = StepwiseConfig
    reads = ("rollouts", "steps", "step_values")
    summary = "Solutions cut into labelled steps, for process reward models."

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        known, wanted = value_stages(ancestors), self.config.values
        if wanted is not None and wanted not in known:
            what = f"{wanted!r} is not a stage above that values steps"
            yield "values", what, f"known: {', '.join(known) or 'none'}"
        elif wanted is None and len(known) > 1:
            yield "values", f"several stages above value steps: {', '.join(known)}", "say which with values: NAME"
        if self.config.verdicts is not None or len(verify_stages(ancestors)) > 1:
            yield from check_verdicts(ancestors, self.config.verdicts)

    def configs(self, ancestors: Sequence[StageInfo]) -> Sequence[ConfigSpec]:
        return (STEPWISE,)

    def notes(self, ancestors: Sequence[StageInfo]) -> Iterator[str]:
        yield f"A step's label is true where its {self.config.rule} is at least {self.config.threshold:g}."

    def project(self, part: Inputs, services: Services) -> Iterable[Ledger]:
        rollouts = candidates(part, self.config.verdicts).join(self._steps(part), on="rollout_id", how="left")
        kept, rejects = take(rollouts, "rollout_id", self._rules())
        decides = "_values" if self.config.rule == "value" else "_advantages"
        rows = kept.select(
            user_text("messages").alias("prompt"),
            pl.col("_texts").alias("completions"),
            pl.col(decides).list.eval(pl.element() >= self.config.threshold).alias("labels"),
            pl.col("_values").alias("sf_step_values"),
            pl.col("_advantages").alias("sf_step_advantages"),
            pl.col("_labeler").alias("sf_labeler"),
            *sidecars_of_rollout(),
        )
        yield Ledger("stepwise", "rollout", rollouts.get_column("rollout_id"), rows, rejects)

    def _rules(self) -> list[Rule]:
        decides = "_values" if self.config.rule == "value" else "_advantages"
        shape = roles("messages")
        return [
            *filter_rules("rollout"),
            *trainable_rules(),
            Rule(~shape.is_in(["user", "system user"]), pl.lit("prompt is not one question but ") + shape),
            Rule(pl.col("_texts").is_null(), "no step values"),
            Rule(pl.col(decides).list.eval(pl.element().is_null()).list.any(), f"a step has no {self.config.rule}"),
            Rule(pl.col("_texts").list.join("\n") != pl.col("completion"), "step_separator"),
        ]

    def _steps(self, part: Inputs) -> pl.DataFrame:
        """rollout_id, _texts, _values, _advantages, _labeler: lists in the order of the steps."""
        stages = [self.config.values] if self.config.values else value_stages(part.ancestors)[-1:]
        if not stages:
            return pl.DataFrame(schema=_STEPS)
        values = pl.from_arrow(part.of_stage(stages[0], "step_values"))
        assert isinstance(values, pl.DataFrame)
        values = values.unique("step_id", keep="first", maintain_order=True)
        spans = part.frame("steps", ["step_id", "rollout_id", "segmenter", "index", "char_start", "char_end"])
        texts = part.frame("rollouts", ["rollout_id", "completion"])
        # every step of a segmentation that has values: a step without one shows as null, never as a gap
        valued = spans.join(values.select("step_id", "value", "advantage", "labeler"), on="step_id", how="left")
        valued = valued.filter(pl.col("labeler").is_not_null().any().over("rollout_id", "segmenter"))
        cut = valued.unique("step_id", keep="first").join(texts, on="rollout_id", how="inner")
        start, length = pl.col("char_start"), pl.col("char_end") - pl.col("char_start")
        last = pl.col("index") == pl.col("index").max().over("rollout_id")
        text = pl.col("completion").str.slice(start, length)
        return (
            cut.sort("rollout_id", "segmenter", "index")
            .with_columns(pl.when(last).then(text).otherwise(text.str.strip_suffix("\n")).alias("_text"))
            .group_by("rollout_id", maintain_order=True)
            .agg(
                pl.col("_text").alias("_texts"),
                pl.col("value").alias("_values"),
                pl.col("advantage").alias("_advantages"),
                pl.col("labeler").drop_nulls().first().alias("_labeler"),
            )
        )
