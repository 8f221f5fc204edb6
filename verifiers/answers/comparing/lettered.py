"""Answers that are characters: a choice beside a gold letter (`D. 12`, `(C) because …`), and codes (`2a2`).

Invariant: a letter counts only at the start, with what sets a letter off from a word behind it; a code is no
expression, since a digit follows a letter in it.
"""

from __future__ import annotations

import re

_GOLD = re.compile(r"\(?([A-J])\)?")
_CHOICE = re.compile(r"\(?([A-Ja-j])(?:\)|\.|:|\)\.)?(?:\s*(?:[-–—]\s|(?<=[).:])\s?).*)?", re.DOTALL)

_CODE = re.compile(r"(?=.{3,40}$)[0-9A-Za-z]*[A-Za-z]\d[0-9A-Za-z]*")
_OTHER_DIGITS = re.compile(r"0[xob]|\d+[eE]\d+$")
_CHARACTERS = re.compile(r"[0-9A-Za-z]{1,40}")


def same_letter(gold: str, answer: str) -> bool | None:
    """Whether an answer starts with the gold letter; None where one of them is no letter with its text."""
    wanted, given = _GOLD.fullmatch(gold), _CHOICE.fullmatch(answer)
    if wanted is None or given is None:
        return None
    return wanted.group(1) == given.group(1).upper()


def same_code(gold: str, answer: str) -> bool | None:
    """Whether two codes are the same in any case; None where the gold one is no code, nor digits beside one."""
    if not (_CHARACTERS.fullmatch(gold) and _CHARACTERS.fullmatch(answer)):
        return None
    if _OTHER_DIGITS.match(gold) or _OTHER_DIGITS.match(answer):
        return None
    if _CODE.fullmatch(gold) or (gold.isdigit() and _CODE.fullmatch(answer)):
        return gold.casefold() == answer.casefold()
    return None
