"""What further rollouts are worth where the prior of pass rates is fitted to the first wave.

Invariants: a value never falls with the rollouts, and each further one gains less than the one before, so that the
greedy choice is exact where `knapsack` says so; the same counts give the same prior.

The Jeffreys prior takes 4 of 4 for a pass rate of .9 and 0 of 4 for .1. Most policies' rates lie nearer to the ends:
then too many groups are forecast to become mixed, and rollouts go where they change nothing. So a Beta(a, b) is fitted
to the counts of all problems, by the likelihood of their Beta-binomial distribution, and values are expectations over
each problem's posterior Beta(a + k, b + n - k): E[p (1 - p)^2 (1 - right p^m - wrong (1 - p)^m)], with m the rollouts
whose verdicts are not known (ours, as the rest).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from synthflow.stages.curriculum.knapsack import JEFFREYS, Floats

FEWEST = 10
"""Judged problems below which nothing is fitted: the Jeffreys prior stands."""

_MEANS = (0.01, 0.99)
_SIZES = (0.05, 200.0)
"""Bounds of a / (a + b) and of a + b: beyond them, the likelihood says next to nothing more."""

_GRID, _ROUNDS = 25, 6


def fit_beta(correct: ArrayLike, judged: ArrayLike) -> tuple[float, float]:
    """(a, b) of the Beta distribution that the counts of problems are likeliest under."""
    k, n = np.asarray(correct, np.int64), np.asarray(judged, np.int64)
    pairs, times = np.unique(np.stack([k, n])[:, n > 0], axis=1, return_counts=True)
    if times.sum() < FEWEST:
        return JEFFREYS, JEFFREYS
    (low_m, high_m), (low_s, high_s) = _MEANS, np.log(_SIZES)
    best = (0.5, 0.0)
    for _ in range(_ROUNDS):  # a grid, and a finer one around its best
        grid = [(m, s) for m in np.linspace(low_m, high_m, _GRID) for s in np.linspace(low_s, high_s, _GRID)]
        best = max(
            grid, key=lambda at: _likelihood(at[0] * math.exp(at[1]), (1 - at[0]) * math.exp(at[1]), pairs, times)
        )
        width_m, width_s = 2 * (high_m - low_m) / (_GRID - 1), 2 * (high_s - low_s) / (_GRID - 1)
        low_m, high_m = max(_MEANS[0], best[0] - width_m), min(_MEANS[1], best[0] + width_m)
        low_s, high_s = max(math.log(_SIZES[0]), best[1] - width_s), min(math.log(_SIZES[1]), best[1] + width_s)
    size = math.exp(best[1])
    return float(best[0] * size), float((1 - best[0]) * size)


def _likelihood(a: float, b: float, pairs: np.ndarray, times: np.ndarray) -> float:
    """Log likelihood of counts, up to what does not depend on a and b."""
    start = _log_beta(a, b)
    terms = ((_log_beta(a + k, b + n - k) - start) * c for k, n, c in zip(*pairs.tolist(), times.tolist(), strict=True))
    return math.fsum(terms)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


@dataclass(frozen=True)
class ExpectedValue:
    """What N rollouts of each problem are worth, expected over its posterior Beta(a, b); see `knapsack.Value`.

    All arrays have shape (problems,).
    """

    a: Floats
    b: Floats
    right: Floats
    wrong: Floats
    seen: Floats

    def at(self, problem: int, counts: ArrayLike) -> Floats:
        """Value of these total counts of one problem; never below 0."""
        m = np.asarray(counts, np.int64) - int(self.seen[problem])
        a, b = float(self.a[problem]), float(self.b[problem])
        i = np.arange(int(m.max(initial=0)))
        total = a + b + 3 + i
        # The weight p (1 - p)^2 makes Beta(a + 1, b + 2) of the posterior.
        same = [np.concatenate([[1.0], np.cumprod((shape + i) / total)]) for shape in (a + 1, b + 2)]
        chance = 1.0 - self.right[problem] * same[0][m] - self.wrong[problem] * same[1][m]
        return np.asarray(_weight(a, b) * np.maximum(chance, 0.0), np.float64)

    def gain(self, problem: int, count: int) -> float:
        """What one rollout more than `count` adds."""
        a, b, m = float(self.a[problem]), float(self.b[problem]), count - float(self.seen[problem])
        right, wrong = float(self.right[problem]), float(self.wrong[problem])
        if right + wrong > 1.0 and m == 0:
            return 0.0  # a single rollout is never mixed
        size = a + b + 3
        next_differs = right * _all_alike(a + 1, size, m) * (b + 2) + wrong * _all_alike(b + 2, size, m) * (a + 1)
        return float(_weight(a, b) * next_differs / (size + m))

    def total(self, counts: np.ndarray) -> float:
        """Sum over all problems. Shape of `counts`: (problems,)."""
        return float(sum(float(self.at(j, n)) for j, n in enumerate(counts.tolist())))


def _weight(a: float, b: float) -> float:
    """E[p (1 - p)^2] under Beta(a, b)."""
    size = a + b
    return a * b * (b + 1) / (size * (size + 1) * (size + 2))


def _all_alike(x: float, size: float, m: float) -> float:
    """Chance that m more go one way: x (x + 1) ... (x + m - 1) over size (size + 1) ... (size + m - 1)."""
    return math.exp(math.lgamma(x + m) - math.lgamma(x) - math.lgamma(size + m) + math.lgamma(size))
