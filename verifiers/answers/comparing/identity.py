r"""Whether two trees are the same number or the same function: by exact forms, then by values at points.

Invariant: `equal` means equal exact forms, or values that agree to forty digits at every point at which both are
defined; `different` means a point at which both are defined and clearly apart. What holds only where both sides are
defined over the reals (`\ln x^2 = 2\ln x`) is equal and says so in `note`; what holds for positive letters only, while
both are defined elsewhere and differ (`\sqrt{x^2}` and `x`), is neither.

Decimals: one of six places or more stands for what rounds to it; a shorter one is exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any, Literal

from synthflow.verifiers.answers.comparing.expressions import Refused
from synthflow.verifiers.answers.comparing.normal_form import constant, normal_form, same
from synthflow.verifiers.answers.comparing.tree_values import Point, Undefined, kinds, letters, value
from synthflow.verifiers.answers.reading.atoms import LOG_BASE, Tree, number

Verdict = Literal["equal", "different", "unsure"]

_DIGITS = (30, 60)
_POINTS = ("0.7310585786", "1.6180339887", "2.3025850929", "-0.5671432904", "-1.9021605831", "-3.1458771")
_WHOLE = (2, 3, 4, 5, 8, 11)
_MAX_LETTERS = 8
_ROUNDED = Fraction(1, 10**6)
_NOISE = Fraction(1, 10**12)  # what floating-point arithmetic leaves: 0.30000000000000004
_CLOSE = Fraction(1, 10**5)


@dataclass(frozen=True, slots=True)
class Found:
    """The verdict on two things, and what has to be said with it."""

    verdict: Verdict
    note: str = ""


EQUAL, DIFFERENT, UNSURE = Found("equal"), Found("different"), Found("unsure")


def identity(gold: Tree, answer: Tree) -> Found:
    """Whether two expressions without plus-or-minus signs are the same."""
    if gold == answer:
        return EQUAL
    try:
        forms = same(normal_form(gold), normal_form(answer))
    except Refused:
        forms = None
    if forms:
        return EQUAL
    if ("inf" in kinds(gold)) or ("inf" in kinds(answer)):
        return _infinities(gold, answer)
    names = letters(gold) | letters(answer)
    if not names:
        return _constants(gold, answer)
    if len(names) > _MAX_LETTERS:
        return UNSURE
    found = _functions(gold, answer, sorted(names))
    if found.verdict == "different" and LOG_BASE[1] in names and _equal_in_some_base(gold, answer):
        return Found("unsure", "a logarithm names no base")
    return found


def _equal_in_some_base(gold: Tree, answer: Tree) -> bool:
    return any(
        identity(with_letter(gold, LOG_BASE[1], base), with_letter(answer, LOG_BASE[1], base)).verdict != "different"
        for base in (("e",), number(10), number(2))
    )


def with_letter(tree: Tree, letter: str, instead: Tree) -> Tree:
    """A tree with something else in the place of a letter."""
    if tree == ("sym", letter):
        return instead
    return tuple(with_letter(part, letter, instead) if isinstance(part, tuple) else part for part in tree)


# ---------------------------------------------------------------- numbers


def _constants(gold: Tree, answer: Tree) -> Found:
    real = not {"i"} & (kinds(gold) | kinds(answer))
    try:
        pairs = [tuple(_number_value(tree, digits, real) for tree in (gold, answer)) for digits in _DIGITS]
    except Undefined as undefined:
        return Found("unsure", f"no value: {undefined}")
    if _agree(pairs):
        return EQUAL
    decimals = [_decimal(tree) for tree in (gold, answer)]
    if decimals[0] is None and decimals[1] is None:
        return DIFFERENT
    if None in decimals and any(_terminates(tree) for tree in (gold, answer) if _decimal(tree) is None):
        return EQUAL if _noise_apart(decimals, pairs[1]) else DIFFERENT
    return _rounded(decimals, pairs[1])


def _noise_apart(decimals: list[Fraction | None], pair: Any) -> bool:
    """Whether two numbers are a rounding error of a computer apart, of which one shows that many digits."""
    digits = max(
        len(str(abs(one.numerator * 10**40 // one.denominator)).rstrip("0")) for one in decimals if one is not None
    )
    return digits >= 14 and _nearly(pair, _NOISE)


def _terminates(tree: Tree) -> bool:
    """Whether a number can be written as a short decimal, so that nobody would round it."""
    try:
        exact = constant(normal_form(tree))
    except Refused:
        return False
    return exact is not None and _places(exact) < 6


def _nearly(pair: Any, share: Fraction) -> bool:
    return bool(abs(pair[0] - pair[1]) <= float(share) * max(abs(pair[0]), abs(pair[1])))


def _number_value(tree: Tree, digits: int, real: bool) -> Any:
    try:
        return value(tree, {}, digits=digits, real=real)
    except Undefined:
        if not real:
            raise
        return value(tree, {}, digits=digits, real=False)


def _infinities(gold: Tree, answer: Tree) -> Found:
    signs = [_infinite(tree) for tree in (gold, answer)]
    if None in signs:
        return UNSURE
    return EQUAL if signs[0] == signs[1] else DIFFERENT


def _infinite(tree: Tree) -> int | None:
    """1 or -1 for an infinity, 0 for what holds none, None for what mixes them."""
    if tree == ("inf",):
        return 1
    if tree == ("neg", ("inf",)):
        return -1
    return None if "inf" in kinds(tree) else 0


def _decimal(tree: Tree) -> Fraction | None:
    """The value of a lone decimal, also of one times a power of ten."""
    if tree[0] == "neg":
        inner = _decimal(tree[1])
        return None if inner is None else -inner
    if tree[0] == "num" and tree[2]:
        return Fraction(tree[1])
    if tree[0] == "mul" and tree[1][0] == "num" and tree[1][2] and tree[2][0] == "pow" and tree[2][1] == number(10):
        exponent = tree[2][2][1] if tree[2][2][0] == "neg" else tree[2][2]
        if exponent[0] == "num" and exponent[1].denominator == 1 and exponent[1] <= 400:
            power = int(exponent[1]) * (-1 if tree[2][2][0] == "neg" else 1)
            return Fraction(tree[1][1]) * Fraction(10) ** power
    return None


def _places(decimal: Fraction) -> int:
    """Decimal places that a decimal needs."""
    places = 0
    while decimal.denominator != 1 and places < 40:
        decimal *= 10
        places += 1
    return places


def _rounded(decimals: list[Fraction | None], pair: Any) -> Found:
    """A decimal beside a number: of two decimals the shorter is exact; six places stand for what rounds to them."""
    if _noise_apart(decimals, pair):
        return EQUAL
    places = min(_places(decimal) for decimal in decimals if decimal is not None)
    unit = float(_ROUNDED) * (1 if places == 6 else 0.51)  # of six places the last may be cut off, not rounded
    close = abs(pair[0] - pair[1]) <= unit and _nearly(pair, _CLOSE)
    return EQUAL if places >= 6 and close else DIFFERENT


def _agree(pairs: list[Any]) -> bool:
    """Whether two values, computed with 30 and with 60 digits, are one number."""
    (a, b), (c, d) = pairs
    rough, fine = abs(a - b), abs(c - d)
    if fine == 0:
        return True
    largest = max(abs(c), abs(d))
    return bool(fine <= largest * 1e-45 or (fine <= rough * 1e-20 and fine < 1e-40))


def rounds_to(exact: Tree, rounded: Tree) -> bool:
    """Whether a number is about another, to a hundredth of it."""
    try:
        pair = [value(tree, {}, digits=20, real=True) for tree in (exact, rounded)]
    except (Undefined, KeyError):
        return False
    return _nearly(pair, Fraction(1, 100))


# ---------------------------------------------------------------- functions


def _functions(gold: Tree, answer: Tree, names: list[str]) -> Found:
    real = not {"i"} & (kinds(gold) | kinds(answer))
    agreed, apart_at_positive, apart, partly = 0, False, False, False
    for at, positive in _points(names):
        try:
            equal, both = _equal_at(gold, answer, at, real)
        except Undefined:
            continue
        if not both:
            partly = True
        elif equal:
            agreed += 1
        else:
            apart = True
            apart_at_positive = apart_at_positive or positive
    if apart_at_positive:
        return DIFFERENT
    if apart:
        return Found("unsure", "equal for positive values only") if agreed else DIFFERENT
    if agreed < 3:
        return Found("unsure", "no values to compare")
    return Found("equal", "equal where both sides are defined" if partly else "")


def _points(names: list[str]) -> Iterator[tuple[Point, bool]]:
    """Points with fractions and with whole numbers, positive ones first; at each letter another number."""
    for start in range(3):
        yield {name: _shifted(_POINTS[start], place) for place, name in enumerate(names)}, True
    for start in _WHOLE:
        yield {name: start + 3 * place + place * place for place, name in enumerate(names)}, True
    if len(names) <= 3:
        for signs in product((1, -1), repeat=len(names)):
            if -1 in signs:
                yield {n: s * _shifted(_POINTS[1], p) for p, (n, s) in enumerate(zip(names, signs, strict=True))}, False
                yield {n: s * (3 + 2 * p) for p, (n, s) in enumerate(zip(names, signs, strict=True))}, False
    else:
        yield {name: -_shifted(_POINTS[0], place) for place, name in enumerate(names)}, False
        yield {name: (-1) ** place * _shifted(_POINTS[1], place) for place, name in enumerate(names)}, False


def _shifted(start: str, place: int) -> Fraction:
    return Fraction(start) + Fraction(3137, 10_000) * place


def _equal_at(gold: Tree, answer: Tree, at: Point, real: bool) -> tuple[bool, bool]:
    """Whether both values agree at a point, and whether both exist.

    Raises:
        Undefined: where neither exists.
    """
    found: list[Any] = []
    for tree in (gold, answer):
        try:
            found.append([value(tree, at, digits=digits, real=real) for digits in _DIGITS])
        except Undefined:
            found.append(None)
    if found == [None, None]:
        raise Undefined("neither side")
    if None in found:
        return False, False
    return _agree(list(zip(*found, strict=True))), True
