r"""Equations, inequalities and functions by cases: whether two of them hold at the same points.

Invariant: two equations are equal where one side less the other is the same up to a constant factor, and different
where a point satisfies one of them clearly and the other clearly not; what neither shows is left open.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations, product
from typing import Any

import mpmath

from synthflow.verifiers.answers.comparing.identity import DIFFERENT, EQUAL, UNSURE, Found, identity, with_letter
from synthflow.verifiers.answers.comparing.tree_values import Point, Undefined, letters, value
from synthflow.verifiers.answers.reading.atoms import Tree, number
from synthflow.verifiers.answers.reading.readings import Amount, Cases, Relation

_FLIPPED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}
_DIGITS = 30
_SAMPLES = ("-7.3", "-3", "-2.25", "-1", "-0.5", "0", "0.25", "1", "1.75", "2", "3", "5.7", "11.2")
_STARTS = (Fraction(13, 10), Fraction(-17, 10), Fraction(41, 10), Fraction(-39, 10))


def difference(relation: Relation) -> Tree | None:
    """Left side less right side, where both are plain expressions."""
    if len(relation.sides) != 2:
        return None
    left, right = relation.sides
    if not (isinstance(left, Amount) and isinstance(right, Amount)):
        return None
    return ("add", left.tree, ("neg", right.tree))


def compare_relations(gold: Relation, answer: Relation) -> Found:
    """Whether two relations between expressions hold at the same points."""
    if ("=" in gold.marks) != ("=" in answer.marks):
        return DIFFERENT
    wanted, given = difference(gold), difference(answer)
    if wanted is None or given is None:
        return UNSURE
    if gold.marks != answer.marks:
        if _FLIPPED.get(gold.marks[0]) != answer.marks[0]:
            return _at_samples(gold, answer, wanted, given)
        given = ("neg", given)
    if letters(wanted) != letters(given):
        return _in_other_letters(wanted, given) if gold.marks[0] == "=" else _at_samples(gold, answer, wanted, given)
    ratio = _constant_ratio(wanted, given)
    if ratio is not None and (gold.marks[0] in ("=", r"\ne") or ratio > 0):
        return EQUAL
    if gold.marks[0] == "=":
        return DIFFERENT if _off_the_curve(wanted, given) or _off_the_curve(given, wanted) else UNSURE
    return _at_samples(gold, answer, wanted, given)


def _in_other_letters(wanted: Tree, given: Tree) -> Found:
    """Equations in other letters: open where they are the same but for the names."""
    ours, theirs = sorted(letters(wanted)), sorted(letters(given))
    if len(ours) != len(theirs):
        return DIFFERENT
    if len(ours) > 3:
        return UNSURE
    for order in permutations(ours):
        renamed = given
        for old, new in zip(theirs, order, strict=True):
            renamed = with_letter(renamed, old, ("sym", f"#{new}"))
        for name in ours:
            renamed = with_letter(renamed, f"#{name}", ("sym", name))
        if _constant_ratio(wanted, renamed) is not None:
            return Found("unsure", "the names differ")
    return DIFFERENT


def _constant_ratio(one: Tree, other: Tree) -> Any:
    """The constant that one is times the other, or None."""
    names = sorted(letters(one))
    if not names:
        return None
    at = {name: Fraction(1618, 1000) + Fraction(3137, 10_000) * place for place, name in enumerate(names)}
    try:
        a, b = (value(tree, at, digits=_DIGITS, real=True) for tree in (one, other))
    except Undefined:
        return None
    if not a or not b:
        return None
    ratio = a / b
    exact = _as_fraction(ratio)
    if exact is None:
        return None
    same = identity(one, ("mul", number(exact), other))
    return exact if same.verdict == "equal" else None


def _as_fraction(ratio: Any) -> Fraction | None:
    found = Fraction(str(mpmath.nstr(ratio, 28))).limit_denominator(10**6)
    return found if found and abs(float(found) / float(ratio) - 1) < 1e-12 else None


def _off_the_curve(curve: Tree, other: Tree) -> bool:
    """Whether a point of the first curve, found on a line, is clearly not on the second."""
    names = sorted(letters(curve))
    for free in names:
        for start in _STARTS[:2]:
            at: Point = {name: start + Fraction(7, 10) * place for place, name in enumerate(names)}
            root = _root(curve, free, at)
            if root is None:
                continue
            at[free] = root
            try:
                here = value(curve, at, digits=_DIGITS, real=False)
                there = value(other, at, digits=_DIGITS, real=False)
            except (Undefined, KeyError):
                continue
            if abs(here) < 1e-15 and abs(there) > 1e-6:
                return True
    return False


def _root(curve: Tree, free: str, at: Point) -> Any:
    """A number at which the curve is zero, the other letters being given: by secants."""
    context = mpmath.mp
    a, b = context.mpf(1) / 3, context.mpf(5) / 4
    try:
        with context.workdps(_DIGITS):
            fa, fb = (value(curve, {**at, free: point}, digits=_DIGITS, real=False) for point in (a, b))
            for _ in range(60):
                if abs(fb) < 1e-22:
                    return b
                if fa == fb:
                    return None
                a, b, fa = b, b - fb * (b - a) / (fb - fa), fb
                fb = value(curve, {**at, free: b}, digits=_DIGITS, real=False)
    except (Undefined, ValueError, ZeroDivisionError, OverflowError):
        return None
    return None


def holds(relation: Relation, at: Point) -> bool:
    """Whether a relation holds at a point.

    Raises:
        Undefined: where a side has no value there.
    """
    sides = [side.tree for side in relation.sides if isinstance(side, Amount)]
    if len(sides) != len(relation.sides):
        raise Undefined("a side that is no expression")
    values = [value(side, at, digits=_DIGITS, real=True) for side in sides]
    return all(_compared(a, mark, b) for a, mark, b in zip(values, relation.marks, values[1:], strict=False))


def _compared(left: Any, mark: str, right: Any) -> bool:
    near = abs(left - right) <= 1e-20 * max(1, abs(left), abs(right))
    if mark == "=":
        return bool(near)
    if mark == r"\ne":
        return not near
    if mark in (r"\le", r"\ge"):
        return bool(near or (left < right) == (mark == r"\le"))
    if mark in ("<", ">"):
        return bool(not near and (left < right) == (mark == "<"))
    raise Undefined(mark)


def _at_samples(gold: Relation, answer: Relation, wanted: Tree, given: Tree) -> Found:
    """Different where one holds at some point and the other does not."""
    if "=" in (*gold.marks, *answer.marks):
        return UNSURE
    names = sorted(letters(wanted) | letters(given))
    if not 1 <= len(names) <= 3:
        return UNSURE
    for point in product(_SAMPLES if len(names) < 3 else _SAMPLES[1::2], repeat=len(names)):
        at = {name: Fraction(place) for name, place in zip(names, point, strict=True)}
        try:
            if holds(gold, at) != holds(answer, at):
                return DIFFERENT
        except Undefined:
            continue
    return UNSURE


# ---------------------------------------------------------------- functions by cases


def compare_cases(gold: Cases, answer: Cases | Amount) -> Found:
    """Whether a function by cases is another one, or an expression in the same letter; by cases, then by values."""
    if isinstance(answer, Cases) and _same_pieces(gold, answer):
        return EQUAL
    if isinstance(answer, Amount) and answer.tree[0] in ("sym", "num"):
        return DIFFERENT
    names = _names(gold) | (_names(answer) if isinstance(answer, Cases) else letters(answer.tree))
    if len(names) != 1:
        return UNSURE
    (name,) = names
    agreed = 0
    for sample in _SAMPLES:
        at = {name: Fraction(sample)}
        try:
            one, other = _piece(gold, at), _piece(answer, at) if isinstance(answer, Cases) else answer.tree
            a, b = (value(tree, at, digits=_DIGITS, real=True) for tree in (one, other))
        except Undefined:
            continue
        if abs(a - b) > 1e-20 * max(1, abs(a), abs(b)):
            return DIFFERENT
        agreed += 1
    return EQUAL if agreed >= 8 else UNSURE


def _piece(cases: Cases, at: Point) -> Tree:
    for tree, condition in cases.pieces:
        if condition is None or holds(condition, at):
            return tree
    raise Undefined("no case")


def _names(cases: Cases) -> frozenset[str]:
    found: frozenset[str] = frozenset()
    for tree, condition in cases.pieces:
        found |= letters(tree)
        for side in condition.sides if condition is not None else ():
            found |= letters(side.tree) if isinstance(side, Amount) else frozenset()
    return found


def _same_pieces(gold: Cases, answer: Cases) -> bool:
    if len(gold.pieces) != len(answer.pieces):
        return False
    left = list(answer.pieces)
    for tree, condition in gold.pieces:
        for at, (other, when) in enumerate(left):
            if condition == when and identity(tree, other).verdict == "equal":
                del left[at]
                break
        else:
            return False
    return True


def replaced(tree: Tree, old: str, new: str) -> Tree:
    """A tree with another name for a letter."""
    return with_letter(tree, old, ("sym", new))
