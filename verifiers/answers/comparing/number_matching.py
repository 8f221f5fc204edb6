"""Numbers in other dress: in a named base, as times of day, as ratios, as congruences, within bounds.

Invariant: each is compared with its like by value, and with a plain number only where that can be meant.
"""

from __future__ import annotations

from collections.abc import Iterable

from synthflow.verifiers.answers.comparing.amount_matching import compare_amounts
from synthflow.verifiers.answers.comparing.identity import DIFFERENT, EQUAL, Found, identity
from synthflow.verifiers.answers.comparing.relations import holds
from synthflow.verifiers.answers.comparing.tree_values import Undefined
from synthflow.verifiers.answers.reading.atoms import Tree, number
from synthflow.verifiers.answers.reading.readings import Amount, Based, Clock, Congruence, Date, Ratio, Relation


def compare_based(gold: Based, answer: Based) -> Found:
    if gold.base == answer.base:
        return EQUAL if gold.digits == answer.digits else DIFFERENT
    assert gold.base is not None and answer.base is not None
    same = int(gold.digits, gold.base) == int(answer.digits, answer.base)
    return Found("unsure", "the bases differ") if same else DIFFERENT


def based_beside(based: Based, other: Amount) -> Found:
    assert based.base is not None
    tree = other.tree
    shown = _written_in_letters(tree)
    if shown == based.digits.lower():
        return Found("equal", f"in base {based.base}")
    if tree[0] == "num" and tree[1] == int(based.digits, based.base):
        return Found("unsure", "only one names a number base")
    return DIFFERENT


def beside_based(gold: Amount, based: Based) -> Found:
    """A gold answer without a base beside digits in one: equal digits, or an equal value, may or may not be meant."""
    assert based.base is not None
    same = _written_in_letters(gold.tree) == based.digits.lower() or gold.tree == number(int(based.digits, based.base))
    return Found("unsure", "only one names a number base") if same else DIFFERENT


def _written_in_letters(tree: Tree) -> str:
    """`2A`, which is read as a product."""
    if tree[0] == "mul":
        return _written_in_letters(tree[1]) + _written_in_letters(tree[2])
    if tree[0] == "num" and tree[1].denominator == 1:
        return str(tree[1])
    return str(tree[1]).lower() if tree[0] == "sym" else tree[0] if tree[0] == "e" else "?"


def compare_clocks(gold: Clock, answer: Clock) -> Found:
    """Two times of day; where only one says which half of the day it is, the other half is left open."""
    if gold.seconds == answer.seconds:
        return EQUAL
    if gold.written and answer.written and compare_ratios(_ratio(gold), _ratio(answer)).verdict == "equal":
        return Found("unsure", "they may be times or ratios")
    if (gold.half and answer.half) or (gold.seconds - answer.seconds) % 43_200:
        return DIFFERENT
    return Found("unsure", "only one says am or pm")


def _ratio(clock: Clock) -> Ratio:
    return Ratio(tuple(number(part) for part in clock.written))


def clock_beside(clock: Clock, other: Amount | Ratio) -> Found:
    """A time of day beside a duration, a ratio, or a number that may be its hour."""
    if isinstance(other, Ratio):
        if not clock.written:
            return DIFFERENT
        found = compare_ratios(_ratio(clock), other)
        same = _ratio(clock) == other
        return found if same or found.verdict != "equal" else Found("unsure", "it may be a time or a ratio")
    if other.unit is not None and other.unit.dimension == (("s", 1),):
        span: Tree = ("mul", other.tree, number(other.unit.factor))
        if len(clock.written) == 2 and identity(number(clock.seconds // 60), span).verdict == "equal":
            return Found("unsure", "hours and minutes, or minutes and seconds")
        return identity(number(clock.seconds), span)
    hours, minutes = divmod(clock.seconds // 60, 60)
    if other.tree in (number(hours), number((hours - 1) % 12 + 1), number(minutes)):
        return Found("unsure", "only one is a time of day")
    return DIFFERENT


def ratio_beside_clock(ratio: Ratio, clock: Clock) -> Found:
    """A gold answer that is a ratio beside what may be a time of day."""
    return compare_ratios(ratio, _ratio(clock)) if clock.written else DIFFERENT


def compare_dates(gold: Date, answer: Date) -> Found:
    """Two days; a missing year is accepted."""
    if (gold.month, gold.day) != (answer.month, answer.day):
        return DIFFERENT
    return EQUAL if gold.year == answer.year or None in (gold.year, answer.year) else DIFFERENT


def compare_ratios(gold: Ratio, answer: Ratio) -> Found:
    if len(gold.parts) != len(answer.parts):
        return DIFFERENT
    first, other = gold.parts[0], answer.parts[0]
    return worst(
        identity(("mul", one, other), ("mul", two, first))
        for one, two in zip(gold.parts[1:], answer.parts[1:], strict=True)
    )


def ratio_beside(ratio: Ratio, other: Amount) -> Found:
    if len(ratio.parts) != 2:
        return DIFFERENT
    return compare_amounts(Amount(("div", *ratio.parts)), other)


def congruence_beside(congruence: Congruence, other: Amount) -> Found:
    gap: Tree = ("add", congruence.value, ("neg", other.tree))
    share = identity(("call", "mod", gap, congruence.modulus), number(0))
    return Found("unsure", "only one is a congruence") if share.verdict != "different" else DIFFERENT


def compare_congruences(gold: Congruence, answer: Congruence) -> Found:
    moduli = identity(gold.modulus, answer.modulus)
    if moduli.verdict != "equal":
        return Found("unsure", "the moduli differ")
    same = identity(gold.value, answer.value)
    if same.verdict == "equal":
        return same
    gap: Tree = ("add", gold.value, ("neg", answer.value))
    share = identity(("call", "mod", gap, gold.modulus), number(0))
    return EQUAL if share.verdict == "equal" else same


def outside(mark: str, limit: Tree, number_: Tree) -> bool:
    """Whether a number certainly does not keep a bound."""
    mark = {">=": r"\ge", "<=": r"\le"}.get(mark, mark)
    try:
        return not holds(Relation((Amount(number_), Amount(limit)), (mark,)), {})
    except (Undefined, KeyError):
        return False


def worst(found: Iterable[Found]) -> Found:
    """Different where one is, open where one is, else equal with what was assumed."""
    notes, worst = [], EQUAL
    for one in found:
        if one.verdict == "different":
            return one
        if one.verdict == "unsure" and worst.verdict == "equal":
            worst = one
        if one.note:
            notes.append(one.note)
    return worst if worst.verdict != "equal" else Found("equal", notes[0] if notes else "")
