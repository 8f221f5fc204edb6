"""What an answer is once it is read: an amount, words, a collection, an interval, a relation, a ratio, a time of day.

Invariant: a reading stands for the whole text. `doubts` name what could be read in another way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from synthflow.verifiers.answers.reading.atoms import Tree
from synthflow.verifiers.answers.reading.measures import Unit
from synthflow.verifiers.answers.reading.phrases import Words


@dataclass(frozen=True, slots=True)
class Amount:
    """An expression with its unit or counted thing; `percent` where it is one of a hundred."""

    tree: Tree
    unit: Unit | None = None
    thing: str | None = None
    percent: bool = False
    degrees: bool = False


@dataclass(frozen=True, slots=True)
class Bound:
    """`at least 5`: a mark and an amount; `about` for `approximately 5`."""

    mark: str
    amount: Reading


@dataclass(frozen=True, slots=True)
class Based:
    """Digits in a named base."""

    digits: str
    base: int | None


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of day in seconds after midnight; `half` tells whether it is certain which half of the day is meant.

    `written` are the numbers where no word says that it is a time, so that it may be a ratio.
    """

    seconds: int
    half: bool
    written: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Date:
    """A day."""

    year: int | None
    month: int
    day: int


@dataclass(frozen=True, slots=True)
class Ratio:
    """`a : b : c`."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Congruence:
    """`x ≡ a (mod m)`; the name may be missing."""

    value: Tree
    modulus: Tree
    name: Tree | None = None


@dataclass(frozen=True, slots=True)
class Collection:
    """Members: `list` and `set` in any order, `tuple` in theirs; `joint` is the word that joined them, if one did."""

    kind: Literal["list", "set", "tuple"]
    members: tuple[Reading, ...]
    joint: Literal["", "and", "or"] = ""


@dataclass(frozen=True, slots=True)
class Interval:
    """Ends and brackets; `round` brackets on both sides may as well be a point, which `members` then are."""

    low: Tree
    high: Tree
    brackets: str
    members: tuple[Reading, ...] = ()


@dataclass(frozen=True, slots=True)
class Region:
    """A set of real numbers that a letter may be, as a union of intervals; `name` is the letter, if it was told."""

    intervals: tuple[Interval, ...]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows of expressions."""

    rows: tuple[tuple[Tree, ...], ...]


@dataclass(frozen=True, slots=True)
class Cases:
    """A function by cases: value and condition, or None for otherwise."""

    pieces: tuple[tuple[Tree, Relation | None], ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """Sides and the marks between them; the first side may be a mere name of the second."""

    sides: tuple[Reading, ...]
    marks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """What a reading is for every whole number that a letter may be."""

    reading: Reading
    letter: str


Reading = (
    Amount
    | Family
    | Bound
    | Based
    | Clock
    | Date
    | Date
    | Ratio
    | Congruence
    | Collection
    | Interval
    | Region
    | Matrix
    | Cases
    | Relation
    | Words
)


@dataclass(frozen=True, slots=True)
class Read:
    """A reading, the other one where there are two, and why there are."""

    reading: Reading
    other: Reading | None = None
    doubts: frozenset[str] = frozenset()
