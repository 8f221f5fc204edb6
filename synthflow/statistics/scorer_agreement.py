"""How far a scorer can be trusted: its verdicts against a reference, counted and summed up with intervals.

Invariants: an unknown verdict is never wrong: of the scorer it counts against its coverage, of the reference it counts
nowhere; a rate over nothing is None, never 0 or NaN. Counts add up, so the calibration of two shards is that of both.

Sources. Intervals of rates: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22
(1927), see `labels.intervals`. `kappa`: Cohen, "A coefficient of agreement for nominal scales", Educational and
Psychological Measurement 20 (1960), over the two sure verdicts. `auroc`: the chance that a correct rollout has a higher
value than a wrong one, ties one half, which is Mann and Whitney's U over the number of pairs (Annals of Mathematical
Statistics 18, 1947). `auroc_error`: Hanley and McNeil, "The meaning and use of the area under a receiver operating
characteristic (ROC) curve", Radiology 143 (1982), equation 1 with their Q1 and Q2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from synthflow.statistics.intervals import Z95, wilson

VERDICTS = ("correct", "wrong", "unknown")
"""The order of a confusion's rows (the reference) and columns (the scorer)."""


class Rate(NamedTuple):
    """k of n with its Wilson 95% interval; None where n is 0."""

    k: int
    n: int
    value: float | None
    low: float | None
    high: float | None


def rate(k: int, n: int) -> Rate:
    """A rate with its interval.

    Raises:
        ValueError: if k is not within 0 and n.
    """
    if n == 0:
        return Rate(k, n, None, None, None)
    interval = wilson(k, n)
    return Rate(k, n, k / n, float(interval.low), float(interval.high))


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
    def precision(self) -> Rate:
        """Of what the scorer accepts, the share that is correct."""
        good = self.of("correct", "correct")
        return rate(good, good + self.of("wrong", "correct"))

    @property
    def recall(self) -> Rate:
        """Of what is correct and judged, the share that the scorer accepts."""
        good = self.of("correct", "correct")
        return rate(good, good + self.of("correct", "wrong"))

    @property
    def false_accept(self) -> Rate:
        """Of what is wrong and judged, the share that the scorer accepts: the false positive rate."""
        bad = self.of("wrong", "correct")
        return rate(bad, bad + self.of("wrong", "wrong"))

    @property
    def false_reject(self) -> Rate:
        """Of what is correct and judged, the share that the scorer calls wrong: 1 - recall."""
        bad = self.of("correct", "wrong")
        return rate(bad, bad + self.of("correct", "correct"))

    @property
    def agreement(self) -> Rate:
        """Of what both are sure of, the share on which they say the same."""
        return rate(self.of("correct", "correct") + self.of("wrong", "wrong"), self.n)

    @property
    def coverage(self) -> Rate:
        """Of what the reference is sure of, the share that the scorer is sure of too."""
        return rate(self.n, self.n + self.of("correct", "unknown") + self.of("wrong", "unknown"))

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


def auroc_rate(correct: Sequence[int], wrong: Sequence[int]) -> Rate:
    """The area with its 95% interval, held to [0, 1]; k is the number of correct ones, n of all."""
    area, good, bad = auroc(correct, wrong), int(sum(correct)), int(sum(wrong))
    error = None if area is None else auroc_error(area, good, bad)
    if area is None or error is None:
        return Rate(good, good + bad, area, None, None)
    return Rate(good, good + bad, area, max(0.0, area - Z95 * error), min(1.0, area + Z95 * error))
