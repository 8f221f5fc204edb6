"""From several samples of a judge to one judgement, and from comparisons of two to a share of wins.

Invariants: a sample that could not be read supports nothing, and counts against agreement; a verdict needs more than
half of the samples behind it, so a split is unknown; no reading at all is `parse_failure`. Rules and thresholds are
our default.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from synthflow.contracts import Judgement
from synthflow.contracts.verifier import Verdict

_ALMOST_ONE = 1.0 - 2.0**-24  # the largest float32 below 1
_ALMOST_NONE = 2.0**-126  # the smallest normal float32
_ROUNDING = 1e-9  # a mean of 5, 7 and 9 tenths is 7 tenths

Result = Literal["win", "loss", "tie"]
_RESULTS: dict[str, Result] = {"A": "win", "B": "loss", "tie": "tie"}


@dataclass(frozen=True, slots=True)
class JudgeSample:
    """One sample of a judge: a number in [0, 1]; None where it says nothing, and then `reason` and `problem`."""

    value: float | None
    reason: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Thresholds:
    """`correct_from` and above is correct, below `wrong_below` is wrong; what lies between is unknown."""

    correct_from: float
    wrong_below: float

    def zone(self, value: float) -> Verdict:
        if value >= self.correct_from - _ROUNDING:
            return "correct"
        return "wrong" if value < self.wrong_below - _ROUNDING else "unknown"


def verdict_value(verdict: Verdict, value: float) -> float | None:
    """`value` as the table may hold it beside `verdict`: float32 rounds no wrong one up to 1, no correct one to 0."""
    if verdict == "unknown":
        return None
    return min(max(value, 0.0), _ALMOST_ONE) if verdict == "wrong" else max(min(value, 1.0), _ALMOST_NONE)


def combine(opinions: Sequence[JudgeSample], limits: Thresholds, min_agreement: float) -> tuple[Judgement, float]:
    """The mean of the opinions that were given, and its verdict where enough of all opinions agree with it.

    Args:
        min_agreement: share of all opinions that must lie on the side of the mean; more than half must anyway.

    Returns:
        The judgement, and the share that agrees (0 where none was given). Unknown reasons: those of the opinions
        where none was given or the lost ones decide (parse_failure, judge_refused), disagreement, undecided.
    """
    known = [opinion.value for opinion in opinions if opinion.value is not None]
    lost = next((opinion for opinion in opinions if opinion.value is None), None)
    if not known:
        reason, problem = (lost.reason, lost.problem) if lost is not None else (None, None)
        return Judgement.unknown(reason or "parse_failure", problem), 0.0
    mean = math.fsum(known) / len(known)
    verdict = limits.zone(mean)
    agreeing = sum(limits.zone(value) == verdict for value in known)
    share = agreeing / len(opinions)
    if not _enough(agreeing, len(opinions), min_agreement):
        if agreeing == len(known) and lost is not None:
            return Judgement.unknown(lost.reason or "parse_failure", lost.problem), share
        return Judgement.unknown("disagreement", f"{agreeing} of {len(opinions)} samples agree"), share
    if verdict == "unknown":
        return Judgement.unknown("undecided", f"{mean:.4g} lies between the thresholds"), share
    return Judgement(verdict, verdict_value(verdict, mean)), share


def _enough(agreeing: int, asked: int, min_agreement: float) -> bool:
    return 2 * agreeing > asked and agreeing >= min_agreement * asked - 1e-9


def majority(readings: Sequence[str | None], min_agreement: float) -> str | None:
    """What more than half of the samples of one order say, or None."""
    for said in {reading for reading in readings if reading is not None}:
        if _enough(sum(reading == said for reading in readings), len(readings), min_agreement):
            return said
    return None


def both_orders(forward: str | None, backward: str | None) -> tuple[Result | None, str | None]:
    """The result for the one that stood first in `forward` and second in `backward`.

    Args:
        forward, backward: `A`, `B` or `tie` as said with the two in either order; None where nobody knows.

    Returns:
        Its result, or None with the reason: parse_failure, or position_bias where the two orders name different
        winners.
    """
    if forward is None or backward is None:
        return None, "parse_failure"
    swapped = {"A": "B", "B": "A"}.get(backward, backward)
    if forward != swapped:
        return None, "position_bias"
    return _RESULTS[forward], None


def win_share(results: Sequence[Result | None]) -> float | None:
    """Wins and half of the ties over the comparisons that were decided; None if none was."""
    decided = [result for result in results if result is not None]
    if not decided:
        return None
    return (decided.count("win") + 0.5 * decided.count("tie")) / len(decided)
