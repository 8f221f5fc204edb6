"""Which tokens belong to which step.

Invariant: token ranges tile `[0, n_tokens)` in order, one (possibly empty) range a step. A token goes to the step with
which it shares the most characters, to the earlier one of equals. A token without characters goes with the next token
that has some (it is a part of that character, as in an emoji of four tokens), and after the last such token to the
last step: the stop token is one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synthflow.segment.cut import Span


def token_ranges(spans: Sequence[Span], token_ends: Sequence[int]) -> list[Span]:
    """Token ranges of the steps of one completion.

    Args:
        spans: its steps, tiling it, in code points.
        token_ends: where each token ends, in code points; decreasing ends and ends past the text are clipped, since
            a detokeniser owes us nothing.

    Returns:
        One half-open range of token indices a step.
    """
    if not spans:
        return []
    step_ends = np.fromiter((span.end for span in spans), np.int64, len(spans))
    ends = np.minimum(np.maximum.accumulate(np.asarray(token_ends, np.int64).clip(min=0)), step_ends[-1])
    step_of = _steps_of(ends, step_ends)
    bounds = np.searchsorted(step_of, np.arange(len(spans)), side="right").tolist()
    return [Span(start, end) for start, end in zip([0, *bounds[:-1]], bounds, strict=True)]


def _steps_of(ends: NDArray[np.int64], step_ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Step of each token, never decreasing."""
    last = len(step_ends) - 1
    if not len(ends):
        return np.empty(0, np.int64)
    starts = np.concatenate(([0], ends[:-1]))
    has_text = ends > starts
    first = np.minimum(np.searchsorted(step_ends, starts, side="right"), last)
    final = np.where(has_text, np.searchsorted(step_ends, ends, side="left"), first)
    step_of = first.copy()
    step_starts = np.concatenate(([0], step_ends[:-1]))
    for token in np.flatnonzero(final > first):  # tokens that straddle a boundary are rare
        touched = slice(first[token], final[token] + 1)
        shared = np.minimum(ends[token], step_ends[touched]) - np.maximum(starts[token], step_starts[touched])
        step_of[token] = first[token] + int(np.argmax(shared))
    # A token without text takes the step of the next one that has some.
    following = np.where(has_text, np.arange(len(ends)), len(ends))
    following = np.minimum.accumulate(following[::-1])[::-1]
    padded = np.append(step_of, last)
    return np.asarray(padded[following], np.int64)
