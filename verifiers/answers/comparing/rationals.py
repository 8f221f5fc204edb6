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
_MIXED = re.compile(r"([-+]?)(\d{1,6})(?: (\d{1,6})/(\d{1,6})|\\frac\{(\d{1,6})\}\{(\d{1,6})\})")
_PERCENT = re.compile(r" ?(?:\\?%|percent|\\text\{ ?percent\})$")
_ENDS = frozenset("0123456789}")  # what the other forms end with
_CLOSE, _CLOSE_RELATIVE = 10**4, 10**10  # a ten-thousandth: far beyond the sixth decimal; and what doubles resolve


def parse(text: str) -> tuple[Fraction, bool] | None:
    """Value and whether it is written as a decimal; None for anything but the plain forms."""
    ratio = _ratio(text)
    return None if ratio is None else (Fraction(ratio[0], ratio[1]), ratio[2])


def _ratio(text: str) -> tuple[int, int, bool] | None:
    """Numerator, positive denominator (not reduced: integers cost less than fractions), and whether it is a decimal."""
    if match := _PLAIN.fullmatch(text):
        sign, whole, decimals = match.groups()
        digits = whole.replace(",", "") if "," in whole else whole
        top = int(digits + decimals) if decimals else int(digits)
        return (-top if sign == "-" else top), (10 ** len(decimals) if decimals else 1), decimals is not None
    if not text or text[-1] not in _ENDS:
        return None
    if match := _POINT.fullmatch(text):
        sign, decimals = match.groups()
        top = int(decimals)
        return (-top if sign == "-" else top), 10 ** len(decimals), True
    if match := _FRACTION.fullmatch(text):
        sign, over, under, plain_over, plain_under = match.groups()
        top, bottom = int(over or plain_over), int(under or plain_under)
        if bottom == 0:
            return None
        negative = (sign == "-") != (bottom < 0)
        return (-top if negative else top), abs(bottom), False
    if match := _MIXED.fullmatch(text):
        sign, whole, *parts = match.groups()
        over_, under_ = (int(part) for part in parts if part is not None)
        if not 0 < over_ < under_ or int(whole) == 0:
            return None  # 2\frac{4}{3} may be a product
        top = int(whole) * under_ + over_
        return (-top if sign == "-" else top), under_, False
    return None


def decide_percent(gold: str, answer: str) -> bool | None:
    """Decides pairs of rationals of which one or both are a percentage; None for everything else, and close calls.

    Whether "what percentage" is answered by 50, 50% or 0.5 is a matter of taste, so all are accepted; `0.5` and
    `0.5%` are not, since they differ hundredfold when the question is not about percentages.
    """
    left, right = _PERCENT.sub("", gold), _PERCENT.sub("", answer)
    if (left == gold and right == answer) or (left != gold and "/" in left) or (right != answer and "/" in right):
        return None  # 1/2% has two readings
    a, b = parse(left), parse(right)
    if a is None or b is None:
        return None
    if left != gold and right != answer:
        return decide(left, right)
    (percent, _), (plain, _) = (a, b) if left != gold else (b, a)
    share = percent / 100
    if plain == share or (plain == percent and abs(plain) >= 1):
        return True
    if plain == percent:
        return None
    return None if any(_close(plain, meant) for meant in (percent, share)) else False


def _close(a: Fraction, b: Fraction) -> bool:
    gap = abs(a - b)
    return gap * _CLOSE < 1 or gap * _CLOSE_RELATIVE < abs(b)


def decide(gold: str, answer: str) -> bool | None:
    """True or False where both are plain rationals and the case is clear, else None."""
    left = _ratio(gold)
    right = None if left is None else _ratio(answer)
    if left is None or right is None:
        return None
    a, b = left[0] * right[1], right[0] * left[1]
    if a == b:
        return True
    if not (left[2] or right[2]):
        return False
    bottom = left[1] * right[1]  # the difference is (a - b) / bottom
    gap = abs(a - b)
    return None if gap * _CLOSE < bottom or gap * _CLOSE_RELATIVE < abs(a) else False
