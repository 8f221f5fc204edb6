"""From counts of continuations to values, advantages and first errors.

Invariants: within a rollout, a step's `value_before` is the value of the step before it, and the prompt's for the
first, so that advantages telescope to the last value minus the prompt's wherever all values are known. A value
without a judged continuation is null, and so is every advantage that would need it: never a zero.

A value's standard error is `intervals.standard_error`; a verdict's is 0. The errors of two neighbouring values are
added as of independent estimates. That holds between prefixes, which have their own continuations; the prompt's pass
rate counts the rollout itself among its n, which is ignored (our default).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from synthflow.rollouts.step_rows import Floats, Values
from synthflow.statistics.intervals import difference_error, difference_low, standard_error, wilson

Source = Literal["continuations", "verdict", "prompt"]
Label = Literal["soft", "hard"]

ALIVE_SHARE = 0.5
"""A prefix is alive while its value is at least this share of the prompt's (our default)."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one prefix: correct ones among the judged, and where from."""

    successes: int
    judged: int
    source: Source = "continuations"


def step_columns(prompt: Evidence, steps: Sequence[Evidence], verdict: str, label: Label = "soft") -> Values:
    """Values of one rollout.

    Args:
        prompt: of the group: correct and judged first rollouts; under a forced stop its continuations.
        steps: of the prefix that ends with each step; a verdict is 1 or 0 successes of 1.
        verdict: of the rollout.
        label: `soft` for shares; `hard` for 1 wherever anything succeeded, else 0 (Math-Shepherd, Wang et al. 2024,
            its hard estimation), which has neither interval nor error.

    Returns:
        One number a step in every column.
    """
    everything = [prompt, *steps]
    k = np.array([e.successes for e in everything], np.float64)
    n = np.array([e.judged for e in everything], np.float64)
    if label == "hard":
        return _hard_columns(k, n, verdict)
    sure = np.array([e.source == "verdict" for e in everything])
    value = np.divide(k, n, out=np.full(len(k), np.nan), where=n > 0)
    low, high = wilson(k, n)
    low, high = np.where(sure, value, low), np.where(sure, value, high)
    error = np.where(sure, 0.0, standard_error(k, n))
    return Values(
        before=value[:-1],
        value=value[1:],
        low=low[1:],
        high=high[1:],
        advantage=np.diff(value),
        advantage_se=difference_error(error[1:], error[:-1]),
        first_error=first_error(value, low, high, verdict),
    )


def _hard_columns(k: Floats, n: Floats, verdict: str) -> Values:
    value = np.where(n > 0, np.minimum(k, 1.0), np.nan)
    return without_intervals(value, hard_first_error(value[1:], verdict))


def without_intervals(value: Floats, first_error: int | None) -> Values:
    """Columns of values, the prompt's first, of which nobody knows how sure they are."""
    unknown = np.full(len(value) - 1, np.nan)
    return Values(
        before=value[:-1],
        value=value[1:],
        low=unknown,
        high=unknown,
        advantage=np.diff(value),
        advantage_se=unknown,
        first_error=first_error,
    )


def hard_first_error(value: Floats, verdict: str) -> int | None:
    """The first step whose prefix has no success, as hard labels have it (Math-Shepherd's, Wang et al. 2024).

    Args:
        value: hard values of the prefix that ends with each step.

    Returns:
        As `first_error`; None too where a value before that step is undecided.
    """
    if verdict == "correct":
        return -1
    lost = np.flatnonzero(~(value > 0))
    if verdict != "wrong" or not len(lost) or np.isnan(value[lost[0]]):
        return None
    return int(lost[0])


def first_error(value: Floats, low: Floats, high: Floats, verdict: str) -> int | None:
    """The first step after which the value stays low (our default rule).

    Of a wrong rollout it is the first step k for which both of these hold; of a correct one there is none, since its
    value ended at 1, whatever it did on the way.

    1. Before k the rollout was alive: value_before >= `ALIVE_SHARE` of the prompt's value.
    2. It never comes back: the values after k and after every later step are below value_before by more than the
       noise of both (`intervals.difference_low` is above 0).

    Where no step satisfies both (a slow decline, too few continuations to tell), or where a value after k is
    undecided, the answer is that we do not know.

    Args:
        value, low, high: of the prompt, then of the prefix that ends with each step; NaN is undecided.

    Returns:
        Index of the step, -1 for a correct rollout, None where it is undecided.
    """
    if verdict == "correct":
        return -1
    if verdict != "wrong":
        return None
    before, after = slice(None, -1), slice(1, None)
    drop = difference_low(value[before, None], low[before, None], value[None, after], high[None, after])
    with np.errstate(invalid="ignore"):
        alive = value[before] >= ALIVE_SHARE * value[0]
        earlier = np.tri(len(alive), k=-1, dtype=bool)  # [k, j]: step j comes before step k
        stays_low = ((drop > 0) | earlier).all(axis=1)  # a NaN is not above 0
    found = np.flatnonzero(alive & stays_low)
    return int(found[0]) if len(found) else None
