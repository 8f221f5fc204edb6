"""Pydantic's errors in plain words, at the place they were written.

Invariant: no message names a Python type, a validator or a union branch; each says what came and what was expected.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from synthflow.errors import suggest
from synthflow.spec.document import Document, Key, Path

_WORDS = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "string_sub_type": "text",
    "dict_type": "fields and values",
    "model_type": "fields and values",
    "model_attributes_type": "fields and values",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "none_required": "null",
}
_LIMITS = {
    "greater_than": ("more than {}", "gt"),
    "greater_than_equal": ("{} or more", "ge"),
    "less_than": ("less than {}", "lt"),
    "less_than_equal": ("{} or less", "le"),
    "multiple_of": ("a multiple of {}", "multiple_of"),
}


def explain(
    document: Document, path: Path, error: ValidationError, model: type[BaseModel], also: Sequence[str] = ()
) -> None:
    """Note every error of `error` (raised by `model` for the value at `path`) as a mistake of `document`.

    A union reports one error a branch: these are joined into one mistake a value. `also` names fields that may
    stand beside the model's own.
    """
    by_value: dict[Path, list[Mapping[str, Any]]] = {}
    for found in error.errors(include_url=False):
        inner = tuple(_real_keys(document, path, found["loc"]))
        by_value.setdefault((*path, *inner), []).append(found)
    # Where a branch of a union got further than another one, its errors say more.
    around = {where[:length] for where in by_value for length in range(len(where))}
    for where, errors in by_value.items():
        if where in around:
            continue
        inside = where[len(path) : -1]
        _one_value(document, where, errors, [*known_fields(model, inside), *(() if inside else also)])


def check_bools(document: Document, path: Path, given: Any, made: Any) -> None:
    """Note each true or false that was taken for the number 1 or 0, as Pydantic does."""
    if isinstance(given, Mapping) and isinstance(made, Mapping):
        for key, value in given.items():
            check_bools(document, (*path, key), value, made.get(key))
    elif isinstance(given, bool) and isinstance(made, int | float) and not isinstance(made, bool):
        document.mistake(path, f"{show(given)} is not right", "expected a number")


def known_fields(model: type[BaseModel], path: Sequence[Key]) -> list[str]:
    """Names that a value at `path` inside `model` may hold; empty where it is no model."""
    current: Any = model
    for key in path:
        fields = getattr(current, "model_fields", {})
        if key not in fields:
            return []
        current = _model_in(fields[key].annotation)
    fields = getattr(current, "model_fields", {})
    return [field.alias or name for name, field in fields.items()]


def show(value: Any) -> str:
    """A value as a person would write it, shortened."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a group of fields" if value else "an empty group of fields"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}" if value else "an empty list"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _model_in(annotation: Any) -> Any:
    if hasattr(annotation, "model_fields"):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        inner = _model_in(part)
        if inner is not None:
            return inner
    return None


def _real_keys(document: Document, path: Path, loc: Iterable[Key]) -> Iterable[Key]:
    """`loc` without the names of union branches, which stand in no file: keys that exist, and the last if it is new."""
    value: Any = document.data
    for key in path:
        value = value[key] if isinstance(value, dict) and key in value else None
    keys = list(loc)
    for i, key in enumerate(keys):
        is_item = isinstance(key, int) and isinstance(value, list) and key < len(value)
        if is_item or (isinstance(value, dict) and key in value):
            value = value[key]
            yield key
        elif isinstance(key, str) and isinstance(value, dict) and i == len(keys) - 1 and key.isidentifier():
            yield key


def _one_value(document: Document, where: Path, errors: Sequence[Mapping[str, Any]], known: Sequence[str]) -> None:
    first = errors[0]
    if first["type"] == "extra_forbidden":
        hint = suggest(str(where[-1]), known) or (f"known: {', '.join(known)}" if known else "remove it")
        document.mistake(where, "no such field", hint)
    elif first["type"] == "no_such_field":  # of a verifier inside a composition, which knows its own fields
        document.mistake(where, "no such field", str(first["msg"]))
    elif first["type"] == "missing":
        document.mistake(where, "missing", "this field has no default")
    elif first["type"] == "value_error" and isinstance(first["input"], Mapping):
        # A rule over several fields: its own words are all there is to say.
        document.mistake(where, _expected(first))
    else:
        expected = " or ".join(dict.fromkeys(_expected(e) for e in errors))
        document.mistake(where, f"{show(first['input'])} is not right", f"expected {expected}")


def _expected(error: Mapping[str, Any]) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind in _WORDS:
        return _WORDS[kind]
    if kind in _LIMITS:
        words, name = _LIMITS[kind]
        return words.format(context[name])
    if kind in ("literal_error", "enum"):
        return str(context["expected"]).replace("'", "")
    if kind in ("too_short", "string_too_short"):
        return f"at least {context['min_length']} of them"
    if kind in ("too_long", "string_too_long"):
        return f"at most {context['max_length']} of them"
    message = str(error["msg"])
    for prefix in ("Value error, ", "Assertion failed, "):
        message = message.removeprefix(prefix)
    return message[:1].lower() + message[1:] if message.startswith("Input should be") else message
