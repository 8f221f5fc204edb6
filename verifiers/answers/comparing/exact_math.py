r"""The exact path: pairs of expressions, tuples, sets, intervals, matrices and relations, decided without SymPy.

Invariant: `decide` answers only where the answer is certain by exact normal forms (equal) or by exact normal forms or
balls that are clearly apart (different); everything else is None and goes to the slow path, with which it never
disagrees but where the docs argue that the slow path errs. Microseconds a pair, bounded by the size of the texts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

from synthflow.verifiers.answers.comparing.expressions import MAX_CHARS, Refused, Tree, read
from synthflow.verifiers.answers.comparing.normal_form import Quotient, constant, names, normal_form, same
from synthflow.verifiers.answers.comparing.probing import differ, symbols

MAX_PARTS = 24

_TOP = re.compile(r"\\[{}]|\\[a-zA-Z]+|[(){}\[\],;=<>&]|\\\\")
_RELATION = re.compile(r"=|<|>|\\le(?![a-zA-Z])|\\ge(?![a-zA-Z])|\\ne(?![a-zA-Z])")
_FLIPPED = {"=": "=", "<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le", r"\ne": r"\ne"}
_MATRIX = re.compile(r"\\begin\{([pb])matrix\}(.*)\\end\{\1matrix\}")
_GROUPED = re.compile(r"\d,\d{3}(?!\d)")
_NAME = re.compile(r"[a-zA-Z]")
_INFINITE = {r"\infty": 1, r"+\infty": 1, r"-\infty": -1}


@dataclass(frozen=True, slots=True)
class Scalar:
    """An expression: its tree, its exact form if it has one, or the sign of an infinity."""

    tree: Tree | None
    form: Quotient | None
    infinite: int = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """A reading of an answer: `scalar`, `relation`, `tuple` (any brackets), `list`, `set`, `matrix` or `union`."""

    kind: str
    parts: tuple[Scalar, ...] = ()
    mark: str = ""
    members: tuple[Shape, ...] = ()


def decide(gold: str, answer: str) -> bool | None:
    """Whether two canonical answers are equal, or None where that is not certain here."""
    wanted = shape(gold)
    if wanted is None:
        return None
    given = shape(answer)
    if given is None or _cases_mixed(gold + answer):
        return None
    try:
        return _compare(wanted, given)
    except Refused:
        return None


def _cases_mixed(text: str) -> bool:
    """Whether a letter occurs in both cases, which may be meant as one letter or as two."""
    upper = {char for char in text if char.isupper()}
    return bool(upper) and any(char.lower() in text for char in upper)


# ---------------------------------------------------------------- reading


@lru_cache(maxsize=4096)
def shape(text: str) -> Shape | None:
    """The reading of a canonical answer, or None where it is not surely read as the slow path reads it."""
    if len(text) > MAX_CHARS:
        return None
    try:
        return _shape(text)
    except Refused:
        return None


def _shape(text: str) -> Shape:
    if text in _INFINITE:
        return Shape("scalar", (_scalar(text),))
    if text.startswith(r"\begin"):
        return _matrix(text)
    if r"\cup" in text:
        members = tuple(_shape(part) for part in text.split(r"\cup"))
        if len(members) > MAX_PARTS or not all(m.kind == "tuple" and len(m.parts) == 2 for m in members):
            raise Refused
        return Shape("union", members=members)
    depths = _separators(text)
    if "," in text:
        if _GROUPED.search(text):
            raise Refused
        if 0 in depths:
            return _list(text)
        if text.startswith(r"\{") and text.endswith(r"\}"):
            return Shape("set", _parts(text[2:-2]))
        if text[0] in "([" and text[-1] in ")]":
            return Shape("tuple", _parts(text[1:-1]), text[0] + text[-1])
        raise Refused
    if text.startswith(r"\{") and text.endswith(r"\}"):
        return Shape("set", _parts(text[2:-2]))
    relations = _RELATION.findall(text)
    if not relations:
        return Shape("scalar", (_scalar(text),))
    if len(relations) > 1:
        raise Refused
    left, right = _RELATION.split(text)
    return Shape("relation", (_scalar(left), _scalar(right)), relations[0])


def _list(text: str) -> Shape:
    parts = _split(text)
    if all(part[:1] in ("(", "[") or part.startswith(r"\{") for part in parts):
        members = tuple(_shape(part) for part in parts)
        if all(member.kind == "tuple" and member.mark == "()" for member in members):
            return Shape("list", members=members)
        raise Refused
    if _RELATION.search(text):
        raise Refused
    return Shape("list", tuple(_scalar(part) for part in parts))


def _matrix(text: str) -> Shape:
    match = _MATRIX.fullmatch(text)
    if match is None or "begin" in match.group(2):
        raise Refused
    rows = [row.split("&") for row in match.group(2).strip().split(r"\\")]
    if rows and rows[-1] == [""]:
        rows.pop()
    width = len(rows[0]) if rows else 0
    if not width or any(len(row) != width for row in rows) or width * len(rows) > 2 * MAX_PARTS:
        raise Refused
    cells = tuple(_scalar(cell.strip()) for row in rows for cell in row)
    return Shape("matrix", cells, f"{len(rows)}x{width}")


def _separators(text: str) -> set[int]:
    """Depths at which commas stand; unbalanced brackets are refused, except `[1,2)`, whose kinds differ."""
    depth, found = 0, set()
    for token in _TOP.findall(text):
        if token in ("(", "[", "{", r"\{"):
            depth += 1
        elif token in (")", "]", "}", r"\}"):
            depth -= 1
            if depth < 0:
                raise Refused
        elif token == ",":
            found.add(depth)
        elif token == ";":
            raise Refused
    if depth:
        raise Refused
    return found


def _split(text: str) -> list[str]:
    depth, start, parts = 0, 0, []
    for match in _TOP.finditer(text):
        token = match.group()
        if token in ("(", "[", "{", r"\{"):
            depth += 1
        elif token in (")", "]", "}", r"\}"):
            depth -= 1
        elif token == "," and depth == 0:
            parts.append(text[start : match.start()])
            start = match.end()
    parts.append(text[start:])
    if len(parts) > MAX_PARTS:
        raise Refused
    return parts


def _parts(inside: str) -> tuple[Scalar, ...]:
    return tuple(_scalar(part) for part in _split(inside))


def _scalar(text: str) -> Scalar:
    if text in _INFINITE:
        return Scalar(None, None, _INFINITE[text])
    tree = read(text)
    try:
        return Scalar(tree, normal_form(tree))
    except Refused:
        return Scalar(tree, None)


# ---------------------------------------------------------------- comparing


def _compare(gold: Shape, answer: Shape) -> bool | None:
    kinds = gold.kind, answer.kind
    if kinds == ("scalar", "scalar"):
        return _equal(gold.parts[0], answer.parts[0])
    if kinds == ("relation", "relation"):
        return _relations(gold, answer)
    if kinds == ("scalar", "relation"):
        return _assigned(gold.parts[0], answer)
    if kinds == ("relation", "scalar"):
        return _assigned(answer.parts[0], gold)
    if kinds == ("tuple", "tuple"):
        return _tuples(gold, answer)
    if kinds == ("matrix", "matrix"):
        return _each(gold.parts, answer.parts) if gold.mark == answer.mark else False
    if kinds == ("union", "union"):
        return _unions(gold.members, answer.members)
    if gold.kind in ("list", "set") and answer.kind in ("list", "set"):
        return _collections(gold, answer)
    return None


def _equal(gold: Scalar, answer: Scalar) -> bool | None:
    if gold.infinite or answer.infinite:
        if gold.infinite and answer.infinite:
            return gold.infinite == answer.infinite
        finite = answer if gold.infinite else gold
        return False if finite.form is not None and constant(finite.form) is not None else None
    assert gold.tree is not None and answer.tree is not None
    if gold.form is not None and answer.form is not None:
        equal = same(gold.form, answer.form)
        if equal is None or equal:
            return equal
        if _rational_and_exact(gold) and _rational_and_exact(answer):
            return False
        if "#i" in names(gold.form) | names(answer.form):
            return _complex_apart(gold.form, answer.form)
    return False if differ(gold.tree, answer.tree) else None


def _rational_and_exact(scalar: Scalar) -> bool:
    assert scalar.form is not None and scalar.tree is not None
    return constant(scalar.form) is not None and not _has_decimal(scalar.tree)


def _has_decimal(tree: Tree) -> bool:
    if tree[0] == "num":
        return bool(tree[2])
    return any(_has_decimal(part) for part in tree[1:] if isinstance(part, tuple))


def _complex_apart(gold: Quotient, answer: Quotient) -> bool | None:
    """False where both are `a+bi` with rational parts that are clearly apart."""
    left, right = _gaussian(gold), _gaussian(answer)
    if left is None or right is None:
        return None
    gap = max(abs(a - b) for a, b in zip(left, right, strict=True))
    largest = max(Fraction(1), *(abs(part) for part in (*left, *right)))
    return False if gap > largest / 10**4 else None


def _gaussian(form: Quotient) -> tuple[Fraction, Fraction] | None:
    if set(form.bottom) != {()}:
        return None
    bottom = form.bottom[()]
    unit = (("#i", Fraction(1)),)
    if not set(form.top) <= {(), unit}:
        return None
    return form.top.get((), Fraction(0)) / bottom, form.top.get(unit, Fraction(0)) / bottom


def _each(gold: Sequence[Scalar], answer: Sequence[Scalar]) -> bool | None:
    if len(gold) != len(answer):
        return False
    verdicts = [_equal(a, b) for a, b in zip(gold, answer, strict=True)]
    if False in verdicts:
        return False
    return None if None in verdicts else True


def _tuples(gold: Shape, answer: Shape) -> bool | None:
    equal = _each(gold.parts, answer.parts)
    if gold.mark == answer.mark:
        return equal if len(gold.parts) > 1 and (gold.mark == "()" or (_proper(gold) and _proper(answer))) else None
    if len(gold.parts) == 2 and len(answer.parts) == 2 and _proper(gold) and _proper(answer):
        return False  # one end is open, the other closed
    return None


def _proper(interval: Shape) -> bool:
    """Whether it certainly runs from a smaller to a larger number."""
    left, right = (_value(part) for part in interval.parts) if len(interval.parts) == 2 else (None, None)
    return left is not None and right is not None and left < right


def _value(part: Scalar) -> float | None:
    if part.infinite:
        return part.infinite * float("inf")
    number = None if part.form is None else constant(part.form)
    return None if number is None else float(number)


def _unions(gold: Sequence[Shape], answer: Sequence[Shape]) -> bool | None:
    if not (_apart(gold) and _apart(answer)):
        return None
    if len(gold) != len(answer):
        return False
    pairs = zip(sorted(gold, key=_start), sorted(answer, key=_start), strict=True)
    verdicts = [_tuples(a, b) for a, b in pairs]
    if False in verdicts:
        return False
    return None if None in verdicts else True


def _start(interval: Shape) -> float:
    return _value(interval.parts[0]) or 0.0


def _apart(intervals: Sequence[Shape]) -> bool:
    """Whether the intervals are proper and do not touch, so that there is one way to write their union."""
    if not all(_proper(interval) for interval in intervals):
        return False
    ordered = sorted(intervals, key=_start)
    for one, other in pairwise(ordered):
        end, start = _value(one.parts[1]), _value(other.parts[0])
        if end is None or start is None or end > start:
            return False
        if end == start and (one.mark[1] == "]" or other.mark[0] == "["):
            return False
    return True


def _collections(gold: Shape, answer: Shape) -> bool | None:
    if gold.members or answer.members:
        if not (gold.members and answer.members and gold.kind == answer.kind):
            return None
        table = [[_tuples(a, b) for b in answer.members] for a in gold.members]
    else:
        table = [[_equal(a, b) for b in answer.parts] for a in gold.parts]
    if not table or not table[0]:
        return None
    if any(all(cell is False for cell in row) for row in table):
        return False
    if any(all(row[at] is False for row in table) for at in range(len(table[0]))):
        return False
    if any(cell is None for row in table for cell in row):
        return None
    once = all(sum(map(bool, row)) == 1 for row in table) and len(table) == len(table[0])
    if once and all(sum(bool(row[at]) for row in table) == 1 for at in range(len(table))):
        return True
    return None  # something occurs twice


def _relations(gold: Shape, answer: Shape) -> bool | None:
    names_left = _assignment(gold), _assignment(answer)
    if names_left[0] is not None and names_left[0] == names_left[1] and gold.mark != answer.mark:
        ends = gold.parts[1].form, answer.parts[1].form
        if all(end is not None and constant(end) is not None for end in ends):
            return False  # x>3 and x<5, x>3 and x\ge 3, x=3 and x>3: never the same numbers
    if gold.mark != answer.mark:
        if _FLIPPED[gold.mark] != answer.mark:
            return None
        answer = Shape("relation", (answer.parts[1], answer.parts[0]), gold.mark)
    named = _assignment(gold), _assignment(answer)
    if named[0] is not None and named[0] == named[1]:  # x=5 and x=6, x>5 and x>6, y=2x and y=3x
        values = gold.parts[1], answer.parts[1]
        if all(value.tree is not None and named[0] not in symbols(value.tree) for value in values):
            return _equal(*values)
    sides = [_difference(shape) for shape in (gold, answer)]
    if sides[0] is None or sides[1] is None:
        return None
    if same(sides[0], sides[1]):
        return True
    if gold.mark in ("=", r"\ne") and same(sides[0], _negated(sides[1])):
        return True
    return None


def _assignment(relation: Shape) -> str | None:
    left = relation.parts[0].tree
    return left[1] if left is not None and left[0] == "sym" and relation.mark != r"\ne" else None


def _difference(relation: Shape) -> Quotient | None:
    left, right = relation.parts
    if left.tree is None or right.tree is None or left.form is None or right.form is None:
        return None
    form = normal_form(("add", left.tree, ("neg", right.tree)))
    return form if set(form.bottom) == {()} else None


def _negated(form: Quotient) -> Quotient:
    return Quotient({m: -c for m, c in form.top.items()}, form.bottom)


def _assigned(plain: Scalar, relation: Shape) -> bool | None:
    """`5` beside `x=5`: the value counts, whatever its name, unless the name occurs in the value."""
    name = _assignment(relation)
    value = relation.parts[1]
    if relation.mark != "=" or name is None or value.tree is None or plain.tree is None:
        return None
    if name in symbols(value.tree) | symbols(plain.tree) or _NAME.fullmatch(name) is None:
        return None
    return _equal(plain, value)
