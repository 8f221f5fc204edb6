r"""Exact normal forms: quotients of polynomials over the rationals in letters, `\pi`, e, i and roots of primes.

Invariant: two trees with equal normal forms are equal wherever both are defined; two with different ones are not equal.
The second half rests on theorems: roots of positive integers whose quotient is not rational are linearly independent
over the rationals (Besicovitch 1940), and `\pi` and e are transcendental. Whether `\pi` and e are algebraically
independent is not known, so a difference that holds both is not decided; nor are decimals told apart that are close,
because the slow path rounds. Sizes are bounded before anything is multiplied out. Roots with a letter under them,
exponents that are not numbers, and functions are refused.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

from synthflow.verifiers.answers.comparing.expressions import Refused, Tree

Monomial = tuple[tuple[str, Fraction], ...]
Polynomial = dict[Monomial, Fraction]

MAX_TERMS = 60
MAX_POWER = 40
MAX_NUMBER_POWER = 400
MAX_BITS = 2000
MAX_RADICAND = 10**7

_ONE: Monomial = ()


class Quotient:
    """`top / bottom`; `bottom` is not zero."""

    __slots__ = ("bottom", "top")

    def __init__(self, top: Polynomial, bottom: Polynomial | None = None) -> None:
        self.top, self.bottom = top, {_ONE: Fraction(1)} if bottom is None else bottom


def normal_form(tree: Tree) -> Quotient:
    """The exact value of a tree.

    Raises:
        Refused: if it is not a quotient of polynomials as above, is undefined, or is too large.
    """
    kind = tree[0]
    if kind == "num":
        return Quotient({_ONE: tree[1]} if tree[1] else {})
    if kind == "sym":
        return Quotient({((tree[1], Fraction(1)),): Fraction(1)})
    if kind in ("pi", "e", "i"):
        return Quotient({(("#" + kind, Fraction(1)),): Fraction(1)})
    if kind == "neg":
        inner = normal_form(tree[1])
        return Quotient({m: -c for m, c in inner.top.items()}, inner.bottom)
    if kind == "add":
        left, right = normal_form(tree[1]), normal_form(tree[2])
        if left.bottom == right.bottom:
            return Quotient(_plus(left.top, right.top), left.bottom)
        top = _plus(_times(left.top, right.bottom), _times(right.top, left.bottom))
        return Quotient(top, _times(left.bottom, right.bottom))
    if kind == "mul":
        return _product(normal_form(tree[1]), normal_form(tree[2]))
    if kind == "div":
        return _product(normal_form(tree[1]), _inverse(normal_form(tree[2])))
    if kind == "pow":
        return _power(normal_form(tree[1]), normal_form(tree[2]))
    if kind == "root":
        return _root(normal_form(tree[2]), Fraction(1, tree[1]))
    raise Refused


def constant(form: Quotient) -> Fraction | None:
    """The rational number that a form is, or None."""
    if set(form.top) <= {_ONE} and set(form.bottom) == {_ONE}:
        return form.top.get(_ONE, Fraction(0)) / form.bottom[_ONE]
    return None


def same(left: Quotient, right: Quotient) -> bool | None:
    """Whether two forms are equal; None where only the independence of pi and e could tell.

    Raises:
        Refused: if the difference is too large.
    """
    if left.bottom == right.bottom:
        difference = _minus(left.top, right.top)
    else:
        difference = _minus(_times(left.top, right.bottom), _times(right.top, left.bottom))
    if not difference:
        return True
    names = {name for monomial in difference for name, _ in monomial}
    return None if {"#pi", "#e"} <= names else False


def names(form: Quotient) -> set[str]:
    """Letters and constants (`#pi`, `#e`, `#i`, `#7` for roots of 7) that occur."""
    return {name for part in (form.top, form.bottom) for monomial in part for name, _ in monomial}


def _plus(left: Polynomial, right: Polynomial) -> Polynomial:
    total = dict(left)
    for monomial, coefficient in right.items():
        value = total.get(monomial, 0) + coefficient
        if value:
            total[monomial] = Fraction(value)
        else:
            total.pop(monomial, None)
    return _checked(total)


def _minus(left: Polynomial, right: Polynomial) -> Polynomial:
    return _plus(left, {m: -c for m, c in right.items()})


def _times(left: Polynomial, right: Polynomial) -> Polynomial:
    if len(left) * len(right) > MAX_TERMS**2:
        raise Refused
    total: Polynomial = {}
    for one, a in left.items():
        for other, b in right.items():
            monomial, factor = _joined(one, other)
            value = total.get(monomial, 0) + a * b * factor
            total[monomial] = Fraction(value)
    return _checked({m: c for m, c in total.items() if c})


def _joined(one: Monomial, other: Monomial) -> tuple[Monomial, int | Fraction]:
    """The product of two monomials, and the rational factor that falls out of roots and powers of i."""
    if not one:
        return other, 1
    if not other:
        return one, 1
    powers = dict(one)
    for name, power in other:
        powers[name] = powers.get(name, Fraction(0)) + power
    return _reduced(powers)


def _reduced(powers: dict[str, Fraction]) -> tuple[Monomial, int | Fraction]:
    factor: int | Fraction = 1
    kept = []
    for name, power in powers.items():
        if name[0] == "#" and name[1:].isdigit():
            whole = power.numerator // power.denominator
            factor *= Fraction(int(name[1:])) ** whole
            power -= whole
        elif name == "#i":
            turns = int(power) % 4
            factor *= -1 if turns >= 2 else 1
            power = Fraction(turns % 2)
        if power:
            kept.append((name, power))
    return tuple(sorted(kept)), factor


def _checked(polynomial: Polynomial) -> Polynomial:
    if len(polynomial) > MAX_TERMS:
        raise Refused
    for coefficient in polynomial.values():
        if coefficient.numerator.bit_length() > MAX_BITS or coefficient.denominator.bit_length() > MAX_BITS:
            raise Refused
    return polynomial


def _product(left: Quotient, right: Quotient) -> Quotient:
    return Quotient(_times(left.top, right.top), _times(left.bottom, right.bottom))


def _inverse(form: Quotient) -> Quotient:
    if not form.top:
        raise Refused  # division by zero
    if len(form.top) == 1:  # of one term: into the numerator, so that 1/x is x^{-1} and 1/\sqrt{2} is \sqrt{2}/2
        ((monomial, coefficient),) = form.top.items()
        inverted, factor = _reduced({name: -power for name, power in monomial})
        return Quotient(_times(form.bottom, {inverted: factor / coefficient}))
    return Quotient(form.bottom, form.top)


def _power(base: Quotient, exponent: Quotient) -> Quotient:
    power = constant(exponent)
    if power is None:
        raise Refused
    if power.denominator != 1:
        if power.denominator > 6 or abs(power) > MAX_POWER:
            raise Refused
        return _root(base, power)
    if not base.top and power <= 0:
        raise Refused  # 0^0, and division by zero
    limit = MAX_NUMBER_POWER if len(base.top) <= 1 and len(base.bottom) <= 1 else MAX_POWER
    number = constant(base)
    if abs(power) > limit or (number is not None and abs(power) * _bits(number) > MAX_BITS):
        raise Refused
    if power < 0:
        base, power = _inverse(base), -power
    result = Quotient({_ONE: Fraction(1)})
    for _ in range(int(power)) if power <= 8 else ():
        result = _product(result, base)
    if power > 8:
        square, left = base, int(power)
        while left:
            if left & 1:
                result = _product(result, square)
            left >>= 1
            if left:
                square = _product(square, square)
    return result


def _bits(number: Fraction) -> int:
    return number.numerator.bit_length() + number.denominator.bit_length()


def _root(base: Quotient, power: Fraction) -> Quotient:
    """A rational power of a rational number of at least zero."""
    number = constant(base)
    if number is None or number < 0:
        raise Refused
    if number == 0:
        if power <= 0:
            raise Refused
        return Quotient({})
    powers: dict[str, Fraction] = {}
    for part, sign in ((number.numerator, 1), (number.denominator, -1)):
        for prime, times in _factors(part):
            powers[f"#{prime}"] = powers.get(f"#{prime}", Fraction(0)) + sign * times * power
    if sum(abs(p) for p in powers.values()) > MAX_NUMBER_POWER:
        raise Refused
    monomial, factor = _reduced(powers)
    return Quotient({monomial: Fraction(factor)})


@lru_cache(maxsize=4096)
def _factors(number: int) -> tuple[tuple[int, int], ...]:
    """Prime factors with their multiplicities, by trial division."""
    if number > MAX_RADICAND:
        raise Refused
    found: list[tuple[int, int]] = []
    prime = 2
    while prime * prime <= number:
        times = 0
        while number % prime == 0:
            number //= prime
            times += 1
        if times:
            found.append((prime, times))
        prime += 1 if prime == 2 else 2
    if number > 1:
        found.append((number, 1))
    return tuple(found)
