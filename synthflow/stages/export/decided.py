"""Which steps of a rollout bear a label: those of which enough is known to say on which side of a threshold they are.

A label belongs to the prefix that ends with a step, so a step that is undecided is joined with the step after it: the
text stays, and the label of the longer step is about the same prefix as before. A rollout whose last step is undecided
has no place where its text could end.

A value that was estimated (scale `chance`) is decided if `min_n` judged continuations or more stand behind it and its
95% interval lies on one side of the threshold. An advantage is the value less that of the last decided step before it,
with the errors of both. Verdicts, and what judges and models say, stand for themselves. All of this is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot, sqrt
from typing import Any, Literal

from synthflow.statistics.intervals import Z95, standard_error

COLUMNS = (
    "step_id", "value_before", "value", "value_low", "value_high", "advantage", "advantage_se", "n", "successes",
    "scale",
)  # fmt: skip
"""What must be known of each step."""


@dataclass(frozen=True, slots=True)
class Demands:
    """What a label demands. `interval` false leaves the interval out of it."""

    rule: Literal["value", "advantage"]
    threshold: float
    min_n: int
    interval: bool


@dataclass(frozen=True, slots=True)
class Labelled:
    """Indices of the decided steps of a rollout, with the advantage and the label of each; the rest is joined."""

    kept: tuple[int, ...]
    advantages: tuple[float | None, ...]
    labels: tuple[bool, ...]

    def joined(self, count: int) -> list[int]:
        """Indices of the undecided ones among `count` steps."""
        return sorted(set(range(count)) - set(self.kept))


def decide(steps: Sequence[Mapping[str, Any]], demands: Demands) -> Labelled:
    """The decided steps of a rollout. A step is a row of `step_values`, in order."""
    kept: list[int] = []
    advantages: list[float | None] = []
    labels: list[bool] = []
    for index, step in enumerate(steps):
        before = kept[-1] if kept else -1
        advantage, error = _advantage(steps, before, index)
        measured = step["value"] if demands.rule == "value" else advantage
        if measured is None or (step["scale"] == "chance" and 0 < step["n"] < demands.min_n):
            continue
        if demands.interval and _straddles(step, measured, error, demands):
            continue
        kept.append(index)
        advantages.append(advantage)
        labels.append(bool(measured >= demands.threshold))
    return Labelled(tuple(kept), tuple(advantages), tuple(labels))


def _straddles(step: Mapping[str, Any], measured: float, error: float | None, demands: Demands) -> bool:
    if demands.rule == "value":
        low, high = step["value_low"], step["value_high"]
    else:
        low = high = None
        if error:
            low, high = measured - Z95 * error, measured + Z95 * error
    return low is not None and high is not None and low < demands.threshold <= high


def _advantage(steps: Sequence[Mapping[str, Any]], before: int, index: int) -> tuple[float | None, float | None]:
    """What the steps after `before` up to `index` add together, and its standard error."""
    step = steps[index]
    if index == before + 1:
        return step["advantage"], step["advantage_se"]
    start = steps[before]["value"] if before >= 0 else steps[0]["value_before"]
    if step["value"] is None or start is None:
        return None, None
    errors = _error(step), (_error(steps[before]) if before >= 0 else _prompt_error(steps[0]))
    both = None if errors[0] is None or errors[1] is None else hypot(errors[0], errors[1])
    return step["value"] - start, both


def _error(step: Mapping[str, Any]) -> float | None:
    if step["scale"] != "chance" or step["value_low"] is None:
        return None
    return float(standard_error(step["successes"], step["n"])) if step["n"] else 0.0


def _prompt_error(first: Mapping[str, Any]) -> float | None:
    own, both = _error(first), first["advantage_se"]
    return None if own is None or both is None else sqrt(max(0.0, both * both - own * own))
