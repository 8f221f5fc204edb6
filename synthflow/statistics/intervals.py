"""How sure a proportion is: Wilson intervals and standard errors that never call 0 of n certain.

Everything is vectorised over arrays of counts and gives NaN where nothing was counted: no observation is not a zero.

Sources. `wilson`: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927),
the score interval without continuity correction. `standard_error`: our default. The plain (Wald) variance
p(1 - p)/n is 0 at 0/n and n/n, where a sample knows least about the rare side; so the variance is taken at the centre
of the Wilson interval, (k + z²/2)/(n + z²), which Agresti and Coull ("Approximate is better than exact", The American
Statistician 52, 1998) use as their adjusted estimate. It is never below the plain one, equals it at one half, and is
.13 at 0 of 8. `difference_error` adds the variances of two independent estimates. `difference_low`: Newcombe, "Interval
estimation for the difference between independent proportions", Statistics in Medicine 17 (1998), his method 10, which
joins two Wilson intervals.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Z95 = NormalDist().inv_cdf(0.975)
"""1.95996…: two-sided 95%."""

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    low: Floats
    high: Floats


def _counts(successes: ArrayLike, n: ArrayLike) -> tuple[Floats, Floats]:
    k, count = np.broadcast_arrays(np.asarray(successes, np.float64), np.asarray(n, np.float64))
    if ((k < 0) | (k > count)).any():
        raise ValueError("successes must lie between 0 and n")
    return k, np.where(count > 0, count, np.nan)


def wilson(successes: ArrayLike, n: ArrayLike, z: float = Z95) -> Interval:
    """Wilson score interval of a proportion; NaN where n is 0.

    centre = (k + z²/2) / (n + z²); half width = z / (n + z²) · sqrt(k (n - k) / n + z²/4).

    Raises:
        ValueError: for counts that cannot be.
    """
    k, count = _counts(successes, n)
    total = count + z * z
    centre = (k + z * z / 2) / total
    half = z / total * np.sqrt(k * (count - k) / count + z * z / 4)
    # Exact ends, which rounding would miss by 1e-17: the interval of 0/n starts at 0.
    low = np.where(k == 0, 0.0 * total, np.maximum(centre - half, 0.0))
    high = np.where(k == count, 1.0 + 0.0 * total, np.minimum(centre + half, 1.0))
    return Interval(low, high)


def standard_error(successes: ArrayLike, n: ArrayLike, z: float = Z95) -> Floats:
    """Standard error of k/n with the variance taken at the Wilson centre (our default); NaN where n is 0.

    Raises:
        ValueError: for counts that cannot be.
    """
    k, count = _counts(successes, n)
    centre = (k + z * z / 2) / (count + z * z)
    return np.asarray(np.sqrt(centre * (1 - centre) / count), np.float64)


def difference_error(first: ArrayLike, second: ArrayLike) -> Floats:
    """Standard error of the difference of two independent estimates from theirs."""
    return np.hypot(np.asarray(first, np.float64), np.asarray(second, np.float64))


def difference_low(higher: ArrayLike, higher_low: ArrayLike, lower: ArrayLike, lower_high: ArrayLike) -> Floats:
    """Lower end of Newcombe's interval of `higher - lower`, from the inner ends of their Wilson intervals.

    difference - sqrt((higher - higher_low)² + (lower_high - lower)²). Above 0, the two differ at the level of the
    intervals: a sharper test than whether these overlap. NaN where either is undecided.
    """
    p, q = np.asarray(higher, np.float64), np.asarray(lower, np.float64)
    return np.asarray(p - q - np.hypot(p - np.asarray(higher_low), np.asarray(lower_high) - q), np.float64)
