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
from numpy.typing import NDArray

from synthflow.labels.intervals import difference_error, standard_error, wilson

Floats = NDArray[np.float64]
Source = Literal["continuations", "verdict", "prompt"]

ALIVE_SHARE = 0.5
"""A prefix is alive while its value is at least this share of the prompt's (our default)."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one prefix: correct ones among the judged, and where from."""

    successes: int
    judged: int
    source: Source = "continuations"


@dataclass(frozen=True, slots=True)
class Values:
    """Columns of the steps of one rollout; NaN is undecided. `first_error` is an index, -1 for none, None unknown."""

    before: Floats
    value: Floats
    low: Floats
    high: Floats
    advantage: Floats
    advantage_se: Floats
    first_error: int | None


def step_columns(prompt: Evidence, steps: Sequence[Evidence], verdict: str) -> Values:
    """Values of one rollout.

    Args:
        prompt: of the group: correct and judged first rollouts.
        steps: of the prefix that ends with each step; a verdict is 1 or 0 successes of 1.
        verdict: of the rollout.

    Returns:
        One number a step in every column.
    """
    everything = [prompt, *steps]
    k = np.array([e.successes for e in everything], np.float64)
    n = np.array([e.judged for e in everything], np.float64)
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


def first_error(value: Floats, low: Floats, high: Floats, verdict: str) -> int | None:
    """The first step after which the value stays low (our default rule).

    Of a wrong rollout it is the first step k for which all of these hold; of a correct one there is none, since its
    value ended at 1, whatever it did on the way.

    1. Before k the rollout was alive: value_before >= `ALIVE_SHARE` of the prompt's value.
    2. It never comes back: for k and every later step, value_high < the lower end of value_before's interval.

    The second says that the drop is beyond the noise of both estimates (the 95% intervals do not touch), and that
    no later prefix is compatible with what was lost. Where no step satisfies both (a slow decline, or too few
    continuations to tell), or a value after k is undecided, the answer is that we do not know.

    Args:
        value, low, high: of the prompt, then of the prefix that ends with each step; NaN is undecided.

    Returns:
        Index of the step, -1 for a correct rollout, None where it is undecided.
    """
    if verdict == "correct":
        return -1
    if verdict != "wrong":
        return None
    highest_later = np.maximum.accumulate(high[:0:-1])[::-1]  # NaN spreads to every step before it
    with np.errstate(invalid="ignore"):
        fits = (value[:-1] >= ALIVE_SHARE * value[0]) & (highest_later < low[:-1])
    found = np.flatnonzero(fits)
    return int(found[0]) if len(found) else None
