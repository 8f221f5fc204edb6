"""`measure.step_agreement`: which labeler of steps to believe, and what it costs.

Invariants: every label stage above is compared with the truth (where the spec names one), with every other labeler and
with the outcome, on the steps that both label, over all and by difficulty; every statistic has a 95% interval from a
bootstrap of problems with a fixed seed; rows do not depend on the partitions. Nothing is sampled.

The numbers are those of `step_comparisons`; the views `step_agreement` and `step_reliability` and the command
`synthflow agreement` show them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import polars as pl
import pyarrow as pa
from pydantic import Field

from synthflow.contracts import Estimate, Inputs, Services, Stage, StageConfig, StageInfo
from synthflow.errors import UserError, suggest
from synthflow.rollouts.views import check_verdicts
from synthflow.schema import TABLES
from synthflow.stages.measure.step_comparisons import Bin, Found, against, alone, calibration, even_split
from synthflow.stages.measure.step_labels import StepLabels, label_stages, read_labels
from synthflow.statistics.bootstrap import Bootstrap, BootstrapEstimate

ALL, OUTCOME, NONE = "all", "outcome", "none"
CONTROL = "even split"
"""The labeler that everybody has for nothing: it spreads the outcome evenly over the steps of a rollout."""

_CUT = ("segmenter", "max_steps", "overflow")
_DECIMALS = 9
"""Sums over many draws differ in their last bits from machine to machine."""

Row = dict[str, Any]


class StepAgreementConfig(StageConfig):
    """Fields of `measure.step_agreement`."""

    labelers: tuple[str, ...] | None = Field(
        None, description="label stages to compare; null: all above but the truth", min_length=1
    )
    truth: str | None = Field(None, description="the label stage that is taken for the truth, such as label.reference")
    verdicts: str | None = Field(None, description="the verify stage whose verdicts are the outcome")
    by: tuple[Literal["difficulty_bin", "n_ops", "steps"], ...] = Field(
        ("difficulty_bin", "n_ops", "steps"), description="what to slice by, beside the whole"
    )
    common: bool = Field(True, description="whether only rollouts count that all labelers label: the fair comparison")
    problems: int | None = Field(1000, ge=1, description="most problems measured, a random sample; null: all")
    bootstrap: int = Field(1000, ge=0, le=20_000, description="draws behind the 95% intervals; 0: no intervals")


class MeasureStepAgreement(Stage):
    """Compares the step labelers above with each other, with a truth and with the outcome."""

    use: ClassVar[str] = "measure.step_agreement"
    version: ClassVar[str] = "1"
    Config = StepAgreementConfig
    scope = "whole"
    reads = ("rollouts", "scores", "step_values")
    writes = ("agreement",)
    summary = "Which step labeler to believe: AUROC, calibration, first errors and tokens, by difficulty."

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        yield from check_verdicts(ancestors, self.config.verdicts)
        known, c = label_stages(ancestors), self.config
        for name, wanted in (("truth", [c.truth] if c.truth else []), ("labelers", c.labelers or ())):
            for stage in wanted:
                if stage not in known:
                    hint = suggest(stage, known) or f"known: {', '.join(known) or 'none'}"
                    yield name, f"{stage!r} is not a label stage above this one", hint
        if c.truth is not None and c.truth in (c.labelers or ()):
            yield "labelers", f"{c.truth!r} is the truth as well", "remove it from one of both"
        chosen = [a for a in ancestors if a.name in self._labelers(ancestors)]
        if known and not chosen and c.labelers is None:
            yield "of", "there is no labeler above but the truth", "read a second label stage"
        yield from _cut_alike([*chosen, *(a for a in ancestors if a.name == c.truth)])

    def _labelers(self, ancestors: Sequence[StageInfo]) -> list[str]:
        if self.config.labelers is not None:
            return list(self.config.labelers)
        return [name for name in label_stages(ancestors) if name != self.config.truth]

    def estimate(self, upstream: Estimate) -> Estimate:
        return Estimate(upstream.problems, upstream.rollouts, note="one row a labeler, reference, slice and statistic")

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """Rows of `agreement`.

        Raises:
            UserError: if no rollout is labelled by all labelers, and only such are to count.
        """
        c: StepAgreementConfig = self.config
        stages = list(dict.fromkeys([*self._labelers(inputs.ancestors), *([c.truth] if c.truth else [])]))
        labels = read_labels(inputs, stages, c.truth, c.verdicts, c.problems)
        if c.common:
            labels = self._in_common(labels)
        rows: list[Row] = []
        for key, value, rollouts in _slices(labels.places, c.by):
            place = {"slice_key": key, "slice_value": value}
            rows += [row | place for row in self._of_slice(labels, rollouts)]
        services.count(rows=len(rows))
        common = {"problem_id": "", "stage_id": services.stage_id}
        return {"agreement": TABLES["agreement"].from_rows([row | common for row in rows])}

    def _in_common(self, labels: StepLabels) -> StepLabels:
        judged = {name: rows for name, rows in labels.by_labeler.items() if not self._is_truth(name)}
        rollouts = labels.places.select("rollout_id")
        for rows in judged.values():
            rollouts = rollouts.join(rows, on="rollout_id", how="semi")
        if judged and not rollouts.height:
            names = ", ".join(judged)
            raise UserError(
                f"stage {self.name!r}: no rollout is labelled by all of {names}; name those to compare with "
                "labelers: [...], or compare each on its own rollouts with common: false"
            )
        kept = {
            name: rows.join(rollouts, on="rollout_id", how="semi", maintain_order="left")
            for name, rows in labels.by_labeler.items()
        }
        places = labels.places.join(rollouts, on="rollout_id", how="semi", maintain_order="left")
        return StepLabels(kept, labels.kinds, places)

    def _of_slice(self, labels: StepLabels, rollouts: pl.DataFrame) -> Iterator[Row]:
        boot = Bootstrap(self.config.bootstrap)
        own = {
            name: rows.join(rollouts, on="rollout_id", maintain_order="left")
            for name, rows in labels.by_labeler.items()
        }
        judged = {name: rows for name, rows in own.items() if rows.height and not self._is_truth(name)}
        for name, reference in own.items():
            if self._is_truth(name) and reference.height:
                yield from _rows(CONTROL, NONE, False, alone(even_split(reference), boot))
                yield from _rows(CONTROL, name, True, against(even_split(reference), reference, labels.kinds, boot))
        for name, rows in judged.items():
            yield from _rows(name, NONE, False, alone(rows, boot))
            predicted = rows.filter(~pl.col("is_verdict"), pl.col("scale") != "reward")
            if predicted.height:
                yield from _curve(name, OUTCOME, False, predicted.with_columns(observed=pl.col("outcome")), boot)
            for other, reference in own.items():
                if other == name or not reference.height:
                    continue
                truth = self._is_truth(other)
                kinds = labels.kinds if truth else labels.kinds.clear()
                yield from _rows(name, other, truth, against(rows, reference, kinds, boot))
                if truth and predicted.height:
                    observed = reference.select("step_id", pl.col("value").alias("observed"))
                    joined = predicted.join(observed, on="step_id", maintain_order="left")
                    yield from _curve(name, other, True, joined, boot)

    def _is_truth(self, labeler: str) -> bool:
        return bool(labeler.partition("/")[0] == self.config.truth)


def _cut_alike(stages: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
    """Steps that were cut differently have no ids in common."""
    for stage in stages[1:]:
        for name in _CUT:
            here, first = stage.config.get(name), stages[0].config.get(name)
            if here != first and None not in (here, first):
                what = f"{stages[0].name!r} and {stage.name!r} cut rollouts differently ({name}: {first} and {here})"
                yield "labelers", what, "give both the same segmenter, max_steps and overflow"
                return


def _slices(places: pl.DataFrame, by: Sequence[str]) -> Iterator[tuple[str, str, pl.DataFrame]]:
    """The whole, then every value of every key: rollouts with their outcome."""
    yield ALL, ALL, places.select("rollout_id", "outcome")
    for key in by:
        for value in places[key].drop_nulls().unique().sort().to_list():
            yield key, value, places.filter(pl.col(key) == value).select("rollout_id", "outcome")


def _rows(labeler: str, reference: str, is_truth: bool, found: Iterable[Found]) -> Iterator[Row]:
    for metric, estimate in found:
        yield _row(labeler, reference, is_truth, metric, estimate)


def _curve(labeler: str, reference: str, is_truth: bool, predicted: pl.DataFrame, boot: Bootstrap) -> Iterator[Row]:
    found, bins = calibration(predicted, boot)
    yield from _rows(labeler, reference, is_truth, found)
    for each in bins:
        yield _reliability(labeler, reference, is_truth, each)


def _reliability(labeler: str, reference: str, is_truth: bool, each: Bin) -> Row:
    row = _row(labeler, reference, is_truth, "reliability", each.observed)
    return row | {"bin": each.bin, "predicted": round(each.predicted, _DECIMALS)}


def _row(labeler: str, reference: str, is_truth: bool, metric: str, estimate: BootstrapEstimate) -> Row:
    ends = (None if x is None else round(x, _DECIMALS) for x in estimate[:3])
    return {
        "labeler": labeler,
        "reference": reference,
        "is_truth": is_truth,
        "metric": metric,
        "bin": 0,
        **dict(zip(("value", "low", "high"), ends, strict=True)),
        "predicted": None,
        "n": estimate.n,
        "n_problems": estimate.problems,
    }
