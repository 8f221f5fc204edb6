"""Answers of choices beside a gold answer that is a letter: `D. 12`, `A) 17`, `(C) because …`, `A and C`.

Invariant: a letter counts only at the start, with what sets a letter off from a word behind it.
"""

from __future__ import annotations

import re

_GOLD = re.compile(r"\(?([A-J])\)?")
_CHOICE = re.compile(r"\(?([A-Ja-j])(?:\)|\.|:|\)\.)?(?:\s*(?:[-–—]\s|(?<=[).:])\s?).*)?", re.DOTALL)


def same_letter(gold: str, answer: str) -> bool | None:
    """Whether an answer starts with the gold letter; None where one of them is no letter with its text."""
    wanted, given = _GOLD.fullmatch(gold), _CHOICE.fullmatch(answer)
    if wanted is None or given is None:
        return None
    return wanted.group(1) == given.group(1).upper()
