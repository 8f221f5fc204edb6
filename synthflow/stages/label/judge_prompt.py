"""A solution as a judge of its steps sees it.

Invariant: every step has a line with its index, which holds a hash of the whole solution: a text would have to contain
its own hash to pass for another step. All steps are shown; where they are too long together, the longest lose their
middles first.
"""

from __future__ import annotations

from collections.abc import Sequence

from synthflow.ids import digest
from synthflow.judges.prompts import within

LEAST_SHOWN = 32
"""Characters of a step below which it cannot be judged: our default."""


def indexed(steps: Sequence[str], budget: int) -> str | None:
    """Steps under their indices; None where the budget leaves too little of each.

    Args:
        budget: most characters of the steps together.
    """
    share = fair_share([len(step) for step in steps], budget)
    if share is not None and share < LEAST_SHOWN:
        return None
    mark = digest("\0".join(steps))[:8]
    shown = steps if share is None else [within(step, share) for step in steps]
    return "\n".join(f"[step {index}, {mark}]\n{step.rstrip()}" for index, step in enumerate(shown))


def fair_share(lengths: Sequence[int], budget: int) -> int | None:
    """The largest length at which all can be capped to fit the budget together; None where no cap is needed."""
    left, places = budget, len(lengths)
    for length in sorted(lengths):
        if length * places > left:
            return left // places
        left, places = left - length, places - 1
    return None
