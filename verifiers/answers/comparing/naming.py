r"""Relations that only name a value: `x=5`, `f(x)=2x`, `(a,b)=(1,2)`, `x_1=2, x_2=3`, `\angle ABC=60^\circ`, `m+n=12`.

Invariant: a name says nothing about the value; where the letter of the name occurs in the value it is an equation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from synthflow.verifiers.answers.comparing.amount_matching import expanded
from synthflow.verifiers.answers.comparing.identity import identity, rounds_to
from synthflow.verifiers.answers.comparing.tree_values import kinds, letters
from synthflow.verifiers.answers.reading.readings import Amount, Bound, Collection, Interval, Reading, Relation

_INDEXED = re.compile(r"(.+)_\{?\d\}?")


@dataclass(frozen=True, slots=True)
class Mapping:
    """Values by name."""

    values: dict[str, Reading]

    def in_order(self) -> tuple[Reading, ...]:
        """The values in the order of their names."""
        return tuple(self.values[name] for name in sorted(self.values))


def named_value(relation: Relation) -> Reading | None:
    """The value that a relation names, or None where it says more than that."""
    marks = set(relation.marks)
    if relation.marks == (r"\mapsto",) or relation.marks in ((r"\to",), (r"\rightarrow",)):
        return relation.sides[1] if relation.marks[0] == r"\mapsto" else None
    if relation.marks == (r"\in",) and isinstance(relation.sides[1], Collection) and relation.sides[1].kind == "set":
        return relation.sides[1] if _is_name(relation.sides[0], relation.sides[1]) else None
    if not marks <= {"=", r"\approx", r"\simeq"}:
        return None
    if len(relation.sides) == 2 and marks == {"="}:
        name, inner = relation.sides
        if _is_name(name, inner):
            return inner
        if _is_name(inner, name) and not _is_name(name, name):
            return name
        if _is_quantity(name) and isinstance(inner, Amount) and not letters(inner.tree):
            return inner
    return _chain(relation)


def _chain(relation: Relation) -> Reading | None:
    """The value of a chain of equal numbers, which a name may head; a last approximation stands beside it."""
    sides = list(relation.sides)
    if len(sides) > 2 and _is_name(sides[0], sides[-1]):
        sides = sides[1:]
    marks = relation.marks[len(relation.marks) - len(sides) + 1 :]
    amounts = [side for side in sides if isinstance(side, Amount)]
    if len(amounts) != len(sides) or (len(sides) == 2 and any(letters(amount.tree) for amount in amounts)):
        return None
    exact = [amounts[0]]
    for mark, amount in zip(marks, amounts[1:], strict=True):
        if mark == "=":
            if len(exact) == len(amounts[:1]) and identity(exact[0].tree, amount.tree).verdict != "equal":
                return None
            exact.append(amount)
        else:
            near = rounds_to(exact[-1].tree, amount.tree)
            return Collection("list", (exact[-1], Bound("~", amount)), "or") if near else None
    return exact[-1]


def _is_name(side: Reading, inner: Reading) -> bool:
    if isinstance(side, Amount) and side.unit is None and side.thing is None:
        tree = side.tree
        used = letters(inner.tree) if isinstance(inner, Amount) else frozenset[str]()
        if tree[0] == "sym":
            return tree[1] not in used
        if tree[0] == "call" and str(tree[1]).startswith("#"):
            return str(tree[1])[1:] not in used and tree[1] not in (
                kinds(inner.tree) if isinstance(inner, Amount) else ()
            )
        return tree[0] in ("e", "i") and isinstance(inner, Amount) and not letters(inner.tree)
    return False


def _is_quantity(side: Reading) -> bool:
    """`m+n`, `a_1+b`, `xy`: letters without numbers, whose value is asked for."""
    return (
        isinstance(side, Amount)
        and bool(letters(side.tree))
        and kinds(side.tree) <= {"add", "neg", "mul", "sym", "div", "abs"}
    )


def mapping(reading: Reading) -> Mapping | None:
    """Values by name of what is a list of `name = value` with different names, or `(a, b) = (1, 2)`."""
    if isinstance(reading, Relation) and len(reading.sides) > 2 and set(reading.marks) == {"="}:
        symbols = [_symbol(side) for side in reading.sides[:-1]]
        last = reading.sides[-1]
        if (
            None not in symbols
            and len(set(symbols)) == len(symbols)
            and isinstance(last, Amount)
            and not letters(last.tree)
        ):
            return Mapping({str(symbol): last for symbol in symbols})
        return None
    if isinstance(reading, Relation) and reading.marks == ("=",):
        names, values = (_items(side) for side in reading.sides)
        if names and values and len(names) == len(values) and all(_symbol(name) for name in names):
            found = {str(_symbol(name)): value for name, value in zip(names, values, strict=True)}
            return Mapping(found) if len(found) == len(names) else None
        return None
    if not isinstance(reading, Collection) or len(reading.members) < 2:
        return None
    found = {}
    for member in reading.members:
        if not isinstance(member, Relation) or member.marks != ("=",):
            return None
        inner, name = named_value(member), _symbol(member.sides[0]) or _symbol(member.sides[1])
        if inner is None or name is None or name in found:
            return None
        found[name] = inner
    return Mapping(found)


def _symbol(reading: Reading) -> str | None:
    return str(reading.tree[1]) if isinstance(reading, Amount) and reading.tree[0] in ("sym", "call") else None


def _items(reading: Reading) -> tuple[Reading, ...]:
    if isinstance(reading, Interval):
        return reading.members
    return reading.members if isinstance(reading, Collection) and reading.kind != "set" else ()


def plain_value(reading: Reading) -> Reading:
    """A list of values of one name (or of indexed ones) as the list of the values; a set of one as its member."""
    if isinstance(reading, Relation) and reading.marks == ("=",):
        inner = named_value(reading)
        both = expanded(inner) if inner is not None else None
        return both if both is not None and both is not inner else reading
    if not isinstance(reading, Collection) or reading.kind == "tuple":
        return reading
    if len(reading.members) == 1 and not isinstance(reading.members[0], Collection):
        return plain_value(reading.members[0])
    names, values = set(), []
    for member in reading.members:
        if not isinstance(member, Relation) or member.marks != ("=",):
            break
        inner, name = named_value(member), _symbol(member.sides[0])
        if inner is None or name is None:
            return reading
        match = _INDEXED.fullmatch(name)
        names.add(match.group(1) if match else name)
        values.append(inner)
    if len(names) == 1 and len(values) >= 1:
        rest = [member for member in reading.members[len(values) :] if not isinstance(member, Relation)]
        if len(values) + len(rest) == len(reading.members):
            indexed = len({_symbol(m.sides[0]) for m in reading.members if isinstance(m, Relation)}) > 1
            return Collection("list", (*values, *rest), reading.joint if indexed else "or")
    return reading


def approximated(reading: Reading) -> bool:
    r"""Whether it is `a \approx b`: a value and a rounded one."""
    return (
        isinstance(reading, Collection)
        and reading.joint == "or"
        and len(reading.members) == 2
        and isinstance(reading.members[1], Bound)
        and reading.members[1].mark == "~"
    )


def exact_and_rounded(reading: Reading) -> list[Reading]:
    """The value, and the rounded one that stands beside it, if one does."""
    if not approximated(reading):
        return [reading]
    assert isinstance(reading, Collection) and isinstance(reading.members[1], Bound)
    return [reading.members[0], reading.members[1].amount]
