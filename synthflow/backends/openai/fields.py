"""Fields of a server's answer: there with the right type, or absent; anything else spoils the answer."""

from __future__ import annotations

from typing import Any


class BadAnswer(Exception):
    """An answer that is no answer: the request is sent again."""


_NAMES: dict[type, str] = {dict: "an object", list: "an array", str: "text", int: "an integer", bool: "a truth value"}


def field(value: Any, name: str, wanted: type | tuple[type, ...], where: str) -> Any:
    """A field of an object; None where it is absent or null.

    Raises:
        BadAnswer: if the value is no object, or the field has another type.
    """
    if not isinstance(value, dict):
        raise BadAnswer(f"{where} is {kind(value)}; expected an object")
    found = value.get(name)
    if found is not None and not isinstance(found, wanted):
        types = wanted if isinstance(wanted, tuple) else (wanted,)
        raise BadAnswer(f"{name} is {kind(found)}; expected {' or '.join(_NAMES[each] for each in types)}")
    return found


def kind(value: Any) -> str:
    """What kind of JSON a value is, in words."""
    return "null" if value is None else _NAMES.get(type(value), "a number")


def shown(value: Any) -> str:
    """A value in a message: nothing that is long or deep."""
    return repr(value)[:40] if value is None or isinstance(value, str | int | float) else kind(value)
