"""`measure.qdc`: quality, diversity, complexity and exploration of what every stage retains.

Invariant: one row of accumulators a (stage, metric, group), where a group is one problem under one policy, round and
sampling; a row depends on the rollouts of its group only, so rows are the same whatever the partition size, and any
slice (domain, difficulty, policy, round) is a merge of rows, made by a query. Stages that retain the same rollouts
are measured once and written under each name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import polars as pl
import pyarrow as pa
from pydantic import Field

from synthflow import registry
from synthflow.contracts import Estimate, Inputs, Services, Stage, StageConfig, StageInfo
from synthflow.rollouts.views import check_verdicts
from synthflow.schema import STATS
from synthflow.stages.measure.observations import Observed, observe
from synthflow.stages.measure.populations import Mask, Populations
from synthflow.statistics.accumulate import SCHEMA, accumulate
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
        masks = Populations(inputs, observed.rollouts, observed.origin).masks()
        distinct = {mask.tobytes(): mask for mask in masks.values()}
        measured = dict(zip(distinct, self._measure(observed, list(distinct.values())), strict=True))
        frames = [measured[mask.tobytes()].with_columns(stage=pl.lit(stage)) for stage, mask in masks.items()]
        stats = _rows(pl.concat(frames), observed.groups, services.stage_id) if frames else STATS.empty()
        services.count(rows=stats.num_rows)
        return {"stats": stats}

    def _measure(self, observed: Observed, masks: Sequence[Mask]) -> list[pl.DataFrame]:
        """Accumulators (columns of `accumulate.SCHEMA`) of each population."""
        found = [[pl.DataFrame(schema=SCHEMA), *_of_rollouts(observed, mask)] for mask in masks]
        for rows in observed.chunks():
            chunk = observed.chunk(rows, self.config.ngram)
            for frames, mask in zip(found, masks, strict=True):
                if mask[rows].any():
                    frames.extend(_of_groups(Population(chunk, mask[rows]), self.config.sketch_size))
        return [pl.concat(frames) for frames in found]


def _of_rollouts(observed: Observed, mask: Mask) -> Iterable[pl.DataFrame]:
    for name, values in observed.values.items():
        yield accumulate(name, observed.group[mask], values[mask], metric_of(name).bins)


def _of_groups(population: Population, sketch_size: int) -> Iterable[pl.DataFrame]:
    for metric in all_metrics():
        if isinstance(metric, GroupMetric | ElementMetric):
            yield from metric.measured(population, sketch_size)


def _rows(measured: pl.DataFrame, groups: pl.DataFrame, stage_id: str) -> pa.Table:
    """Rows of `stats`: names of the group, axis of the metric, sorted by key."""
    axes = {name: metric_of(name).axis for name in measured["metric"].unique()}
    named = measured.join(groups, on="group").with_columns(
        pl.col("metric").replace_strict(axes, return_dtype=pl.String).alias("axis"),
        slice_key=pl.lit("group"),
        stage_id=pl.lit(stage_id),
    )
    table: pa.Table = named.sort(*STATS.key).select(STATS.names).to_arrow()
    return STATS.conform(table)
