r"""Whether two amounts are the same: their expressions, percent signs, units, counted things, constants of integration.

Invariant: a missing unit or thing is accepted; two units of one dimension are converted; others leave it open.
"""

from __future__ import annotations

from itertools import permutations
from typing import Any

from synthflow.verifiers.answers.comparing.identity import EQUAL, Found, identity, with_letter
from synthflow.verifiers.answers.comparing.tree_values import Undefined, kinds, letters, value
from synthflow.verifiers.answers.reading.atoms import Tree, number
from synthflow.verifiers.answers.reading.measures import Unit
from synthflow.verifiers.answers.reading.readings import Amount, Collection, Reading

_STRAIGHT = number(180)
_CONSTANTS = ("C", "c", "K", "k", "C_1", "c_1", "C_0", "D")
_COUNT = (("unit", 1),)  # "4 units" names no unit
_ORDERS = ("#O", "#Theta", "#Omega", "#o", "#omega")


def expanded(reading: Reading) -> Reading:
    r"""`a \pm b` as the list of both; anything else as it is."""
    if isinstance(reading, Amount) and {"pm", "mp"} & kinds(reading.tree):
        both = [_signed(reading.tree, sign) for sign in (1, -1)]
        both_members = tuple(
            Amount(tree, reading.unit, reading.thing, reading.percent, reading.degrees) for tree in both
        )
        return Collection("list", both_members)
    if isinstance(reading, Collection) and reading.kind != "tuple" and any(_has_both_signs(m) for m in reading.members):
        members: tuple[Reading, ...] = ()
        for member in reading.members:
            inner = expanded(member)
            members += inner.members if isinstance(inner, Collection) and _has_both_signs(member) else (member,)
        return Collection(reading.kind, members, reading.joint)
    return reading


def _has_both_signs(reading: Reading) -> bool:
    return isinstance(reading, Amount) and bool({"pm", "mp"} & kinds(reading.tree))


def _signed(tree: Tree, sign: int) -> Tree:
    if tree[0] in ("pm", "mp"):
        left, right = _signed(tree[1], sign), _signed(tree[2], sign)
        return ("add", left, right if (tree[0] == "pm") == (sign > 0) else ("neg", right))
    return tuple(_signed(part, sign) if isinstance(part, tuple) else part for part in tree)


def compare_amounts(gold: Amount, answer: Amount) -> Found:
    """The verdict on two amounts."""
    if gold.percent or answer.percent:
        return _percentages(gold, answer)
    if gold.unit is not None and answer.unit is not None and not _one_is_a_mere_count(gold.unit, answer.unit):
        return _measured(gold, answer)
    if gold.thing and answer.thing and gold.thing != answer.thing and not _same_thing(gold.thing, answer.thing):
        return Found("unsure", f"it counts {answer.thing}, asked for {gold.thing}")
    if (gold.unit and answer.thing) or (gold.thing and answer.unit):
        found = identity(gold.tree, answer.tree)
        return found if found.verdict != "equal" else Found("unsure", "what is counted differs")
    found = expressions(gold.tree, answer.tree)
    if found.verdict == "different" and (gold.degrees or answer.degrees):
        turned = [_radians(amount) for amount in (gold, answer)]
        return EQUAL if identity(turned[0], turned[1]).verdict == "equal" else found
    return found


def _one_is_a_mere_count(gold: Unit, answer: Unit) -> bool:
    """Whether one says "units", which names none, and the other names a real one."""
    counts = [unit.dimension == _COUNT for unit in (gold, answer)]
    return counts[0] != counts[1] and not all(dict(unit.dimension).get("unit") for unit in (gold, answer))


def _same_thing(one: str, other: str) -> bool:
    """Whether one name is the end of the other: `apples` and `red apples`."""
    return one.split()[-1] == other.split()[-1]


def _radians(amount: Amount) -> Tree:
    return ("div", ("mul", amount.tree, ("pi",)), _STRAIGHT) if amount.degrees else amount.tree


def _measured(gold: Amount, answer: Amount) -> Found:
    assert gold.unit is not None and answer.unit is not None
    if gold.unit == answer.unit or (
        gold.unit.dimension == answer.unit.dimension and gold.unit.factor == answer.unit.factor
    ):
        return identity(gold.tree, answer.tree)
    if {gold.degrees, answer.degrees} == {True, False} and (("rad", 1),) in (
        gold.unit.dimension,
        answer.unit.dimension,
    ):
        return identity(_radians(gold), _radians(answer))
    if gold.unit.dimension != answer.unit.dimension:
        return Found("unsure", f"the unit is {answer.unit.name}, asked for {gold.unit.name}")
    return identity(("mul", gold.tree, number(gold.unit.factor)), ("mul", answer.tree, number(answer.unit.factor)))


def _percentages(gold: Amount, answer: Amount) -> Found:
    """`n%` is n (of 1 or more) and n/100."""
    if gold.percent and answer.percent:
        return identity(gold.tree, answer.tree)
    percent, plain = (gold, answer) if gold.percent else (answer, gold)
    if plain.unit is not None:
        found = identity(percent.tree, plain.tree)
        return found if found.verdict == "different" else Found("unsure", "only one is a percentage")
    if "div" in (percent.tree[0], percent.tree[1][0] if percent.tree[0] == "neg" else ""):
        return Found("unsure", "1/2% has two readings")
    share = identity(("div", percent.tree, number(100)), plain.tree)
    if share.verdict == "equal":
        return share
    same = identity(percent.tree, plain.tree)
    if same.verdict != "equal":
        return same if same.verdict == "unsure" else share
    return EQUAL if _at_least_one(percent.tree) else Found("unsure", "it may be a share or a percentage")


def _at_least_one(tree: Tree) -> bool:
    try:
        return bool(abs(value(tree, {}, digits=15, real=True)) >= 1)
    except (Undefined, KeyError):
        return False


def expressions(gold: Tree, answer: Tree) -> Found:
    """The verdict on two expressions, whose letters may differ in case, or in the name of a constant of integration."""
    found = identity(gold, answer)
    if found.verdict == "equal":
        return found
    if gold[0] == answer[0] == "call" and gold[1] in _ORDERS and answer[1] in _ORDERS:
        return _orders(gold, answer)
    wanted, given = letters(gold), letters(answer)
    if (not wanted and _names_a_number(answer, given)) or (not given and _names_a_number(gold, wanted)):
        return Found("unsure", "a name stands for what is not told")
    if wanted == given:
        return found
    constant = _constant_of_integration(gold, wanted - given), _constant_of_integration(answer, given - wanted)
    if (
        constant[0]
        and constant[1]
        and identity(gold, with_letter(answer, constant[1], ("sym", constant[0]))).verdict == "equal"
    ):
        return Found("equal", f"{constant[1]} is the constant {constant[0]}")
    if _folded(gold, answer, wanted, given):
        return Found("unsure", "variables differ in case")
    return _renamed(gold, answer, wanted, given, found)


def _names_a_number(tree: Tree, names: frozenset[str]) -> bool:
    r"""Whether a function that nobody knows, or an index, stands for a value: `F_{10}`, `f(5)`, `\bar{x}`."""
    opaque = any(kind[0] == "#" and kind not in _ORDERS for kind in kinds(tree))
    return (opaque or bool(names)) and all("_" in name or " " in name for name in names)


def _constant_of_integration(tree: Tree, names: frozenset[str]) -> str | None:
    """The letter that is added to the rest, if it is a usual name of a constant."""
    terms = []
    while tree[0] == "add":
        terms.append(tree[2])
        tree = tree[1]
    added = [term[1] for term in (*terms, tree) if term[0] == "sym" and term[1] in _CONSTANTS and term[1] in names]
    return str(added[0]) if terms and added else None


def _folded(gold: Tree, answer: Tree, wanted: frozenset[str], given: frozenset[str]) -> bool:
    """Whether they are equal once capitals count as small letters, as far as no letter occurs in both forms."""
    for name in (wanted | given) - (wanted & given):
        lower = name.lower()
        if name != lower:
            gold, answer = with_letter(gold, name, ("sym", lower)), with_letter(answer, name, ("sym", lower))
    return identity(gold, answer).verdict == "equal"


def _renamed(gold: Tree, answer: Tree, wanted: frozenset[str], given: frozenset[str], found: Found) -> Found:
    """Letters of other names may be the same quantities."""
    ours, theirs = sorted(wanted - given), sorted(given - wanted)
    if len(ours) != len(theirs) or len(ours) > 3:
        return found
    for order in permutations(ours):
        renamed = answer
        for old, new in zip(theirs, order, strict=True):
            renamed = with_letter(renamed, old, ("sym", new))
        if identity(gold, renamed).verdict == "equal":
            return Found("unsure", f"it is in {', '.join(theirs)}, not {', '.join(ours)}")
    return found


def _orders(gold: Tree, answer: Tree) -> Found:
    """Orders of growth: equal for a constant factor, different where the quotient grows or falls without end."""
    if gold[1] != answer[1] or len(gold) != 3 or len(answer) != 3:
        return Found("unsure", "orders of growth of two kinds")
    names = letters(gold[2]) | letters(answer[2])
    if len(names - {"#base"}) != 1:
        return Found("unsure", "orders of growth in several letters")
    quotients: list[Any] = []
    for size in (10**3, 10**6, 10**12):
        at = dict.fromkeys(names, size) | {"#base": 2}
        try:
            quotients.append(value(("div", gold[2], answer[2]), at, digits=30, real=True))
        except Undefined:
            return Found("unsure", "orders of growth")
    if abs(quotients[0] - quotients[2]) <= 1e-12 * abs(quotients[0]):
        return EQUAL
    growth = quotients[2] / quotients[1], quotients[1] / quotients[0]
    return Found("different") if min(growth) > 1.5 or max(growth) < 0.7 else Found("unsure", "orders of growth")
