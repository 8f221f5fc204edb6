"""Columns of observations to accumulators, one a group.

Invariant: the numbers of a group depend on its own observations and their order only, never on which groups stand
beside them: sums run in the order of the rows (`bincount` adds one after the other), so that partitions of any size
give the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from synthflow.statistics.sketches import HASH_SPACE

F64 = NDArray[np.float64]
Codes = NDArray[np.int64]

SCHEMA: dict[str, pl.DataType] = {
    "group": pl.Int64(),
    "metric": pl.String(),
    "count": pl.Float64(),
    "total": pl.Float64(),
    "total_sq": pl.Float64(),
    "minimum": pl.Float64(),
    "maximum": pl.Float64(),
    "histogram": pl.List(pl.Int64),
    "sketch": pl.List(pl.Int64),
}
"""Columns of what `accumulate`, `one_each` and `sketched` return; `group` is the group's code."""


def group_sums(groups: Codes, values: F64, n_groups: int) -> F64:
    """Sum of values by group, in row order."""
    sums: F64 = np.bincount(groups, weights=values, minlength=n_groups).astype(np.float64)
    return sums


def accumulate(metric: str, groups: Codes, values: F64, edges: Sequence[float] | None = None) -> pl.DataFrame:
    """Accumulators of the values by group; values that are not finite are no observations.

    Args:
        groups: code of each value's group, ascending, from 0.
        edges: of the histogram; None for none.
    """
    seen = np.isfinite(values)
    groups, values = groups[seen], values[seen]
    if not len(groups):
        return pl.DataFrame(schema=SCHEMA)
    present, starts, counts = np.unique(groups, return_index=True, return_counts=True)
    local = np.repeat(np.arange(len(present)), counts)
    return _frame(
        metric,
        present,
        counts.astype(np.float64),
        group_sums(local, values, len(present)),
        group_sums(local, values * values, len(present)),
        np.minimum.reduceat(values, starts),
        np.maximum.reduceat(values, starts),
        _histograms(local, values, len(present), edges),
    )


def one_each(metric: str, groups: Codes, values: F64) -> pl.DataFrame:
    """Accumulators of metrics with one observation a group; values that are not finite are none."""
    seen = np.isfinite(values)
    groups, values = groups[seen], values[seen]
    return _frame(metric, groups, np.ones(len(values)), values, values * values, values, values, None)


def sketched(metric: str, groups: Codes, hashes: Codes, seen: F64, size: int) -> pl.DataFrame:
    """Accumulators of distinct counts: `count` and `total` are the elements seen, `sketch` their set.

    Args:
        groups: code of each distinct element's group, ascending.
        hashes: 62-bit hash of each, ascending within its group.
        seen: elements seen in each group, repetitions included; indexed by group.
        size: hashes kept.
    """
    present, starts, counts = np.unique(groups, return_index=True, return_counts=True)
    rank = np.arange(len(groups)) - np.repeat(starts, counts)
    # One more than is kept: the first hash that is left out is the bound, the last entry of a sketch.
    lengths = np.minimum(counts, size) + 1
    ends = np.cumsum(lengths)
    flat = np.full(int(lengths.sum()), HASH_SPACE, dtype=np.int64)
    kept = rank <= size
    flat[np.repeat(ends - lengths, np.minimum(counts, size + 1)) + rank[kept]] = hashes[kept]
    sketches = pa.ListArray.from_arrays(pa.array(np.append(0, ends), pa.int32()), pa.array(flat))
    counted, ones = seen[present], np.ones(len(present))
    frame = _frame(metric, present, counted, counted, counted, ones, ones, None)
    return frame.with_columns(pl.Series("sketch", sketches, dtype=pl.List(pl.Int64)))


def _histograms(local: Codes, values: F64, n_groups: int, edges: Sequence[float] | None) -> NDArray[np.int64] | None:
    if edges is None:
        return None
    n_bins = len(edges) - 1
    place = np.clip(np.searchsorted(np.asarray(edges), values, side="right") - 1, 0, n_bins - 1)
    return np.bincount(local * n_bins + place, minlength=n_groups * n_bins).reshape(n_groups, n_bins)


def _frame(
    metric: str,
    groups: Codes,
    count: F64,
    total: F64,
    total_sq: F64,
    minimum: F64,
    maximum: F64,
    histogram: NDArray[np.int64] | None,
) -> pl.DataFrame:
    lists = pl.Series("histogram", histogram).cast(pl.List(pl.Int64)) if histogram is not None else None
    return pl.DataFrame(
        {
            "group": groups,
            "metric": pl.Series([metric] * len(groups), dtype=pl.String),
            "count": count,
            "total": total,
            "total_sq": total_sq,
            "minimum": minimum,
            "maximum": maximum,
            "histogram": lists if lists is not None else pl.Series([None] * len(groups), dtype=pl.List(pl.Int64)),
            "sketch": pl.Series([None] * len(groups), dtype=pl.List(pl.Int64)),
        },
        schema=SCHEMA,
    )
