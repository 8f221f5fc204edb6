"""Compares what a program printed or returned with what was expected, in our process, on plain values.

Invariants: nothing of the program is executed or unpickled: its answers are text, parsed within limits of size and
depth; a value that cannot be read is not equal to anything. Comparison costs time linear in the size of both.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

_ABSOLUTE = 1e-9
_NOISE = 1e-9  # what a computed decimal that is whole may be off by, where it was printed
_MAX_DIGITS = 400_000  # hexadecimal ones of a whole number: read in linear time
_MAX_FRACTION = 4000
_MAX_RANGE = 1_000_000
_MAX_SAME_HASH = 64
_DECIMAL = re.compile(r"[-+]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d{1,3})?")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?")


class Unreadable(ValueError):
    """An answer that is not what the protocol allows."""


@dataclass(frozen=True, slots=True)
class Iterated:
    """What was iterated over and is no list: `kind` is iterator, keys, items, values, array or other."""

    kind: str
    items: Sequence[Any]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def __len__(self) -> int:
        if self.kind == "iterator":
            raise TypeError("an iterator has no length")
        return len(self.items)

    def __bool__(self) -> bool:
        return self.kind == "iterator" or bool(self.items)


def same_output(printed: str, expected: str, tolerance: float) -> bool:
    """Whether two outputs agree: the same lines but for white space at their ends and blank lines at the end.

    A word of `expected` that is a decimal (with a point or an exponent) may differ by `tolerance`, relative, as judges
    of contests allow, and one that is whole (2.0) by 1e-9; whole numbers and words must be the same.
    """
    mine, theirs = ([line.split() for line in text.rstrip().splitlines()] for text in (printed, expected))
    return len(mine) == len(theirs) and all(_same_line(a, b, tolerance) for a, b in zip(mine, theirs, strict=True))


def _same_line(mine: list[str], theirs: list[str], tolerance: float) -> bool:
    return len(mine) == len(theirs) and all(
        a == b or _close_words(a, b, tolerance) for a, b in zip(mine, theirs, strict=True)
    )


def _close_words(mine: str, expected: str, tolerance: float) -> bool:
    if not tolerance or len(mine) > 100 or len(expected) > 100:
        return False
    if not _DECIMAL.fullmatch(expected) or not _NUMBER.fullmatch(mine):
        return False
    a, b = float(mine), float(expected)
    if b.is_integer():
        return a == b or abs(a - b) <= _NOISE * max(1.0, min(abs(b), 1000.0))
    return math.isclose(a, b, rel_tol=tolerance, abs_tol=min(_ABSOLUTE, tolerance))


def parse(line: str) -> dict[str, Any]:
    """A line that a program answered: an object.

    Raises:
        Unreadable: if it is not.
    """
    try:
        found = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not JSON: {str(error)[:100]}") from None
    if not isinstance(found, dict):
        raise Unreadable("not an object")
    return found


def _no_constant(text: str) -> Any:
    raise Unreadable(f"{text} is not JSON")


def decode(value: Any) -> Any:
    """The plain value that an answer stands for: None, bool, numbers, text, bytes, list, tuple, set, dict.

    Raises:
        Unreadable: for any other shape, and for what is nested too deep.
    """
    try:
        return _decode(value)
    except (RecursionError, TypeError, ValueError, KeyError, OverflowError, ZeroDivisionError) as error:
        raise Unreadable(f"not a value: {str(error)[:100]}") from None


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(v) for v in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1:
        raise Unreadable("an object with other than one key")
    ((tag, body),) = value.items()
    return _TAGS[tag](body)


def spread(keys: Sequence[Any]) -> Sequence[Any]:
    """The same keys, if they may go into a set or a dictionary.

    Hashes of numbers are no secret: multiples of 2**61 - 1 share one, and a table of them takes quadratic time.

    Raises:
        Unreadable: if too many share a hash.
        TypeError: if one has none.
    """
    worst = max(Counter(map(hash, keys)).values(), default=0)
    if worst > _MAX_SAME_HASH:
        raise Unreadable(f"{worst} keys with one hash")
    return keys


def _int(body: str) -> int:
    if len(body) > _MAX_DIGITS:
        raise Unreadable("an integer with too many digits")
    return int(body, 16)


def _iterated(body: Any) -> Any:
    kind, items = body
    if kind != "range":
        return Iterated(str(kind), _decode(list(items)))
    found = range(*items)
    if len(found) > _MAX_RANGE:
        raise Unreadable("a range that is too long")
    return found


def _fraction(body: str) -> Fraction:
    if len(body) > _MAX_FRACTION or "e" in body.lower() or "n" in body.lower():
        raise Unreadable("a number that is not a plain one")
    return Fraction(body)


_TAGS: dict[str, Callable[[Any], Any]] = {
    "$int": _int,
    "$float": lambda body: {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}[body],
    "$complex": lambda body: complex(*map(_decode, body)),
    "$bytes": bytes.fromhex,
    "$tuple": lambda body: tuple(map(_decode, body)),
    "$set": lambda body: set(spread(list(map(_decode, body)))),
    "$iter": _iterated,
    "$dict": lambda body: dict(zip(spread([_decode(k) for k, _ in body]), (_decode(v) for _, v in body), strict=True)),
    "$number": _fraction,
}


def same_value(got: Any, expected: Any, tolerance: float, lenient: bool) -> bool:
    """Python's equality on plain values, without the program's.

    Where the expected one is a float that is not whole, floats may differ by `tolerance`, relative below 1 and absolute
    above. With `lenient` tuples and arrays equal lists, and a dictionary's keys may be the text of its keys, as JSON
    has them. NaN equals NaN. Generators, ranges and views are no lists.
    """
    if isinstance(expected, float) and isinstance(got, int | float) and not isinstance(got, bool):
        return _same_float(got, expected, tolerance)
    if lenient and isinstance(got, Iterated) and got.kind == "array":
        got = got.items
    if isinstance(expected, list | tuple):
        if not isinstance(got, list | tuple) or (not lenient and type(got) is not type(expected)):
            return False
        return len(got) == len(expected) and all(
            same_value(a, b, tolerance, lenient) for a, b in zip(got, expected, strict=True)
        )
    if isinstance(expected, dict):
        return isinstance(got, dict) and _same_dict(got, expected, tolerance, lenient)
    if isinstance(got, Iterated):
        as_set = got.kind in ("keys", "items") and isinstance(expected, set | frozenset)
        return as_set and set(spread(got.items)) == expected
    if isinstance(expected, bool) or isinstance(got, bool):
        return type(got) in (bool, int, float) and type(expected) in (bool, int, float) and bool(got == expected)
    return bool(got == expected)


def identical(got: Any, expected: Any) -> bool:
    """What `is` says of None, True, False and small constants."""
    return type(got) is type(expected) and bool(got == expected)


def _same_float(got: float, expected: float, tolerance: float) -> bool:
    if math.isnan(expected):
        return isinstance(got, float) and math.isnan(got)
    if got == expected:
        return True
    if not tolerance or not math.isfinite(expected) or expected.is_integer():
        return False
    try:
        # Above 1 only what arithmetic itself is off by: whoever expects 1000000.5 does not mean 1000000.75.
        got, size = float(got), max(abs(got), abs(expected))
        return abs(got - expected) <= max(tolerance * min(1.0, size), 1e-12 * size)
    except OverflowError:
        return False


def _same_dict(got: dict[Any, Any], expected: dict[Any, Any], tolerance: float, lenient: bool) -> bool:
    if lenient and got.keys() != expected.keys():
        by_text = {str(key).lower() if isinstance(key, bool) else str(key): value for key, value in got.items()}
        got = by_text if len(by_text) == len(got) else got
    return got.keys() == expected.keys() and all(
        same_value(got[key], value, tolerance, lenient) for key, value in expected.items()
    )
