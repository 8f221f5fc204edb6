"""Statistics of weighted observations, and their bootstrap over problems.

Invariants: a statistic takes weights [draws, observations] and gives one number a draw, NaN where it is not defined;
with whole weights it is that of the sample in which observation i stands w_i times, so the bootstrap of problems is a
matter of weights, and the estimate is the case of ones. An interval holds its estimate.

Sources. `auroc`: Mann and Whitney's U over the number of pairs (Annals of Mathematical Statistics 18, 1947).
`spearman`: Spearman 1904, as Pearson's correlation of mean ranks. `kappa`: Cohen, Educational and Psychological
Measurement 20 (1960). `ece`: expected calibration error over equal bins of [0, 1] (Naeini, Cooper & Hauskrecht, AAAI
2015). `Bootstrap`: percentile intervals from resampled clusters (Efron 1979; Field & Welsh 2007), 95%.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]
Statistic = Callable[[F64], F64]

SEED = 0
BINS = 10
_CELLS = 4_000_000
"""Weights held at once: draws times observations."""


class BootstrapEstimate(NamedTuple):
    """A statistic with its 95% interval; None where it is not defined, or cannot be told."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    problems: int


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Draws of problems with replacement: the same ones whenever the number of problems is the same."""

    draws: int

    def estimate(self, statistic: Statistic, problem: I64) -> BootstrapEstimate:
        """A statistic and its interval.

        Args:
            statistic: takes weights [draws, observations].
            problem: of each observation, any codes.
        """
        names, code = np.unique(problem, return_inverse=True)
        n, problems = len(code), len(names)
        value = float(statistic(np.ones((1, n)))[0]) if n else float("nan")
        if np.isnan(value):
            return BootstrapEstimate(None, None, None, n, problems)
        found = self._drawn(statistic, code, problems) if problems > 1 else np.empty(0)
        found = found[~np.isnan(found)]
        if not self.draws or len(found) < self.draws / 2:
            return BootstrapEstimate(value, None, None, n, problems)
        low, high = np.quantile(found, [0.025, 0.975])
        # The bootstrap of a statistic that resampling biases, such as ece, may leave the estimate out.
        return BootstrapEstimate(value, min(float(low), value), max(float(high), value), n, problems)

    def _drawn(self, statistic: Statistic, code: I64, problems: int) -> F64:
        rng = np.random.default_rng(SEED)
        at_once = max(1, _CELLS // len(code))
        found = []
        for start in range(0, self.draws, at_once):
            draws = min(at_once, self.draws - start)
            picked = rng.integers(0, problems, (draws, problems)) + np.arange(draws)[:, None] * problems
            times = np.bincount(picked.ravel(), minlength=draws * problems).reshape(draws, problems)
            found.append(statistic(times[:, code].astype(np.float64)))
        return np.concatenate(found) if found else np.empty(0)


def _over(above: F64, below: F64) -> F64:
    """above / below; NaN where below is 0."""
    found: F64 = np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)
    return found


def _levels(values: F64) -> tuple[I64, I64, I64]:
    """Order of values, where each level of equal ones starts in that order, and the level of each observation."""
    _, level, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.argsort(values, kind="stable"), np.cumsum(counts) - counts, level


def auroc(scores: F64, positive: Mask) -> Statistic:
    """Chance that a positive scores above a negative, ties one half; not defined without both."""
    order, starts, _ = _levels(scores)
    is_positive = positive[order].astype(np.float64)

    def statistic(weights: F64) -> F64:
        ordered = weights[:, order]
        good = np.add.reduceat(ordered * is_positive, starts, axis=1)
        bad = np.add.reduceat(ordered * (1 - is_positive), starts, axis=1)
        below = np.cumsum(bad, axis=1) - bad
        return _over((good * (below + bad / 2)).sum(axis=1), good.sum(axis=1) * bad.sum(axis=1))

    return statistic


def spearman(x: F64, y: F64) -> Statistic:
    """Rank correlation; not defined where one of both never varies."""
    sides = [_levels(x), _levels(y)]

    def statistic(weights: F64) -> F64:
        total = weights.sum(axis=1, keepdims=True)
        ranks = []
        for order, starts, level in sides:
            held = np.add.reduceat(weights[:, order], starts, axis=1)
            rank = (np.cumsum(held, axis=1) - held / 2)[:, level]
            ranks.append(rank - total / 2)  # the mean of mean ranks
        a, b = ranks
        spread = np.sqrt((weights * a * a).sum(axis=1) * (weights * b * b).sum(axis=1))
        return _over((weights * a * b).sum(axis=1), spread)

    return statistic


def kappa(a: I64, b: I64) -> Statistic:
    """Cohen's kappa of two namings; not defined where chance alone agrees always."""
    names, codes = np.unique(np.concatenate([a, b]), return_inverse=True)
    one_hot = np.eye(len(names))[codes]
    first, second = one_hot[: len(a)], one_hot[len(a) :]
    same = (a == b).astype(np.float64)

    def statistic(weights: F64) -> F64:
        total = weights.sum(axis=1)
        agreed = (weights * same).sum(axis=1) * total
        chance = ((weights @ first) * (weights @ second)).sum(axis=1)
        return _over(agreed - chance, total * total - chance)

    return statistic


def share(counted: Mask, of: Mask | None = None) -> Statistic:
    """Share of observations that count, of all or of those in `of`."""
    within = np.ones(len(counted), np.float64) if of is None else of.astype(np.float64)
    both = within * counted

    def statistic(weights: F64) -> F64:
        return _over(weights @ both, weights @ within)

    return statistic


def ratio(above: F64, below: F64) -> Statistic:
    """Sum over sum, such as of pairs won over pairs."""

    def statistic(weights: F64) -> F64:
        return _over(weights @ above, weights @ below)

    return statistic


def mean(values: F64) -> Statistic:
    def statistic(weights: F64) -> F64:
        return _over(weights @ values, weights.sum(axis=1))

    return statistic


def bin_of(predicted: F64) -> I64:
    """Which of `BINS` equal bins of [0, 1] a value falls into; 1 into the last."""
    return np.clip(np.floor(predicted * BINS), 0, BINS - 1).astype(np.int64)


def ece(predicted: F64, observed: F64) -> Statistic:
    """Expected calibration error: |sum(predicted) - sum(observed)| added over bins, over the number of observations."""
    one_hot = np.eye(BINS)[bin_of(predicted)]
    surplus = one_hot * (predicted - observed)[:, None]

    def statistic(weights: F64) -> F64:
        return _over(np.abs(weights @ surplus).sum(axis=1), weights.sum(axis=1))

    return statistic
