r"""The exact fast path: integers, decimals and simple fractions, compared as fractions.

Invariant: it answers only where the slow path would answer the same; everywhere else it is silent (None). A decimal
that is close to the gold answer, but not equal, is left to the slow path, which knows about rounding.
"""

from __future__ import annotations

import re
from fractions import Fraction

_PLAIN = re.compile(r"([-+]?)(\d{1,3}(?:,\d{3})+|\d{1,300})(?:\.(\d{1,30}))?")
_POINT = re.compile(r"([-+]?)\.(\d{1,30})")
_FRACTION = re.compile(r"([-+]?)(?:\\frac\{([-+]?\d{1,300})\}\{([-+]?\d{1,300})\}|(\d{1,300})/(\d{1,300}))")
_PERCENT = re.compile(r" ?(?:\\?%|percent|\\text\{ ?percent\})$")
_CLOSE = Fraction(1, 10**4)  # far beyond the sixth decimal, at which the slow path rounds


def parse(text: str) -> tuple[Fraction, bool] | None:
    """Value and whether it is written as a decimal; None for anything but the three plain forms."""
    if match := _PLAIN.fullmatch(text):
        sign, whole, decimals = match.groups()
        digits = whole.replace(",", "")
        value = Fraction(f"{digits}.{decimals}" if decimals else digits)
        return (-value if sign == "-" else value), decimals is not None
    if match := _POINT.fullmatch(text):
        sign, decimals = match.groups()
        value = Fraction(f"0.{decimals}")
        return (-value if sign == "-" else value), True
    if match := _FRACTION.fullmatch(text):
        sign, top, bottom, plain_top, plain_bottom = match.groups()
        denominator = int(bottom or plain_bottom)
        if denominator == 0:
            return None
        value = Fraction(int(top or plain_top), denominator)
        return (-value if sign == "-" else value), False
    return None


def decide_percent(gold: str, answer: str) -> bool | None:
    """True where one is `n%` and the other n (of 1 or more) or n/100; None for everything else.

    Whether "what percentage" is answered by 50, 50% or 0.5 is a matter of taste, so all are accepted; `0.5` and
    `0.5%` are not, since they differ hundredfold when the question is not about percentages.
    """
    left, right = _PERCENT.sub("", gold), _PERCENT.sub("", answer)
    if (left == gold) == (right == answer):
        return None
    a, b = parse(left), parse(right)
    if a is None or b is None:
        return None
    (percent, _), (plain, _) = (a, b) if left != gold else (b, a)
    return True if plain == percent / 100 or (plain == percent and abs(plain) >= 1) else None


def decide(gold: str, answer: str) -> bool | None:
    """True or False where both are plain rationals and the case is clear, else None."""
    left, right = parse(gold), parse(answer)
    if left is None or right is None:
        return None
    (wanted, wanted_decimal), (given, given_decimal) = left, right
    if wanted == given:
        return True
    close = abs(wanted - given) < _CLOSE * max(Fraction(1), abs(wanted))
    return None if close and (wanted_decimal or given_decimal) else False
