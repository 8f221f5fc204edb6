"""Values of a tree at a point, to a wanted number of digits. For a pool's child only: what is dear meets its clock.

Invariant: a value is what mathematics says, or `Undefined`: over the reals no even root, logarithm or broken power of a
negative number is taken, and an odd root of one is the real one. Functions that nobody knows have a value of their own,
the same for the same arguments.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from typing import Any

import mpmath

from synthflow.verifiers.answers.reading.atoms import Tree

_context = mpmath.MPContext()
_MAX_TERMS = 2000
_LARGEST = 10**6
Point = dict[str, Any]


class Undefined(Exception):
    """There is no value at this point."""


def value(tree: Tree, at: Point, *, digits: int, real: bool) -> Any:
    """The value, with about `digits` correct ones.

    Raises:
        Undefined: where there is none, or none that is finite.
    """
    with _context.workdps(digits):
        try:
            found = _value(tree, at, real)
        except (
            ZeroDivisionError,
            ValueError,
            OverflowError,
            ArithmeticError,
            TypeError,
            mpmath.libmp.NoConvergence,
        ) as error:
            raise Undefined(str(error)) from error
        if isinstance(found, _context.mpc) and found.imag == 0:
            found = found.real
        if real and isinstance(found, _context.mpc):
            raise Undefined("not real")
        if not _context.isfinite(found):
            raise Undefined("not finite")
        return found


def letters(tree: Tree) -> frozenset[str]:
    """Letters that occur and are not bound by a sum or product."""
    if tree[0] == "sym":
        return frozenset({tree[1]})
    if tree[0] in ("sum", "prod"):
        return letters(tree[2]) | letters(tree[3]) | (letters(tree[4]) - {tree[1]})
    found: frozenset[str] = frozenset()
    for part in tree[1:]:
        if isinstance(part, tuple):
            found |= letters(part)
    return found


def kinds(tree: Tree) -> frozenset[str]:
    """Names of the operations that occur; of functions and calls their own names."""
    found = frozenset({str(tree[1]) if tree[0] in ("fn", "call") else str(tree[0])})
    for part in tree[1:]:
        if isinstance(part, tuple):
            found |= kinds(part)
    return found


def _value(tree: Tree, at: Point, real: bool) -> Any:
    kind = tree[0]
    if kind == "num":
        return _context.mpf(tree[1].numerator) / tree[1].denominator
    if kind == "sym":
        return _context.convert(at[tree[1]])
    if kind == "pi":
        return +_context.pi
    if kind == "e":
        return +_context.e
    if kind == "i":
        if real:
            raise Undefined("not real")
        return _context.mpc(0, 1)
    if kind in ("sum", "prod"):
        return _loop(tree, at, real)
    if kind == "root":
        return _root(_value(tree[2], at, real), tree[1], real)
    if kind == "pow":
        return _power(tree[1], tree[2], at, real)
    if kind in ("fn", "call"):
        return _applied(tree[1], [_value(part, at, real) for part in tree[2:]], real)
    operation = _PLAIN.get(kind)
    if operation is None:
        raise Undefined(kind)
    return operation(*(_value(part, at, real) for part in tree[1:]), real)


def _log(base: Any, inner: Any, real: bool) -> Any:
    if real and not (inner > 0 and base > 0):
        raise Undefined("a logarithm")
    return _context.log(inner) / _context.log(base)


def _fact(inner: Any, real: bool) -> Any:
    if isinstance(inner, _context.mpc) or abs(inner) > _LARGEST:
        raise Undefined("a factorial")
    return _context.factorial(inner)


_PLAIN: dict[str, Callable[..., Any]] = {
    "add": lambda a, b, real: a + b,
    "mul": lambda a, b, real: a * b,
    "div": lambda a, b, real: a / b,
    "neg": lambda a, real: -a,
    "abs": lambda a, real: abs(a),
    "log": _log,
    "fact": _fact,
}


def _root(inner: Any, degree: int, real: bool) -> Any:
    if isinstance(inner, _context.mpc) or inner >= 0:
        return _context.root(inner, degree)
    if degree % 2:
        return -_context.root(-inner, degree)  # as schools have it, over the complex numbers too
    if real:
        raise Undefined("an even root of a negative number")
    return _context.sqrt(inner) if degree == 2 else _context.root(inner, degree)


def _power(base_tree: Tree, exponent_tree: Tree, at: Point, real: bool) -> Any:
    base, exponent = _value(base_tree, at, real), _value(exponent_tree, at, real)
    whole = not isinstance(exponent, _context.mpc) and exponent == int(exponent)
    if whole and (isinstance(base, _context.mpc) or base != 0 or exponent > 0):
        return base ** int(exponent)
    if not isinstance(base, _context.mpc):
        if base == 0 and (isinstance(exponent, _context.mpc) or exponent <= 0):
            raise Undefined("a power of zero")
        if base < 0 and real:
            degree = _odd_denominator(exponent_tree)
            if degree is None:
                raise Undefined("a broken power of a negative number")
            top = _context.nint(exponent * degree)
            return (-1) ** (int(top) % 2) * (-base) ** exponent
    return _context.power(base, exponent)


def _odd_denominator(tree: Tree) -> int | None:
    if tree[0] == "neg":
        return _odd_denominator(tree[1])
    if tree[0] == "div" and tree[1][0] == tree[2][0] == "num":
        share = tree[1][1] / tree[2][1]
        return int(share.denominator) if share.denominator % 2 else None
    return None


def _loop(tree: Tree, at: Point, real: bool) -> Any:
    kind, letter, low_tree, high_tree, body = tree
    low, high = _whole(_value(low_tree, at, real)), _whole(_value(high_tree, at, real))
    if not -1 <= high - low < _MAX_TERMS:
        raise Undefined("a long sum")
    total = _context.mpf(0 if kind == "sum" else 1)
    for index in range(low, high + 1):
        term = _value(body, {**at, letter: index}, real)
        total = total + term if kind == "sum" else total * term
    return total


def _whole(number: Any) -> int:
    if isinstance(number, _context.mpc) or number != int(number):
        raise Undefined("a whole number is wanted")
    return int(number)


def _applied(name: str, arguments: list[Any], real: bool) -> Any:
    if name[0] == "#":
        return _unknown(name, arguments)
    if real and name in _DOMAINS and not _DOMAINS[name](arguments[0]):
        raise Undefined(name)
    known = _KNOWN.get(name)
    if known is None:
        raise Undefined(name)
    return known(*arguments)


def _unknown(name: str, arguments: list[Any]) -> Any:
    """A smooth function of no special form that belongs to the name."""
    seed = zlib.crc32(name.encode()) % 9973 + 1
    total = _context.mpf(seed) / 7919
    for place, argument in enumerate(arguments, 2):
        total += _context.sin(argument * place + seed) + argument / (place + seed % 13)
    return total


def _falling(n: Any, k: Any) -> Any:
    return _context.factorial(n) / _context.factorial(n - k)


def _gcd(*numbers: Any) -> Any:
    return _context.mpf(math.gcd(*(_whole(number) for number in numbers)))


def _lcm(*numbers: Any) -> Any:
    return _context.mpf(math.lcm(*(_whole(number) for number in numbers)))


def _totient(number: Any) -> Any:
    n = _whole(number)
    if not 0 < n <= _LARGEST:
        raise Undefined("a totient")
    total, rest, prime = n, n, 2
    while prime * prime <= rest:
        if rest % prime == 0:
            total -= total // prime
            while rest % prime == 0:
                rest //= prime
        prime += 1
    return _context.mpf(total - total // rest if rest > 1 else total)


def _prime_count(number: Any) -> Any:
    limit = _whole(number)
    if limit > _LARGEST:
        raise Undefined("a count of primes")
    return _context.primepi(limit)


def _reciprocal(name: str) -> Callable[[Any], Any]:
    return lambda a: getattr(_context, name)(1 / a)


_KNOWN: dict[str, Callable[..., Any]] = {
    name: getattr(_context, name)
    for name in [
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "sinh",
        "cosh",
        "tanh",
        "coth",
        "sech",
        "csch",
        "exp",
        "ln",
        "floor",
        "gamma",
        "zeta",
        "sign",
        "re",
        "im",
        "erf",
    ]
}
_KNOWN |= {f"arc{name}": getattr(_context, f"a{name}") for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")}
_KNOWN |= {
    "arcsec": _reciprocal("acos"),
    "arccsc": _reciprocal("asin"),
    "arccot": lambda a: _context.pi / 2 - _context.atan(a),
    "ceil": _context.ceil,
    "binom": _context.binomial,
    "permutations": _falling,
    "double factorial": _context.fac2,
    "gcd": _gcd,
    "lcm": _lcm,
    "totient": _totient,
    "prime count": _prime_count,
    "min": min,
    "max": max,
    "mod": lambda a, b: a - b * _context.floor(a / b),
    "conjugate": _context.conj,
}
_DOMAINS: dict[str, Callable[[Any], bool]] = {
    "ln": lambda a: a > 0,
    "arcsin": lambda a: abs(a) <= 1,
    "arccos": lambda a: abs(a) <= 1,
    "arccosh": lambda a: a >= 1,
    "arctanh": lambda a: abs(a) < 1,
}
