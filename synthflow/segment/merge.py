"""Steps to thoughts: joining neighbours that are alike, or every k of them.

Invariant: thoughts are runs of neighbouring steps that tile them; every step has one thought, and thoughts are
numbered from 0 in order.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple


class Thoughts(NamedTuple):
    """`ids[k]` is the thought of step k; `spans` are half-open ranges of steps, one a thought."""

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]


def merge_runs(labels: Sequence[Hashable | None]) -> Thoughts:
    """Join contiguous steps that are judged alike to one thought.

    The thoughts of TP-GRPO ("Good Learners Think Their Thinking": contiguous correct or incorrect steps are one
    thought). A step that nobody judged (None, or NaN) is like no other, and stays a thought of its own: our default.

    Args:
        labels: of the steps of one rollout, in order.
    """
    ids: list[int] = []
    starts: list[int] = []
    for step, label in enumerate(labels):
        if not step or label is None or label != labels[step - 1]:  # NaN differs from itself
            starts.append(step)
        ids.append(len(starts) - 1)
    return Thoughts(tuple(ids), tuple(zip(starts, [*starts[1:], len(labels)], strict=True)) if starts else ())


def merge_groups(ends: Sequence[int], size: int) -> list[int]:
    """Join every `size` neighbouring steps, given by their ends; the last thought may hold fewer.

    MRT's code joins 3 or 5 episodes before it values them.

    Raises:
        ValueError: for a size below 1.
    """
    if size < 1:
        raise ValueError(f"size is {size}; expected at least 1")
    return [*ends[size - 1 : -1 : size], ends[-1]] if ends else []
