"""`export.stepwise`: solutions cut into steps, every step labelled, for process reward models.

One config, `stepwise`: `prompt` (a string: process reward trainers apply no chat template), `completions` (the
steps) and `labels` (one boolean each). These trainers join steps with a line feed, and `"\\n".join(completions)` is
the response exactly: every step but the last gives up one line feed at its end, and a rollout where a step has none
to give is rejected as `step_separator` (segment by lines, or by a rule that ends steps with a line feed).

A label comes from the step's estimated value, `value >= threshold` (default 0.5: more likely right than wrong from
here; our default), or from its advantage. Math-Shepherd's hard estimate (Wang et al. 2024, arXiv 2312.08935, eq. 3)
calls a step good if any continuation is correct: `threshold: 0.001, interval: false`.

A label that a few continuations could have turned is none: a step of which too little is known is joined with the step
after it (`decided`), and is a row in `rejects`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field

from synthflow.contracts import Account, Inputs, Services, StageInfo
from synthflow.rollouts.views import check_verdicts, verify_stages
from synthflow.stages.export.base import REJECT_SCHEMA, ExportConfig, Ledger, ParquetExport, Rule, filter_rules, take
from synthflow.stages.export.columns import BOOL, F32S, I32S, OF_ROLLOUT, STRING, ConfigSpec, ExportColumn
from synthflow.stages.export.decided import COLUMNS, Demands, Labelled, decide
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
        ExportColumn("sf_joined", I32S, "of each step, how many undecided ones before it are a part of it", "if_any"),
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
    "_labels": pl.List(pl.Boolean),
    "_joined": pl.List(pl.Int32),
    "_undecided": pl.List(pl.Struct({"target_id": pl.String, "score": pl.Float32})),
    "_ends": pl.Boolean,
    "_labeler": pl.String,
}


UNDECIDED = "undecided: joined with the step after it"


class StepwiseConfig(ExportConfig):
    values: str | None = Field(None, description="the stage whose step values are believed, where several are above")
    rule: Literal["value", "advantage"] = Field("value", description="what is compared with the threshold")
    threshold: float = Field(0.5, ge=-1, le=1, description="least value (or advantage) of a good step")
    min_n: int = Field(4, ge=0, description="fewest judged continuations behind a label; verdicts and judges need none")
    interval: bool = Field(True, description="a label only where the 95% interval lies on one side of the threshold")


def value_stages(ancestors: Sequence[StageInfo]) -> list[str]:
    return [a.name for a in ancestors if "step_values" in a.writes]


class ExportStepwise(ParquetExport):
    """Labelled steps for process reward models."""

    use = "export.stepwise"
    version = "2"
    account = Account("stepwise", "sf_rollout_id", "rollouts", "rollout_id", "c.condition <> 'prefix'")
    Config = StepwiseConfig
    reads = ("rollouts", "steps", "step_values")
    summary = "Solutions cut into labelled steps, for process reward models."

    def __init__(self, name: str, config: Any) -> None:
        super().__init__(name, config)
        self._n_steps = self._n_joined = 0

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
        config = self.config
        yield f"A step's label is true where its {config.rule} is at least {config.threshold:g}."
        if config.min_n or config.interval:
            side = f"a 95% interval on one side of {config.threshold:g}" * config.interval
            told = " and ".join(filter(None, (f"{config.min_n} judged continuations" * bool(config.min_n), side)))
            yield (
                f"An estimated value needs {told}: {self._n_joined:,} of {self._n_steps:,} steps have less, and are "
                "joined with the step after them (`sf_joined`)."
            )

    def project(self, part: Inputs, services: Services) -> Iterable[Ledger]:
        rollouts = candidates(part, self.config.verdicts).join(self._steps(part), on="rollout_id", how="left")
        kept, rejects = take(rollouts, "rollout_id", self._rules())
        joined = pl.col("_joined")
        rows = kept.select(
            user_text("messages").alias("prompt"),
            pl.col("_texts").alias("completions"),
            pl.col("_labels").alias("labels"),
            pl.when(joined.list.sum() > 0).then(joined).alias("sf_joined"),
            pl.col("_values").alias("sf_step_values"),
            pl.col("_advantages").alias("sf_step_advantages"),
            pl.col("_labeler").alias("sf_labeler"),
            *sidecars_of_rollout(),
        )
        yield Ledger("stepwise", "rollout", rollouts.get_column("rollout_id"), rows, rejects)
        left = kept.select("problem_id", pl.col("_undecided")).explode("_undecided").drop_nulls("_undecided")
        told = left.select("problem_id", pl.col("_undecided").struct.unnest()).with_columns(reason=pl.lit(UNDECIDED))
        self._n_joined += told.height
        self._n_steps += told.height + int(kept.get_column("_labels").list.len().sum())
        yield Ledger("stepwise", "step", told.get_column("target_id"), rows.clear(), told.select(REJECT_SCHEMA.keys()))

    def _rules(self) -> list[Rule]:
        shape = roles("messages")
        return [
            *filter_rules("rollout"),
            *trainable_rules(),
            Rule(~shape.is_in(["user", "system user"]), pl.lit("prompt is not one question but ") + shape),
            Rule(pl.col("_ends").is_null(), "no step values"),
            Rule(~pl.col("_ends"), "its last step is undecided"),
            Rule(pl.col("_texts").list.join("\n") != pl.col("completion"), "step_separator"),
        ]

    def _steps(self, part: Inputs) -> pl.DataFrame:
        """The columns of `_STEPS`, one row a rollout: lists in the order of its decided steps."""
        stages = [self.config.values] if self.config.values else value_stages(part.ancestors)[-1:]
        if not stages:
            return pl.DataFrame(schema=_STEPS)
        values = pl.from_arrow(part.of_stage(stages[0], "step_values"))
        assert isinstance(values, pl.DataFrame)
        values = values.unique("step_id", keep="first", maintain_order=True)
        spans = part.frame("steps", ["step_id", "rollout_id", "segmenter", "index", "char_start", "char_end"])
        texts = part.frame("rollouts", ["rollout_id", "completion"])
        # every step of a segmentation that has values: a step without one shows as null, never as a gap
        valued = spans.join(values.select(*COLUMNS, "labeler"), on="step_id", how="left")
        valued = valued.filter(pl.col("labeler").is_not_null().any().over("rollout_id", "segmenter"))
        cut = valued.unique("step_id", keep="first").join(texts, on="rollout_id", how="inner")
        grouped = (
            cut.sort("rollout_id", "segmenter", "index")
            .group_by("rollout_id", maintain_order=True)
            .agg(
                pl.col("completion").first(),
                pl.struct("char_start", "char_end", *COLUMNS).alias("steps"),
                pl.col("labeler").drop_nulls().first().alias("_labeler"),
            )
        )
        demands = Demands(self.config.rule, _stored(self.config.threshold), self.config.min_n, self.config.interval)
        rows = [_row(rollout, decide(rollout["steps"], demands)) for rollout in grouped.iter_rows(named=True)]
        return pl.DataFrame(rows, schema=_STEPS)


def _row(rollout: Mapping[str, Any], labelled: Labelled) -> dict[str, Any]:
    """What `_STEPS` says of a rollout. The last step keeps its line feed, if it has one."""
    steps, kept = rollout["steps"], labelled.kept
    starts = [0, *(index + 1 for index in kept[:-1])][: len(kept)]
    texts = [
        rollout["completion"][steps[a]["char_start"] : steps[b]["char_end"]] for a, b in zip(starts, kept, strict=True)
    ]
    undecided = [steps[index] for index in labelled.joined(len(steps))]
    return {
        "rollout_id": rollout["rollout_id"],
        "_texts": [text.removesuffix("\n") for text in texts[:-1]] + texts[-1:],
        "_values": [steps[index]["value"] for index in kept],
        "_advantages": list(labelled.advantages),
        "_labels": list(labelled.labels),
        "_joined": [index - start for start, index in zip(starts, kept, strict=True)],
        "_undecided": [{"target_id": step["step_id"], "score": step["n"]} for step in undecided],
        "_ends": bool(kept) and kept[-1] == len(steps) - 1,
        "_labeler": rollout["_labeler"],
    }


def _stored(threshold: float) -> float:
    """A threshold as the values are stored, so that a value that equals it reaches it."""
    return float(np.float32(threshold))
