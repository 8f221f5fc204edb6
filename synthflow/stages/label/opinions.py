"""From the samples of a judge to the values of the steps of one rollout, and its first error.

Invariants: the value before the first step is 1, and that before every other the value of the step before it, so that
advantages telescope; a sample that could not be read says nothing of values, and counts against agreement; where no
sample could be read all is unknown, with the reason.

An earliest error (FAPO's and ProcessBench's question) makes the value of a prefix the share of the samples that name no
error in it: 1 before the error and 0 from it on, where there is one sample. Scores are step values as they are, put
between 0 and 1, averaged over the samples; a sample's earliest error is its first step below a threshold. Both are our
default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synthflow.judges.client import Heard
from synthflow.judges.samples import majority
from synthflow.judges.step_parsing import NO_ERROR
from synthflow.rollouts.step_rows import Floats, Values

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a judge thinks of one rollout.

    Args:
        values: columns of its steps, NaN where unknown; `values.first_error` is what most samples name.
        p_first_error: share of the samples that name each step; None where there are not several.
        has_error: whether most samples name some error; None where they do not agree.
        reason: why `values.first_error` is unknown; None where it is known.
        problem: the same in words.
    """

    values: Values
    p_first_error: Floats | None
    has_error: bool | None
    reason: str | None = None
    problem: str | None = None


def by_earliest(samples: Sequence[Heard], n_steps: int, min_agreement: float) -> Opinion:
    """From the index that each sample names."""
    named = [None if s.reading.value is None else int(_number(s.reading.value)) for s in samples]
    known = np.array([index for index in named if index is not None], np.int64)
    # The first error of a sample lies after step k, or there is none.
    after = (known[:, None] > np.arange(n_steps)) | (known[:, None] == NO_ERROR)
    values = after.mean(axis=0) if len(known) else np.full(n_steps, np.nan)
    return _opinion(samples, named, values, min_agreement)


def by_scores(
    samples: Sequence[Heard], n_steps: int, scale: tuple[float, float], error_below: float, min_agreement: float
) -> Opinion:
    """From the scores that each sample gives.

    Args:
        error_below: a step below it, on the scale from 0 to 1, is an error.
    """
    low, high = scale
    known = [s.reading.value for s in samples if s.reading.value is not None]
    units = (np.array(known, np.float64).reshape(len(known), n_steps) - low) / (high - low)
    values = units.mean(axis=0) if len(known) else np.full(n_steps, np.nan)
    below = units < error_below - _ROUNDING
    firsts = iter(np.where(below.any(axis=1), below.argmax(axis=1), NO_ERROR).tolist())
    named = [None if s.reading.value is None else int(next(firsts)) for s in samples]
    return _opinion(samples, named, values, min_agreement)


def nothing(n_steps: int, reason: str, problem: str | None = None) -> Opinion:
    """The opinion of a judge who was not asked."""
    return Opinion(_columns(np.full(n_steps, np.nan), None), None, None, reason, problem)


def _opinion(samples: Sequence[Heard], named: Sequence[int | None], values: Floats, min_agreement: float) -> Opinion:
    first = majority([None if index is None else str(index) for index in named], min_agreement)
    some = majority([None if index is None else str(index != NO_ERROR) for index in named], min_agreement)
    first_error = None if first is None else int(first)
    reason, problem = (None, None) if first is not None else _why(samples, named)
    shares = None
    known = [index for index in named if index is not None]
    if known and len(named) > 1:
        shares = np.bincount([index for index in known if index != NO_ERROR], minlength=len(values)) / len(known)
    has_error = None if some is None else some == "True"
    return Opinion(_columns(values, first_error), shares, has_error, reason, problem)


def _why(samples: Sequence[Heard], named: Sequence[int | None]) -> tuple[str, str | None]:
    """Why there is no first error: what was lost, where all that could be read agrees, or disagreement."""
    lost = next((sample for sample in samples if sample.reading.value is None), None)
    if lost is not None and len({index for index in named if index is not None}) < 2:
        return lost.reason or "parse_failure", lost.reading.problem
    return "disagreement", f"{len(set(named))} readings of {len(named)} samples"


def _columns(values: Floats, first_error: int | None) -> Values:
    before = np.concatenate(([1.0], values[:-1]))
    unknown = np.full(len(values), np.nan)
    return Values(before, values, unknown, unknown, values - before, unknown, first_error)


def _number(value: str | float | tuple[float, ...]) -> float:
    if not isinstance(value, float):
        raise TypeError(f"a judge's index was read as {type(value).__name__}")
    return value
