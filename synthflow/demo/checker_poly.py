"""Quantities as Laurent polynomials in the given numbers of a problem.

Invariant: two expressions get the same polynomial exactly when they are the same quantity whatever the given
numbers are; so 'is this what the problem needs' is asked about meaning and not about values that happen to
agree. Exponents are negative for what is divided by; a quotient by a sum has no polynomial (None).
"""

from __future__ import annotations

from fractions import Fraction

from synthflow.demo.world_facts import Facts

Monomial = tuple[tuple[int, int], ...]  # ((index of the given quantity, exponent != 0), ...) ascending
Poly = dict[Monomial, Fraction]
MAX_TERMS = 64


def symbol(index: int) -> Poly:
    return {((index, 1),): Fraction(1)}


def constant(value: Fraction) -> Poly:
    return {(): value} if value else {}


def _times(a: Monomial, b: Monomial, power: int = 1) -> Monomial:
    powers = dict(a)
    for index, exponent in b:
        powers[index] = powers.get(index, 0) + power * exponent
    return tuple(sorted((i, e) for i, e in powers.items() if e))


def combine(op: str, a: Poly | None, b: Poly | None) -> Poly | None:
    """a op b for op in + - * /; None when it has no (small) polynomial."""
    if a is None or b is None:
        return None
    out: Poly = {}
    if op in "+-":
        out = dict(a)
        for monomial, coefficient in b.items():
            out[monomial] = out.get(monomial, Fraction(0)) + (coefficient if op == "+" else -coefficient)
    elif op == "*":
        if len(a) * len(b) > MAX_TERMS:
            return None
        for m, c in a.items():
            for n, d in b.items():
                key = _times(m, n)
                out[key] = out.get(key, Fraction(0)) + c * d
    else:
        if len(b) != 1:
            return None
        ((n, d),) = b.items()
        out = {_times(m, n, -1): c / d for m, c in a.items()}
    out = {m: c for m, c in out.items() if c}
    return out if len(out) <= MAX_TERMS else None


def useful(part: Poly | None, target: Poly) -> bool:
    """Whether the target is ±(part times a factor) plus further terms, nothing being undone on the way.

    The factor must be left over in the target's own terms (a monomial whose exponents lie between 0 and
    theirs), and no term may be used more often than the target has it.
    """
    if not part:
        return False
    first = next(iter(part))
    for term in target:
        factor = _conformal_quotient(term, first)
        if factor is None:
            continue
        for sign in (1, -1):
            if all(_covers(target.get(_times(m, factor)), sign * c) for m, c in part.items()):
                return True
    return False


def _covers(available: Fraction | None, wanted: Fraction) -> bool:
    whole = wanted.denominator == 1
    return available is not None and whole and available * wanted > 0 and abs(wanted) <= abs(available)


def _conformal_quotient(term: Monomial, part: Monomial) -> Monomial | None:
    """term / part when every exponent of part lies between 0 and the one in term, else None."""
    powers = dict(term)
    for index, exponent in part:
        have = powers.get(index, 0)
        if have * exponent <= 0 or abs(exponent) > abs(have):
            return None
        powers[index] = have - exponent
    return tuple(sorted((i, e) for i, e in powers.items() if e))


def all_polys(facts: Facts) -> list[Poly | None]:
    """The polynomial of every quantity of a problem, by index."""
    out: list[Poly | None] = []
    for i, q in enumerate(facts.quantities):
        if q.op == "given":
            out.append(symbol(i))
            continue
        poly: Poly | None = {} if q.op == "sum" else out[q.args[0]]
        if q.op == "sum":
            for sign, arg in zip(q.signs, q.args, strict=True):
                poly = combine("+" if sign > 0 else "-", poly, out[arg])
        else:
            for arg in q.args[1:]:
                poly = combine("*" if q.op == "mul" else "/", poly, out[arg])
        out.append(poly)
    return out
