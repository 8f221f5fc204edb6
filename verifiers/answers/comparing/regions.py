"""Sets of real numbers as unions of spans: of intervals, of inequalities in one letter, and of both joined.

Invariant: a set has one list of spans, in order and apart, so that two sets are equal where their spans are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from synthflow.verifiers.answers.comparing.identity import Found, identity, with_letter
from synthflow.verifiers.answers.comparing.tree_values import Undefined, letters, value
from synthflow.verifiers.answers.reading.atoms import Tree, number
from synthflow.verifiers.answers.reading.readings import Amount, Collection, Interval, Reading, Region, Relation

_FLIPPED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le", "=": "=", r"\ne": r"\ne"}
_LEAST: Tree = ("neg", ("inf",))
_MOST: Tree = ("inf",)


@dataclass(frozen=True, slots=True)
class End:
    """An end of a span: its tree, its place on the line (of infinities too), and whether it belongs to the set."""

    tree: Tree
    place: Any
    closed: bool


Span = tuple[End, End]


class NoRegion(Exception):
    """It is no set of real numbers that can be told."""


@dataclass(frozen=True, slots=True)
class Spans:
    """Spans in order, and the letter that they restrict, if it was told."""

    spans: tuple[Span, ...]
    name: str | None = None


def spans(reading: Reading) -> Spans | None:
    """The set that a reading is, or None where it is none, or its ends are no numbers."""
    try:
        return _spans(reading)
    except (NoRegion, Undefined):
        return None


def compare_spans(gold: Spans, answer: Spans) -> Found:
    """Whether two sets are equal; of two letters nothing is said."""
    if len(gold.spans) != len(answer.spans):
        return Found("different")
    for left, right in zip(gold.spans, answer.spans, strict=True):
        for one, other in zip(left, right, strict=True):
            same = Found("equal") if one.place == other.place else identity(one.tree, other.tree)
            if same.verdict != "equal":
                return same
            if one.closed != other.closed and abs(one.place) != float("inf"):
                return Found("different")
    if gold.name and answer.name and gold.name != answer.name:
        return Found("unsure", f"it is about {answer.name}, not {gold.name}")
    return Found("equal")


def _spans(reading: Reading) -> Spans:
    if isinstance(reading, Interval):
        return Spans(_ordered([_span(reading)]))
    if isinstance(reading, Region):
        return Spans(_ordered([_span(interval) for interval in reading.intervals]), reading.name)
    if isinstance(reading, Relation):
        return _of_relation(reading)
    if isinstance(reading, Collection) and reading.kind == "list" and reading.members:
        return _joined(reading)
    raise NoRegion


def _end(tree: Tree, closed: bool) -> End:
    if tree in (_MOST, _LEAST):
        if closed:
            raise NoRegion
        return End(tree, float("inf") if tree == _MOST else float("-inf"), False)
    if letters(tree):
        raise NoRegion
    return End(tree, value(tree, {}, digits=30, real=True), closed)


def _span(interval: Interval) -> Span:
    low, high = _end(interval.low, interval.brackets[0] == "["), _end(interval.high, interval.brackets[1] == "]")
    if low.place > high.place or (low.place == high.place and not (low.closed and high.closed)):
        raise NoRegion
    return low, high


def _ordered(found: list[Span]) -> tuple[Span, ...]:
    """Spans in order; what overlaps or touches is one."""
    merged: list[Span] = []
    for low, high in sorted(found, key=lambda span: (span[0].place, not span[0].closed)):
        if merged:
            before = merged[-1][1]
            if low.place < before.place or (low.place == before.place and (low.closed or before.closed)):
                last = max(before, high, key=lambda end: (end.place, end.closed))
                merged[-1] = (merged[-1][0], last)
                continue
        merged.append((low, high))
    return tuple(merged)


def _symbol(reading: Reading) -> str | None:
    if isinstance(reading, Amount) and reading.tree[0] == "sym" and reading.unit is None and reading.thing is None:
        return str(reading.tree[1])
    return None


def _of_relation(relation: Relation) -> Spans:
    sides, marks = relation.sides, relation.marks
    if len(sides) == 2 and marks[0] in (r"\in", r"\notin"):
        name = _symbol(sides[0])
        if name is None:
            raise NoRegion
        inner = _points(sides[1]) if isinstance(sides[1], Collection) else _spans(sides[1])
        found = inner.spans if marks[0] == r"\in" else _complement(inner.spans)
        return Spans(found, None if name == "#real" else name)
    amounts = [side.tree for side in sides if isinstance(side, Amount) and side.unit is None]
    if len(amounts) != len(sides):
        raise NoRegion
    if len(sides) == 2:
        return _one(amounts[0], marks[0], amounts[1])
    if len(sides) == 3 and _symbol(sides[1]) is not None:
        left, right = _one(amounts[0], marks[0], amounts[1]), _one(amounts[1], marks[1], amounts[2])
        if {marks[0][-1], marks[1][-1]} <= {"<", "e"} or {marks[0][-1], marks[1][-1]} <= {">", "e"}:
            return Spans(_intersection(left.spans, right.spans), _symbol(sides[1]))
    raise NoRegion


def _points(points: Collection) -> Spans:
    found = []
    for member in points.members:
        if not isinstance(member, Amount):
            raise NoRegion
        found.append(_span(Interval(member.tree, member.tree, "[]")))
    return Spans(_ordered(found))


def _one(left: Tree, mark: str, right: Tree) -> Spans:
    """One inequality in one letter that stands alone, in bars, or in a linear expression."""
    if mark not in _FLIPPED or mark == "=":
        raise NoRegion
    if letters(left) == frozenset() or (letters(right) and right[0] == "sym"):
        left, right, mark = right, left, _FLIPPED[mark]
    names = letters(left) | letters(right)
    if len(names) != 1:
        raise NoRegion
    (name,) = names
    if left[0] == "abs" and left[1] == ("sym", name) and not letters(right):
        return Spans(_bars(mark, right), name)
    if left != ("sym", name) or letters(right):
        left, mark, right = _solved(left, mark, right, name)
    return Spans(_side(mark, right), name)


def _side(mark: str, bound: Tree) -> tuple[Span, ...]:
    least, most = _end(_LEAST, False), _end(_MOST, False)
    if mark == r"\ne":
        return (least, _end(bound, False)), (_end(bound, False), most)
    end = _end(bound, mark in (r"\le", r"\ge"))
    return ((end, most),) if mark in (">", r"\ge") else ((least, end),)


def _bars(mark: str, bound: Tree) -> tuple[Span, ...]:
    if _end(bound, True).place <= 0:
        raise NoRegion
    inside = _intersection(_side(_FLIPPED[mark], ("neg", bound)), _side(mark, bound)) if mark in ("<", r"\le") else None
    return inside if inside is not None else _ordered([*_side(_FLIPPED[mark], ("neg", bound)), *_side(mark, bound)])


def _solved(left: Tree, mark: str, right: Tree, name: str) -> tuple[Tree, str, Tree]:
    """A linear inequality solved for its letter."""
    difference: Tree = ("add", left, ("neg", right))
    at_zero, at_one = (with_letter(difference, name, number(point)) for point in (0, 1))
    slope: Tree = ("add", at_one, ("neg", at_zero))
    if identity(difference, ("add", at_zero, ("mul", slope, ("sym", name)))).verdict != "equal":
        raise NoRegion
    sign = value(slope, {}, digits=30, real=True)
    if sign == 0:
        raise NoRegion
    return ("sym", name), mark if sign > 0 else _FLIPPED[mark], ("div", ("neg", at_zero), slope)


def _intersection(left: tuple[Span, ...], right: tuple[Span, ...]) -> tuple[Span, ...]:
    found: list[Span] = []
    for low_a, high_a in left:
        for low_b, high_b in right:
            low = max(low_a, low_b, key=lambda end: (end.place, not end.closed))
            high = min(high_a, high_b, key=lambda end: (end.place, end.closed))
            if low.place < high.place or (low.place == high.place and low.closed and high.closed):
                found.append((low, high))
    return _ordered(found)


def _complement(found: tuple[Span, ...]) -> tuple[Span, ...]:
    kept: tuple[Span, ...] = ((_end(_LEAST, False), _end(_MOST, False)),)
    for low, high in found:
        rest = []
        if low.place != float("-inf"):
            rest.append((_end(_LEAST, False), End(low.tree, low.place, not low.closed)))
        if high.place != float("inf"):
            rest.append((End(high.tree, high.place, not high.closed), _end(_MOST, False)))
        kept = _intersection(kept, tuple(rest))
    return kept


def _joined(collection: Collection) -> Spans:
    """Inequalities joined by words: a union or an intersection, whichever is meant and is not trivial."""
    members = [_spans(member) for member in collection.members]
    names = {member.name for member in members}
    if len(names) != 1:
        raise NoRegion
    union = _ordered([span for member in members for span in member.spans])
    common = members[0].spans
    for member in members[1:]:
        common = _intersection(common, member.spans)
    if collection.joint == "or" or not common:
        return Spans(union, members[0].name)
    if collection.joint == "and" or union == ((_end(_LEAST, False), _end(_MOST, False)),):
        return Spans(common, members[0].name)
    raise NoRegion
