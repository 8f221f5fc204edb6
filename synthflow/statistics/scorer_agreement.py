"""How far a scorer can be trusted: its verdicts against a reference, counted and summed up with intervals.

Invariants: an unknown verdict is never wrong: of the scorer it counts against its coverage, of the reference it counts
nowhere; a rate over nothing is None, never 0 or NaN. Counts add up, so the calibration of two shards is that of both.
Intervals are over problems: rollouts of one problem are alike, and a vote is one decision a problem.

Sources. Intervals of rates: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22
(1927), see `statistics.intervals`, of the effective number of rollouts (Kish, "Survey Sampling", 1965; Korn and
Graubard, "Confidence intervals for proportions with small expected number of positive counts estimated from survey
data", Survey Methodology 24, 1998): n such that r(1 - r)/n is the variance of the rate between problems,
P/(P - 1) sum((k_i - r n_i)^2)/N^2, at most N. At 0 of n and n of n that variance is 0 and says nothing, and little
where few problems have both: it is mixed with the P problems as P observations, which weigh as much as two such
problems (ours: of simulated intervals 92 to 98% then hold the truth, from 12 problems on). A bootstrap of problems
agrees where it works, and calls 0 of n certain.
`kappa`: Cohen, "A coefficient of agreement for nominal scales", Educational and
Psychological Measurement 20 (1960), over the two sure verdicts. `auroc`: the chance that a correct rollout has a higher
value than a wrong one, ties one half, which is Mann and Whitney's U over the number of pairs (Annals of Mathematical
Statistics 18, 1947). `auroc_error`: Hanley and McNeil, "The meaning and use of the area under a receiver operating
characteristic (ROC) curve", Radiology 143 (1982), equation 1 with their Q1 and Q2; of the numbers of problems that have
a correct and a wrong rollout, which is an upper bound (ours).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthflow.statistics.intervals import Z95, wilson

VERDICTS = ("correct", "wrong", "unknown")
"""The order of a confusion's rows (the reference) and columns (the scorer)."""


COUNTED: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "precision": ((0,), (0, 3)),
    "recall": ((0,), (0, 1)),
    "false_accept": ((3,), (3, 4)),
    "false_reject": ((1,), (1, 0)),
    "agreement": ((0, 4), (0, 1, 3, 4)),
    "coverage": ((0, 1, 3, 4), (0, 1, 2, 3, 4, 5)),
}
"""Cells of a confusion that a rate counts, and those that it counts them among."""


BELIEF = 2
"""Problems that weigh as much as the belief that a problem is one observation."""


class Rate(NamedTuple):
    """k of n with its 95% interval; None where n is 0."""

    k: int
    n: int
    value: float | None
    low: float | None
    high: float | None


def rate(k: int, n: int, effective: float | None = None) -> Rate:
    """A rate with its interval, as of that many independent observations: of n, unless told otherwise.

    Raises:
        ValueError: if k is not within 0 and n.
    """
    if n == 0:
        return Rate(k, n, None, None, None)
    share = 1.0 if effective is None else effective / n
    interval = wilson(k * share, n * share)
    return Rate(k, n, k / n, float(interval.low), float(interval.high))


def effective_n(k: NDArray[np.int64], n: NDArray[np.int64]) -> float:
    """How many independent observations the rate of k of n is worth; k and n by problem."""
    total, good, problems = int(n.sum()), int(k.sum()), int((n > 0).sum())
    most = float(min(total, problems))
    if problems < 2 or good in (0, total):
        return most
    share = good / total
    variance = problems / (problems - 1) * float(((k - share * n) ** 2).sum()) / total**2
    seen = max(1.0, min(total, share * (1 - share) / variance)) if variance else float(total)
    telling = min(int((k > 0).sum()), int((k < n).sum()))
    return (telling + BELIEF) / (telling / seen + BELIEF / most)


@dataclass(frozen=True)
class Clusters:
    """Confusions of a scorer by problem: a row of nine cells each."""

    cells: NDArray[np.int64]

    @property
    def confusion(self) -> Confusion:
        return Confusion(tuple(map(int, self.cells.sum(axis=0))))

    @property
    def problems(self) -> int:
        """Problems with a rollout of which both are sure."""
        return int((self.cells[:, [0, 1, 3, 4]].sum(axis=1) > 0).sum())

    def rate(self, name: str) -> Rate:
        """A rate of `COUNTED` with its interval over problems."""
        counted, among = COUNTED[name]
        k, n = self.cells[:, counted].sum(axis=1), self.cells[:, among].sum(axis=1)
        return rate(int(k.sum()), int(n.sum()), effective_n(k, n))

    def with_truth(self, truth: int) -> int:
        """Problems with a judged rollout of that truth: 0 correct, 1 wrong."""
        return int((self.cells[:, 3 * truth : 3 * truth + 3].sum(axis=1) > 0).sum())


@dataclass(frozen=True, slots=True)
class Confusion:
    """Rollouts by the reference's verdict and the scorer's: nine cells, the reference's rows one after the other."""

    cells: tuple[int, ...]

    def of(self, reference: str, scorer: str) -> int:
        return self.cells[3 * VERDICTS.index(reference) + VERDICTS.index(scorer)]

    @property
    def n(self) -> int:
        """Rollouts of which both are sure."""
        return sum(self.of(r, s) for r in VERDICTS[:2] for s in VERDICTS[:2])

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa: (p_o - p_e) / (1 - p_e); None where chance alone agrees always."""
        if not self.n:
            return None
        accepted = self.of("correct", "correct") + self.of("wrong", "correct")
        correct = self.of("correct", "correct") + self.of("correct", "wrong")
        # In counts, so that nothing is rounded: n²·p_e.
        by_chance = correct * accepted + (self.n - correct) * (self.n - accepted)
        both = self.of("correct", "correct") + self.of("wrong", "wrong")
        whole = self.n * self.n
        return None if by_chance == whole else (both * self.n - by_chance) / (whole - by_chance)


def auroc(correct: Sequence[int], wrong: Sequence[int]) -> float | None:
    """Area under the ROC curve from histograms of the scorer's values, lowest bin first; None if either is empty.

    Values within one bin are ties.
    """
    good, bad = np.asarray(correct, np.float64), np.asarray(wrong, np.float64)
    pairs = float(good.sum() * bad.sum())
    if not pairs:
        return None
    below = np.cumsum(bad) - bad
    return float((good * (below + bad / 2)).sum()) / pairs


def auroc_error(area: float, correct: int, wrong: int) -> float | None:
    """Hanley and McNeil's standard error of an area; None where it is 0 or 1, of which the formula is certain."""
    if area in (0.0, 1.0) or not correct or not wrong:
        return None
    q1, q2 = area / (2 - area), 2 * area * area / (1 + area)
    square = area * area
    variance = area * (1 - area) + (correct - 1) * (q1 - square) + (wrong - 1) * (q2 - square)
    return math.sqrt(max(0.0, variance) / (correct * wrong))


def auroc_rate(correct: Sequence[int], wrong: Sequence[int], problems: tuple[int, int] | None = None) -> Rate:
    """The area with its 95% interval, held to [0, 1]; k is the number of correct ones, n of all.

    Args:
        problems: that have a correct and a wrong rollout: as many are taken for independent; None: all rollouts.
    """
    area, good, bad = auroc(correct, wrong), int(sum(correct)), int(sum(wrong))
    most = problems or (good, bad)
    error = None if area is None else auroc_error(area, min(good, most[0]), min(bad, most[1]))
    if area is None or error is None:
        return Rate(good, good + bad, area, None, None)
    return Rate(good, good + bad, area, max(0.0, area - Z95 * error), min(1.0, area + Z95 * error))
