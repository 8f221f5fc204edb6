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
_CLOSE, _CLOSE_RELATIVE = Fraction(1, 10**4), Fraction(1, 10**10)  # far beyond the sixth decimal, and doubles


def parse(text: str) -> tuple[Fraction | int, bool] | None:
    """Value and whether it is written as a decimal; None for anything but the plain forms."""
    value: Fraction | int
    if match := _PLAIN.fullmatch(text):
        sign, whole, decimals = match.groups()
        digits = whole.replace(",", "") if "," in whole else whole
        value = Fraction(int(digits + decimals), 10 ** len(decimals)) if decimals else int(digits)
        return (-value if sign == "-" else value), decimals is not None
    if not text or text[-1] not in _ENDS:
        return None
    if match := _POINT.fullmatch(text):
        sign, decimals = match.groups()
        value = Fraction(int(decimals), 10 ** len(decimals))
        return (-value if sign == "-" else value), True
    if match := _FRACTION.fullmatch(text):
        sign, top, bottom, plain_top, plain_bottom = match.groups()
        denominator = int(bottom or plain_bottom)
        if denominator == 0:
            return None
        value = Fraction(int(top or plain_top), denominator)
        return (-value if sign == "-" else value), False
    if match := _MIXED.fullmatch(text):
        sign, whole, *parts = match.groups()
        top, bottom = (int(part) for part in parts if part is not None)
        if not 0 < top < bottom or int(whole) == 0:
            return None  # 2\frac{4}{3} may be a product
        value = int(whole) + Fraction(top, bottom)
        return (-value if sign == "-" else value), False
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
    share = Fraction(percent) / 100
    if plain == share or (plain == percent and abs(Fraction(plain)) >= 1):
        return True
    if plain == percent:
        return None
    return None if any(_close(plain, meant) for meant in (percent, share)) else False


def _close(a: Fraction | int, b: Fraction | int) -> bool:
    return abs(Fraction(a) - Fraction(b)) < max(_CLOSE, _CLOSE_RELATIVE * abs(Fraction(b)))


def decide(gold: str, answer: str) -> bool | None:
    """True or False where both are plain rationals and the case is clear, else None."""
    left, right = parse(gold), parse(answer)
    if left is None or right is None:
        return None
    (wanted, wanted_decimal), (given, given_decimal) = left, right
    if wanted == given:
        return True
    return None if (wanted_decimal or given_decimal) and _close(given, wanted) else False
