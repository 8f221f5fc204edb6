r"""Values of a tree at a few points, each as a ball: a float and a bound on how far the true value may be from it.

Invariant: `differ` is True only where the two trees differ at a point at which both are defined, by more than the sum
of the bounds and by more than what the slow path could round away; it never says that two trees are equal. Bounds
count eight units in the last place an operation, several times what IEEE arithmetic and the C library err.
A value outside the real domain, an overflow or a wide ball gives no answer at that point.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from synthflow.verifiers.answers.comparing.expressions import Refused, Tree

Ball = tuple[float, float]

_UNIT = 8 * 2.0**-53
_TINY = 1e-290
_CLEAR = 1e-4  # of the larger value, or absolutely below 1: far beyond the sixth decimal, at which the slow path rounds
_POINTS = (0.7310585786, 1.6180339887, 2.3025850929)  # positive, so that most roots and logarithms exist


def differ(left: Tree, right: Tree) -> bool:
    """Whether two trees certainly differ."""
    letters = sorted(symbols(left) | symbols(right))
    for start in _POINTS if letters else _POINTS[:1]:
        at = {letter: start + 0.3137 * place for place, letter in enumerate(letters)}
        try:
            a, b = ball(left, at), ball(right, at)
        except (Refused, OverflowError, ValueError, ZeroDivisionError):
            continue
        gap = abs(a[0] - b[0])
        if gap > a[1] + b[1] + _CLEAR * max(1.0, abs(a[0]), abs(b[0])) and gap < math.inf:
            return True
    return False


def symbols(tree: Tree) -> set[str]:
    """Letters that occur."""
    if tree[0] == "sym":
        return {tree[1]}
    found: set[str] = set()
    for part in tree[1:]:
        if isinstance(part, tuple):
            found |= symbols(part)
    return found


def ball(tree: Tree, at: dict[str, float]) -> Ball:
    """The value of a tree and a bound on its error.

    Raises:
        Refused, OverflowError, ValueError, ZeroDivisionError: if there is none in the real numbers, or in floats.
    """
    kind = tree[0]
    if kind == "num":
        return _rounded(float(tree[1]), 0.0)
    if kind == "sym":
        return at[tree[1]], 0.0
    if kind == "pi":
        return _rounded(math.pi, 0.0)
    if kind == "e":
        return _rounded(math.e, 0.0)
    if kind == "neg":
        value, error = ball(tree[1], at)
        return -value, error
    if kind == "pow" and (whole := _whole(tree[2])) is not None:
        return _whole_power(ball(tree[1], at), whole)
    if kind in _BINARY:
        return _BINARY[kind](ball(tree[1], at), ball(tree[2], at))
    if kind == "root":
        return _positive_power(ball(tree[2], at), (1 / tree[1], _UNIT))
    if kind == "log":
        return _divide(_function("ln", ball(tree[2], at)), _function("ln", ball(tree[1], at)))
    if kind == "fn":
        return _function(tree[1], ball(tree[2], at))
    raise Refused


def _rounded(value: float, error: float) -> Ball:
    if not math.isfinite(value) or not math.isfinite(error):
        raise OverflowError
    return value, error * (1 + _UNIT) + abs(value) * _UNIT + _TINY


def _add(a: Ball, b: Ball) -> Ball:
    return _rounded(a[0] + b[0], a[1] + b[1])


def _multiply(a: Ball, b: Ball) -> Ball:
    return _rounded(a[0] * b[0], abs(a[0]) * b[1] + abs(b[0]) * a[1] + a[1] * b[1])


def _divide(a: Ball, b: Ball) -> Ball:
    least = abs(b[0]) - b[1]
    if least <= 1e-9 * abs(b[0]) or least < 1e-100:
        raise ZeroDivisionError
    value = a[0] / b[0]
    return _rounded(value, (a[1] + abs(value) * b[1]) / least)


def _whole(tree: Tree) -> int | None:
    """The integer a tree is written as, if it is small."""
    if tree[0] == "neg":
        inner = _whole(tree[1])
        return None if inner is None else -inner
    return int(tree[1]) if tree[0] == "num" and tree[1].denominator == 1 and tree[1] <= 64 else None


def _whole_power(a: Ball, power: int) -> Ball:
    result: Ball = (1.0, 0.0)
    for _ in range(abs(power)):
        result = _multiply(result, a)
    return result if power >= 0 else _divide((1.0, 0.0), result)


def _positive_power(a: Ball, b: Ball) -> Ball:
    if a == (0.0, 0.0) and b[0] > 0:
        return a
    return _function("exp", _multiply(b, _function("ln", a)))


def _function(name: str, a: Ball) -> Ball:
    value, error = a
    if name == "exp":
        if value + error > 300:
            raise OverflowError
        return _rounded(math.exp(value), math.exp(value) * math.expm1(error))
    if name == "ln":
        least = value - error
        if least <= 1e-100 or error > 1e-3 * value:
            raise ValueError
        return _rounded(math.log(value), error / least)
    if name in ("sin", "cos"):
        if abs(value) > 1e6:
            raise Refused
        return _rounded(getattr(math, name)(value), error)
    if name == "arctan":
        return _rounded(math.atan(value), error)
    if name in ("tan", "cot", "sec", "csc"):
        sine, cosine = _function("sin", a), _function("cos", a)
        one: Ball = (1.0, 0.0)
        top = {"tan": sine, "cot": cosine}.get(name, one)
        return _divide(top, cosine if name in ("tan", "sec") else sine)
    raise Refused


_BINARY: dict[str, Callable[[Ball, Ball], Ball]] = {
    "add": _add,
    "mul": _multiply,
    "div": _divide,
    "pow": _positive_power,
}
