"""Accumulators: what a population of observations leaves behind, so that parts add up to the whole.

Invariant: `merge` is associative and commutative with `EMPTY` as its neutral element (sums of floats up to
rounding), so a million shards give the same statistics in whatever order they are added. Mean, spread, quantiles
and distinct counts are read from the merged accumulator; no second pass over the data is needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from synthflow.statistics.sketches import distinct_estimate, merge_sketches


@dataclass(frozen=True, slots=True)
class Accumulator:
    """The columns of a `stats` row that hold numbers. `sketch` ends with its bound (see `hashing`)."""

    count: float = 0.0
    total: float = 0.0
    total_sq: float = 0.0
    minimum: float | None = None
    maximum: float | None = None
    histogram: tuple[int, ...] | None = None
    sketch: tuple[int, ...] | None = None

    @staticmethod
    def from_row(row: Mapping[str, Any]) -> Accumulator:
        """From a row of `stats` as a dict."""
        values: dict[str, Any] = {name: row[name] for name in Accumulator.__slots__}
        for name in ("histogram", "sketch"):
            values[name] = tuple(row[name]) if row[name] is not None else None
        return Accumulator(**values)

    @staticmethod
    def of(values: Sequence[float]) -> Accumulator:
        """From observations, without histogram and sketch."""
        if not values:
            return EMPTY
        return Accumulator(len(values), sum(values), sum(v * v for v in values), min(values), max(values))

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.count else None

    @property
    def std(self) -> float | None:
        """Sample standard deviation (n - 1); None for fewer than two observations."""
        if self.count < 2:
            return None
        # Rounding can leave a tiny negative variance where all observations are equal.
        return math.sqrt(max(0.0, (self.total_sq - self.total**2 / self.count) / (self.count - 1)))

    @property
    def distinct(self) -> float | None:
        """Estimated number of distinct elements; None without a sketch."""
        return None if self.sketch is None else distinct_estimate(self.sketch)

    def quantile(self, q: float, edges: Sequence[float]) -> float | None:
        """The q-quantile, interpolated within its bin and held to [minimum, maximum]; None without a histogram.

        Args:
            q: in [0, 1].
            edges: ascending, one more than bins.

        Raises:
            ValueError: if q or the number of edges does not fit.
        """
        if not 0.0 <= q <= 1.0:
            raise ValueError(f"a quantile lies in [0, 1], not {q}")
        if self.histogram is None or not any(self.histogram):
            return None
        if len(edges) != len(self.histogram) + 1:
            raise ValueError(f"{len(self.histogram)} bins need {len(self.histogram) + 1} edges, not {len(edges)}")
        wanted, below, value = q * sum(self.histogram), 0, edges[-1]
        for low, high, held in zip(edges, edges[1:], self.histogram, strict=False):
            if held and below + held >= wanted:
                value = low + (high - low) * (wanted - below) / held
                break
            below += held
        lowest = self.minimum if self.minimum is not None else -math.inf
        highest = self.maximum if self.maximum is not None else math.inf
        return min(max(value, lowest), highest)


EMPTY = Accumulator()


def merge(a: Accumulator, b: Accumulator) -> Accumulator:
    """The accumulator of the observations of both.

    Raises:
        ValueError: if both have histograms of different lengths: they do not belong to one metric.
    """
    return Accumulator(
        a.count + b.count,
        a.total + b.total,
        a.total_sq + b.total_sq,
        _extreme(min, a.minimum, b.minimum),
        _extreme(max, a.maximum, b.maximum),
        _added(a.histogram, b.histogram),
        tuple(merge_sketches(s for s in (a.sketch, b.sketch) if s is not None))
        if a.sketch is not None or b.sketch is not None
        else None,
    )


def merge_all(parts: Iterable[Accumulator]) -> Accumulator:
    """All parts as one; EMPTY for none."""
    return reduce(merge, parts, EMPTY)


def _extreme(best: Any, a: float | None, b: float | None) -> float | None:
    known = [x for x in (a, b) if x is not None]
    return best(known) if known else None


def _added(a: tuple[int, ...] | None, b: tuple[int, ...] | None) -> tuple[int, ...] | None:
    if a is None or b is None:
        return a if b is None else b
    return tuple(x + y for x, y in zip(a, b, strict=True))
