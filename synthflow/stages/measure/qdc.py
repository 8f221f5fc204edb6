"""`measure.qdc`: quality, diversity, complexity and exploration of what every stage retains.

Invariant: one row of accumulators a (stage, metric, group), where a group is one problem under one policy, round and
sampling; a row depends on the rollouts of its group only, so rows are the same whatever the partition size, and any
slice (domain, difficulty, policy, round) is a merge of rows, made by a query. Stages that retain the same rollouts
are measured once and written under each name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from synthflow.contracts import Estimate, Inputs, Services, Stage, StageConfig, StageInfo
from synthflow.rollouts.views import check_verdicts
from synthflow.schema import STATS
from synthflow.stages.measure.metrics import metric_of
from synthflow.stages.measure.observations import Observed, observe
from synthflow.stages.measure.populations import Mask, Populations
from synthflow.statistics.accumulate import SCHEMA, accumulate, group_sums, one_each, sketched
from synthflow.statistics.diversity import SAMPLE, distinct_and_entropy, jaccard_kernels, self_similarity, vendi
from synthflow.statistics.pass_at_k import exploration
from synthflow.statistics.sketches import MAX_NGRAM, ngram_hashes
from synthflow.statistics.texts import shapes, words
from synthflow.stores.catalog.bins import BINS

I64 = NDArray[np.int64]
ROWS_PER_GROUP = 30
"""Rows of a group under one stage, about: for the estimate of a plan."""


class QdcConfig(StageConfig):
    verdicts: str | None = Field(None, description="the verify stage whose verdicts count, where several are above")
    ngram: int = Field(4, ge=1, le=MAX_NGRAM, description="words of an n-gram in distinct-n and self-similarity")
    sketch_size: int = Field(64, ge=16, le=65_536, description="hashes kept of a set for distinct counts")


class MeasureQdc(Stage):
    """Measures the stages in `of` and all of their ancestors that have rollouts."""

    use: ClassVar[str] = "measure.qdc"
    version: ClassVar[str] = "1"
    Config: ClassVar[type[StageConfig]] = QdcConfig
    reads: ClassVar[tuple[str, ...]] = ("rollouts", "scores", "problems")
    writes: ClassVar[tuple[str, ...]] = ("stats",)
    summary: ClassVar[str] = "Quality, diversity, complexity and pass@k of what every stage above retains."

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
        found = [[pl.DataFrame(schema=SCHEMA), *_scalars(observed, mask)] for mask in masks]
        for chunk in observed.chunks():
            texts = _Texts(observed, chunk, self.config.ngram)
            for frames, mask in zip(found, masks, strict=True):
                frames.extend(texts.measured(mask[chunk], self.config.sketch_size))
        return [pl.concat(frames) for frames in found]


def _scalars(observed: Observed, mask: Mask) -> Iterable[pl.DataFrame]:
    """Metrics that need no text: sums of per-rollout values, answers, difficulty, pass@k."""
    group, n_groups = observed.group[mask], observed.groups.height
    for metric, values in observed.per_rollout.items():
        yield accumulate(metric, group, values[mask], BINS.get(metric))
    answer = observed.rollouts["answer"].filter(pl.Series(mask))
    has_answer = answer.is_not_null().to_numpy()
    codes = answer.drop_nulls().rank("dense").cast(pl.Int64).to_numpy()
    present, distinct, entropy = distinct_and_entropy(group[has_answer], codes)
    yield one_each("distinct_answers", present, distinct)
    yield one_each("answer_entropy", present, entropy)
    groups = np.unique(group)
    yield one_each("difficulty", groups, observed.difficulty[groups])
    passed = observed.per_rollout["pass_rate"][mask]
    judged = np.isfinite(passed)
    n = np.bincount(group[judged], minlength=n_groups)[groups]
    correct = group_sums(group[judged], passed[judged], n_groups)[groups].astype(np.int64)
    yield exploration(groups, n, correct)


class _Grams:
    """The n-grams of some texts, as codes in the order of their hashes."""

    def __init__(self, words: I64, lengths: I64, n: int) -> None:
        self.text, hashes = ngram_hashes(words, lengths, n)
        self.seen = np.bincount(self.text, minlength=len(lengths)).astype(np.float64)
        self.hashes, self.codes = np.unique(hashes, return_inverse=True)

    def distinct(self, owner: I64, mask: Mask) -> tuple[I64, I64]:
        """Owner and code of each gram that the texts of `mask` hold, once an owner; sorted by both.

        Args:
            owner: whom each text belongs to, such as its group.
        """
        kept = mask[self.text]
        base = max(1, len(self.hashes))
        keys = np.sort(owner[self.text[kept]] * base + self.codes[kept])
        keys = keys[np.diff(keys, prepend=-1) != 0]
        return keys // base, keys % base


class _Texts:
    """N-grams and shapes of the texts of one chunk, hashed once and measured for each population."""

    def __init__(self, observed: Observed, chunk: slice, ngram: int) -> None:
        texts = observed.rollouts["text"][chunk]
        self.group = observed.group[chunk]
        self.ngram = ngram
        self.shapes = shapes(texts)
        hashes, lengths = words(texts)
        self.grams = {n: _Grams(hashes, lengths, n) for n in sorted({1, 2, ngram})}

    def measured(self, mask: Mask, sketch_size: int) -> Iterable[pl.DataFrame]:
        group = self.group[mask]
        if not len(group):
            return
        size = int(group.max()) + 1
        present, distinct, _ = distinct_and_entropy(group, self.shapes[mask])
        yield one_each("distinct_shapes", present, distinct)
        order = np.lexsort((self.shapes[mask], group))
        cells = np.stack([group, self.shapes[mask]])[:, order]
        cells = cells[:, np.append(True, (np.diff(cells) != 0).any(axis=0))]
        seen = np.bincount(group, minlength=size).astype(np.float64)
        yield sketched("corpus_shapes", cells[0], cells[1], seen, sketch_size)
        for n, grams in self.grams.items():
            seen = group_sums(group, grams.seen[mask], size)
            owner, code = grams.distinct(self.group, mask)
            held = np.bincount(owner, minlength=size)
            some = np.flatnonzero(seen)
            yield one_each(f"distinct_{n}", some, held[some] / seen[some])
            yield sketched(f"corpus_ngrams_{n}", owner, grams.hashes[code], seen, sketch_size)
        yield from self._similarity(mask)

    def _similarity(self, mask: Mask) -> Iterable[pl.DataFrame]:
        rows = np.flatnonzero(mask)
        present, starts, counts = np.unique(self.group[rows], return_index=True, return_counts=True)
        slot = np.full(len(mask), SAMPLE)
        slot[rows] = np.arange(len(rows)) - np.repeat(starts, counts)
        place = np.zeros(len(mask), dtype=np.int64)
        place[rows] = np.repeat(np.arange(len(present)), counts)
        text, code = self.grams[self.ngram].distinct(np.arange(len(mask)), slot < SAMPLE)
        members = np.minimum(counts, SAMPLE)
        kernels = jaccard_kernels(place[text], slot[text], code, members)
        yield one_each("self_similarity", present, self_similarity(kernels, members))
        yield one_each("vendi", present, vendi(kernels, members))


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
