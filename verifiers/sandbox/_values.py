"""Plain Python values as JSON and back, for what goes into a program and what it says it returned.

Invariant: what JSON lacks becomes an object with one key that starts with `$`, and every dictionary becomes `$dict`, so
that no value can be mistaken for another. The side that judges does not use `decode` but a stricter reader.
"""

from __future__ import annotations

from collections import deque
from typing import Any

_MAX_NODES = 200_000
_VIEWS: dict[type, str] = {type({}.keys()): "keys", type({}.items()): "items", type({}.values()): "values"}


def encode(value: Any) -> Any:
    """A value as JSON.

    Raises:
        TypeError: for what is not plain.
        ValueError: for more than 200,000 parts.
    """
    return Encoder().encode(value)


class Encoder:
    """Plain values as JSON: what JSON lacks becomes an object with one key that starts with `$`.

    Subclasses count as their base; what can be iterated over and is no list says so (`$iter`, with its kind).

    Raises:
        TypeError: for anything else.
        ValueError: for more than 200,000 parts.
    """

    def __init__(self) -> None:
        self._nodes = 0

    def encode(self, value: Any) -> Any:
        self._nodes += 1
        if self._nodes > _MAX_NODES:
            raise ValueError("the result has too many parts")
        if value is None or value is True or value is False:
            return value
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, int):
            number = int.__index__(value)
            return number if -(2**63) < number < 2**63 else {"$int": hex(number)}
        if isinstance(value, float):
            real = float.__float__(value)
            return real if real - real == 0.0 else {"$float": repr(real)}
        if isinstance(value, complex):
            return {"$complex": [self.encode(value.real), self.encode(value.imag)]}
        if isinstance(value, bytes | bytearray):
            return {"$bytes": bytes(value).hex()}
        return self._container(value)

    def _container(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.encode(v) for v in list.__iter__(value)]
        if isinstance(value, tuple):
            return {"$tuple": [self.encode(v) for v in tuple.__iter__(value)]}
        if isinstance(value, dict):
            return {"$dict": [[self.encode(k), self.encode(v)] for k, v in dict.items(value)]}
        if isinstance(value, set | frozenset):
            return {"$set": [self.encode(v) for v in sorted(value, key=repr)]}
        if isinstance(value, range):
            return {"$iter": ["range", [value.start, value.stop, value.step]]}
        if isinstance(value, type):
            raise TypeError("a result that is a class cannot be compared")
        if hasattr(value, "tolist"):
            plain = self.encode(value.tolist())
            return {"$iter": ["array", plain]} if isinstance(plain, list) else plain
        if hasattr(value, "__iter__"):
            kind = "iterator" if hasattr(value, "__next__") else _VIEWS.get(type(value), "other")
            return {"$iter": [kind, [self.encode(item) for item in value]]}
        if type(value).__name__ in ("Fraction", "Decimal"):
            return {"$number": str(value)}
        raise TypeError(f"a result of type {type(value).__name__} cannot be compared")


def decode(value: Any) -> Any:
    """The value that `Encoder` wrote."""
    if isinstance(value, list):
        return [decode(v) for v in value]
    if not isinstance(value, dict):
        return value
    ((tag, body),) = value.items()
    if tag == "$dict":
        return {decode(k): decode(v) for k, v in body}
    makers: dict[str, Any] = {
        "$int": lambda b: int(b, 16),
        "$float": float,
        "$complex": lambda b: complex(*(decode(p) for p in b)),
        "$bytes": bytes.fromhex,
        "$tuple": lambda b: tuple(decode(v) for v in b),
        "$set": lambda b: {decode(v) for v in b},
        "$number": _number,
        "$iter": _iterable,
    }
    return makers[tag](body)


def _iterable(body: list[Any]) -> Any:
    kind, items = body
    if kind == "range":
        return range(*items)
    found = [decode(item) for item in items]
    makers: dict[str, Any] = {
        "array": lambda: found,
        "keys": lambda: dict.fromkeys(found).keys(),
        "items": lambda: dict(found).items(),
        "values": lambda: dict(enumerate(found)).values(),
        "other": lambda: deque(found),
    }
    return makers[kind]() if kind in makers else iter(found)


def _number(text: str) -> Any:
    from fractions import Fraction

    return Fraction(text)
