"""A rubric's criteria, each judged alone, added up late.

Invariants: the score is sum(w v) / sum(w over w > 0), cut to [0, 1], with v in [0, 1] how far a criterion is met (so
HealthBench counts, Arora et al. 2025, where negative weights are for faults); a required criterion that is not met
vetoes. An unknown criterion stays open: the verdict is given only if it is the same whatever the unknown ones turn out
to be, so unknown never counts as not met.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from synthflow.contracts import Judgement
from synthflow.judges.samples import Thresholds, verdict_value


@dataclass(frozen=True, slots=True)
class Met:
    """One criterion of one completion. `value` in [0, 1]; None if unknown, and then `reason`."""

    name: str
    weight: float
    value: float | None
    required: bool = False
    reason: str | None = None


def score_bounds(criteria: Sequence[Met]) -> tuple[float, float]:
    """The least and the most that the score can be; equal where everything is known.

    Raises:
        ValueError: if no weight is above 0.
    """
    total = math.fsum(c.weight for c in criteria if c.weight > 0)
    if total <= 0:
        raise ValueError("a rubric needs a criterion with a weight above 0")
    ends = []
    for for_good, for_fault in ((0.0, 1.0), (1.0, 0.0)):
        open_value = [c.value if c.value is not None else for_good if c.weight > 0 else for_fault for c in criteria]
        points = math.fsum(c.weight * value for c, value in zip(criteria, open_value, strict=True))
        ends.append(min(max(points / total, 0.0), 1.0))
    return ends[0], ends[1]


def judge(criteria: Sequence[Met], limits: Thresholds, met_from: float = 0.5) -> Judgement:
    """The verdict of a rubric.

    Args:
        met_from: value from which a required criterion is met.

    Returns:
        Wrong with `veto: NAME` where a required criterion is not met; else by the score. Its value is the score, or
        where some criterion is unknown the end of the range that decided. Unknown reasons: criterion_unknown,
        undecided.
    """
    vetoes = [c.name for c in criteria if c.required and c.value is not None and c.value < met_from]
    if vetoes:
        return Judgement("wrong", 0.0, f"veto: {', '.join(vetoes)}")
    low, high = score_bounds(criteria)
    verdict = limits.zone(low)
    missing = [c for c in criteria if c.value is None]
    if limits.zone(high) != verdict or (verdict == "correct" and any(c.required for c in missing)):
        return Judgement.unknown("criterion_unknown", "; ".join(f"{c.name}: {c.reason}" for c in missing))
    if verdict == "unknown":
        return Judgement.unknown("undecided", f"{low:.4g} lies between the thresholds")
    return Judgement(verdict, verdict_value(verdict, low if verdict == "correct" else high))
