"""Columns of observations to accumulators, one a group.

Invariant: the numbers of a group depend on its own observations and their order only, never on which groups stand
beside them: sums run in the order of the rows (`bincount` adds one after the other), so that partitions of any size
give the same bits. Accumulators of many metrics stay plain arrays until `as_table` makes one table of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from synthflow.statistics.sketches import HASH_SPACE

F64 = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class Accumulators:
    """Accumulators of one metric, a row for each of some groups.

    Attributes:
        group: the groups' codes.
        histogram: counts, bins by rows; None for none.
        sketch: hashes of all rows, one row after the other; None for none.
        sketched: hashes of each row in `sketch`.
    """

    metric: str
    group: Codes
    count: F64
    total: F64
    total_sq: F64
    minimum: F64
    maximum: F64
    histogram: NDArray[np.int64] | None = None
    sketch: NDArray[np.int64] | None = None
    sketched: NDArray[np.int64] | None = None


def as_table(parts: Sequence[Accumulators]) -> pa.Table:
    """One table of all: group, metric, count, total, total_sq, minimum, maximum, histogram and sketch."""
    rows = np.array([len(part.group) for part in parts], np.int64)
    bins = [None if part.histogram is None else np.full(len(part.group), part.histogram.shape[1]) for part in parts]
    counts = [None if part.histogram is None else part.histogram.ravel() for part in parts]
    numbers = {
        name: np.concatenate([np.empty(0), *(getattr(part, name) for part in parts)])
        for name in ("count", "total", "total_sq", "minimum", "maximum")
    }
    return pa.table(
        {
            "group": np.concatenate([np.empty(0, np.int64), *(part.group for part in parts)]),
            "metric": for_all_rows([part.metric for part in parts], parts),
            **numbers,
            "histogram": _lists(rows, bins, counts),
            "sketch": _lists(rows, [part.sketched for part in parts], [part.sketch for part in parts]),
        }
    )


def for_all_rows(names: Sequence[str], parts: Sequence[Accumulators]) -> pa.Array[Any]:
    """A name for each part, once a row."""
    places = np.repeat(np.arange(len(parts), dtype=np.int32), [len(part.group) for part in parts])
    return pa.DictionaryArray.from_arrays(places, pa.array(names, pa.string()))


def _lists(rows: Codes, lengths: Sequence[Codes | None], values: Sequence[Codes | None]) -> pa.Array[Any]:
    """A list a row, null in the parts that have none."""
    nothing = [np.zeros(n, np.int64) for n in rows]
    length = np.concatenate([[0], *(n if given is None else given for n, given in zip(nothing, lengths, strict=True))])
    held = np.concatenate([np.empty(0, np.int64), *(v for v in values if v is not None)])
    is_null = np.repeat([given is None for given in lengths], rows)
    return pa.ListArray.from_arrays(
        pa.array(np.cumsum(length), pa.int32()), pa.array(held, pa.int64()), mask=pa.array(is_null, pa.bool_())
    )


def group_sums(groups: Codes, values: F64, n_groups: int) -> F64:
    """Sum of values by group, in row order."""
    sums: F64 = np.bincount(groups, weights=values, minlength=n_groups).astype(np.float64)
    return sums


def runs(groups: Codes) -> tuple[Codes, Codes, Codes]:
    """Each of ascending codes once, where its rows begin, and how many these are."""
    if not len(groups):
        return groups, groups, groups
    codes = np.arange(groups[0], groups[-1] + 1)
    ends = np.searchsorted(groups, codes, side="right")
    counts = np.diff(ends, prepend=0)
    some = counts > 0
    return codes[some], (ends - counts)[some], counts[some]


def accumulate(metric: str, groups: Codes, values: F64, edges: Sequence[float] | None = None) -> Accumulators:
    """Accumulators of the values by group; values that are not finite are no observations.

    Args:
        groups: code of each value's group, ascending, from 0.
        edges: of the histogram; None for none.
    """
    seen = np.isfinite(values)
    if not seen.all():
        groups, values = groups[seen], values[seen]
    present, starts, counts = runs(groups)
    local = np.repeat(np.arange(len(present)), counts)
    return Accumulators(
        metric,
        present,
        counts.astype(np.float64),
        group_sums(local, values, len(present)),
        group_sums(local, values * values, len(present)),
        _extremes(np.minimum, values, starts),
        _extremes(np.maximum, values, starts),
        _histograms(local, values, len(present), edges),
    )


def one_each(metric: str, groups: Codes, values: F64) -> Accumulators:
    """Accumulators of metrics with one observation a group; values that are not finite are none."""
    seen = np.isfinite(values)
    groups, values = groups[seen], values[seen]
    return Accumulators(metric, groups, np.ones(len(values)), values, values * values, values, values)


def sketched(metric: str, groups: Codes, hashes: Codes, seen: F64, size: int) -> Accumulators:
    """Accumulators of distinct counts: `count` and `total` are the elements seen, `sketch` their set.

    Args:
        groups: code of each distinct element's group, ascending.
        hashes: 62-bit hash of each, ascending within its group.
        seen: elements seen in each group, repetitions included; indexed by group.
        size: hashes kept.
    """
    present, starts, counts = runs(groups)
    # One more than is kept: the first hash that is left out is the bound, the last entry of a sketch.
    lengths = np.minimum(counts, size) + 1
    place = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    there = place < np.repeat(counts, lengths)
    flat = np.full(len(place), HASH_SPACE, dtype=np.int64)
    flat[there] = hashes[(np.repeat(starts, lengths) + place)[there]]
    counted, ones = seen[present], np.ones(len(present))
    return Accumulators(metric, present, counted, counted, counted, ones, ones, sketch=flat, sketched=lengths)


def _extremes(which: np.ufunc, values: F64, starts: Codes) -> F64:
    found: F64 = which.reduceat(values, starts) if len(starts) else np.empty(0)
    return found


def _histograms(local: Codes, values: F64, n_groups: int, edges: Sequence[float] | None) -> NDArray[np.int64] | None:
    if edges is None:
        return None
    n_bins = len(edges) - 1
    place = np.clip(np.searchsorted(np.asarray(edges), values, side="right") - 1, 0, n_bins - 1)
    return np.bincount(local * n_bins + place, minlength=n_groups * n_bins).reshape(n_groups, n_bins)
