"""`measure.qdc`: quality, diversity, complexity and exploration of what every stage retains.

Invariant: one row of accumulators a (stage, metric, group), where a group is one problem under one policy, round and
sampling; a row depends on the rollouts of its group only, so rows are the same whatever the partition size, and any
slice (domain, difficulty, policy, round) is a merge of rows, made by a query. Stages that retain the same rollouts
are measured once and written under each name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from synthflow import registry
from synthflow.contracts import Estimate, Inputs, Services, Stage, StageConfig, StageInfo
from synthflow.rollouts.views import check_verdicts
from synthflow.schema import STATS
from synthflow.stages.measure.observations import Observed, observe
from synthflow.stages.measure.populations import Mask, Populations
from synthflow.statistics.accumulate import Accumulators, accumulate, as_table, for_all_rows
from synthflow.statistics.metrics import all_metrics, metric_of
from synthflow.statistics.metrics.metric import ElementMetric, GroupMetric
from synthflow.statistics.metrics.population import Population
from synthflow.statistics.sketches import MAX_NGRAM

ROWS_PER_GROUP = 30
"""Rows of a group under one stage, about: for the estimate of a plan."""


class QdcConfig(StageConfig):
    verdicts: str | None = Field(None, description="the verify stage whose verdicts count, where several are above")
    ngram: int = Field(4, ge=1, le=MAX_NGRAM, description="words of an n-gram in distinct-n and self-similarity")
    sketch_size: int = Field(64, ge=16, le=65_536, description="hashes kept of a set for distinct counts")


class MeasureQdc(Stage):
    """Measures the stages in `of` and all of their ancestors that have rollouts."""

    use: ClassVar[str] = "measure.qdc"
    version: ClassVar[str] = "2"
    Config: ClassVar[type[StageConfig]] = QdcConfig
    reads: ClassVar[tuple[str, ...]] = ("rollouts", "scores", "problems")
    writes: ClassVar[tuple[str, ...]] = ("stats",)
    summary: ClassVar[str] = "Quality, diversity, complexity and pass@k of what every stage above retains."

    def full_version(self) -> str:
        """Its own, and those of the packages whose metrics it computes."""
        others = {registry.distribution("metrics", name) for name in registry.names("metrics")}
        return "+".join([self.version, *sorted(others)])

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        return check_verdicts(ancestors, self.config.verdicts)

    def estimate(self, upstream: Estimate) -> Estimate:
        rows = upstream.problems * ROWS_PER_GROUP * max(1, len(self.config.of))
        return Estimate(upstream.problems, upstream.rollouts, rows={"stats": rows}, note="rows for each stage above")

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        observed = observe(inputs, self.config.verdicts)
        masks = Populations(inputs, observed.first, observed.origin).masks()
        distinct = {mask.tobytes(): mask for mask in masks.values()}
        rows = (_rows(parts, observed.groups) for parts in self._measure(observed, list(distinct.values())))
        measured = dict(zip(distinct, rows, strict=True))
        tables = [_of_stage(measured[mask.tobytes()], stage, services.stage_id) for stage, mask in masks.items()]
        stats = pa.concat_tables([STATS.empty(), *tables])
        services.count(rows=stats.num_rows)
        return {"stats": stats}

    def _measure(self, observed: Observed, masks: Sequence[Mask]) -> list[list[Accumulators]]:
        """Accumulators of each population."""
        found = [list(_of_rollouts(observed, mask)) for mask in masks]
        for rows in observed.chunks():
            chunk = observed.chunk(rows, self.config.ngram)
            for parts, mask in zip(found, masks, strict=True):
                if mask[rows].any():
                    parts.extend(_of_groups(Population(chunk, mask[rows]), self.config.sketch_size))
        return found


def _of_rollouts(observed: Observed, mask: Mask) -> Iterable[Accumulators]:
    for name, values in observed.values.items():
        yield accumulate(name, observed.group[mask], values[mask], metric_of(name).bins)


def _of_groups(population: Population, sketch_size: int) -> Iterable[Accumulators]:
    for metric in all_metrics():
        if isinstance(metric, GroupMetric | ElementMetric):
            yield from metric.measured(population, sketch_size)


def _rows(parts: Sequence[Accumulators], groups: pa.Table) -> pa.Table:
    """Rows of `stats` without whose they are: `groups` has problem_id and slice_value by code."""
    table = as_table(parts)
    axes = for_all_rows([metric_of(part.metric).axis for part in parts], parts)
    for name, column in zip(groups.column_names, groups.take(table["group"]).columns, strict=True):
        table = table.append_column(name, column)
    return table.drop_columns("group").append_column("axis", axes)


def _of_stage(rows: pa.Table, stage: str, stage_id: str) -> pa.Table:
    same = {"stage": stage, "slice_key": "group", "stage_id": stage_id}
    for name, value in same.items():
        rows = rows.append_column(name, pa.repeat(value, rows.num_rows))
    return STATS.conform(rows)
