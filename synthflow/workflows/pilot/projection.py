"""From a sample of problems to all of them, with a range.

Invariants: what a pilot measured is taken as it is, and only the other problems are projected; so a pilot of every
problem has no range left. All quantities are drawn together, problem by problem, which keeps what belongs together
(tokens, disk, pairs) together. Seeds are fixed: the same pilot gives the same numbers.

The range is that of a bootstrap over problems (Efron 1979), for the total of a finite population: of `n` measured
problems, weights are drawn as a bootstrap draws them, and the N - n other problems from those (the Pólya posterior of
Ghosh and Meeden 1997 in spirit). Its percentiles are expanded for small samples after Hesterberg 2015, "What Teachers
Should Know about the Bootstrap", since plain ones are too narrow for n = 16.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.9
REPLICATES = 2000
_SEED = 20160

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Range:
    """A projected number: the best guess and the ends of its 90% range; None where nobody can tell."""

    value: float
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def times(self, factor: float) -> Range:
        ends = (None if end is None else end * factor for end in (self.low, self.high))
        return Range(self.value * factor, *ends)

    def plus(self, fixed: float) -> Range:
        ends = (None if end is None else end + fixed for end in (self.low, self.high))
        return Range(self.value + fixed, *ends)


@dataclass(frozen=True, slots=True)
class Sampled:
    """What was measured of one source: a number a problem by quantity, for `n` of the `total` problems it holds."""

    columns: Mapping[str, Vector]
    total: int

    @property
    def n(self) -> int:
        return len(next(iter(self.columns.values())))


class Projection:
    """Totals over all problems of all sources, from what was measured of some.

    Args:
        sources: at least one, each with at least one problem and the same quantities.
    """

    def __init__(self, sources: Sequence[Sampled]) -> None:
        self.sources = tuple(sources)
        self.n = sum(s.n for s in sources)
        self.total = sum(s.total for s in sources)
        rng = np.random.default_rng(_SEED)
        self._counts = [_draws(s.n, s.total - s.n, rng) for s in self.sources]
        self.rng = rng

    @property
    def complete(self) -> bool:
        """Whether every problem was measured."""
        return self.n == self.total

    def value(self, name: str) -> float:
        """The best guess: what was measured, and the mean of each source for each of its other problems."""
        guesses = (s.columns[name].sum() + (s.total - s.n) * s.columns[name].mean() for s in self.sources)
        return float(sum(guesses))

    def replicates(self, name: str) -> Vector:
        """Drawn totals, in the same order for every quantity. Shape (REPLICATES,)."""
        totals = np.zeros(REPLICATES)
        for source, counts in zip(self.sources, self._counts, strict=True):
            column = source.columns[name]
            totals += column.sum() + counts @ column
        return totals

    def of(self, name: str) -> Range:
        """The total of a quantity.

        Where no problem had any, nobody can say how much the others have: the upper end is None.
        """
        column = np.concatenate([s.columns[name] for s in self.sources])
        if not column.any() and not self.complete:
            return Range(0.0, 0.0, None)
        return self.between(self.value(name), self.replicates(name))

    def share(self, name: str) -> Range:
        """The total of a quantity that is 0 or 1 a problem.

        Where all problems agreed, the end is that of an exact binomial interval: 1 - (alpha/2)^(1/n) of the others may
        differ (the "rule of three", Hanley and Lippman-Hand 1983).
        """
        column = np.concatenate([s.columns[name] for s in self.sources])
        differ = (1 - ((1 - LEVEL) / 2) ** (1 / self.n)) * (self.total - self.n)
        if not column.any():
            return Range(0.0, 0.0, differ)
        if column.all():
            return Range(float(self.total), self.total - differ, float(self.total))
        return self.between(self.value(name), self.replicates(name))

    def between(self, value: float, replicates: Vector) -> Range:
        """The range of a number from its replicates: expanded percentiles. None for a single problem of many."""
        if self.complete and np.ptp(replicates) == 0:
            return Range(value, value, value)
        if self.n < 2:
            return Range(value, None, None)
        low, high = np.quantile(replicates, expanded_levels(self.n))
        return Range(value, min(float(low), value), max(float(high), value))


def _draws(n: int, others: int, rng: np.random.Generator) -> Vector:
    """How often each measured problem stands for one of the others. Shape (REPLICATES, n); rows sum to `others`."""
    weights = rng.multinomial(n, np.full(n, 1 / n), size=REPLICATES) / n
    return rng.multinomial(others, weights).astype(np.float64)


def expanded_levels(n: int, level: float = LEVEL) -> tuple[float, float]:
    """Percentiles of a bootstrap of `n` values that give an interval as wide as Student's for a mean.

    Hesterberg 2015, section 5.3: alpha' / 2 = Phi(-sqrt(n / (n - 1)) t(1 - alpha / 2, n - 1)).
    """
    reach = (n / (n - 1)) ** 0.5 * t_quantile(1 - (1 - level) / 2, n - 1)
    low = NormalDist().cdf(-reach)
    return low, 1 - low


def t_quantile(p: float, freedom: int) -> float:
    """Student's quantile, by the expansion 26.7.5 of Abramowitz and Stegun; to 0.01 from 4 degrees of freedom on."""
    z, v = NormalDist().inv_cdf(p), float(freedom)
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * v**4)
    )
