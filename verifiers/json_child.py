"""What runs in the worker of `json`: strict parsing, validation, comparison.

Invariant: nothing is fetched: a `$ref` that leads out of the schema cannot be resolved, and is the schema's mistake.
"""

from __future__ import annotations

import json
import math
from typing import Any

import jsonschema
import referencing
import referencing.exceptions

_WHY = 200
_GOLD_DEPTH = 500


class NoJson(ValueError):
    """Text that is no strict JSON, or too deep to be parsed."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind, self.why = kind, why


def check_schema(schema: dict[str, Any]) -> str | None:
    """What is wrong with a JSON Schema, or None."""
    try:
        cls = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        cls.check_schema(schema)
    except jsonschema.SchemaError as error:
        place = ".".join(map(str, error.absolute_path)) or "top level"
        return f"{place}: {error.message}"[:_WHY]
    except (RecursionError, TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"[:_WHY]
    return None


def depth(text: str) -> int:
    """Deepest nesting of brackets outside of strings, told without parsing."""
    level = deepest = 0
    inside = escaped = False
    for char in text:
        if inside:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                inside = False
        elif char == '"':
            inside = True
        elif char in "[{":
            level += 1
            deepest = max(deepest, level)
        elif char in "]}":
            level -= 1
    return deepest


def parse(text: str, max_depth: int) -> Any:
    """The JSON value.

    Raises:
        NoJson: if it is none in the strict sense, or nested deeper than `max_depth`.
    """
    if depth(text) > max_depth:
        raise NoJson("too_large", f"nested more than {max_depth} deep")
    try:
        return json.loads(text, parse_constant=_constant, parse_float=_float, object_pairs_hook=_object)
    except NoJson:
        raise
    except (ValueError, RecursionError) as error:  # also a whole number of more than 4300 digits
        raise NoJson("parse_failure", f"no JSON: {error}"[:_WHY]) from error


def fault(gold: str) -> str | None:
    """Why a gold answer is no JSON value, or None."""
    try:
        parse(gold, _GOLD_DEPTH)
    except NoJson as error:
        return error.why
    return None


def _constant(name: str) -> Any:
    raise NoJson("parse_failure", f"{name} is no JSON")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise NoJson("parse_failure", "a number is out of range")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise NoJson("parse_failure", f"the key {twice[:40]!r} stands twice")
    return found


def equal(a: Any, b: Any) -> bool:
    """Whether two JSON values are equal: numbers by value, true is not 1, the order of keys does not matter."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return a == b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(value, b[key]) for key, value in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    return type(a) is type(b) and bool(a == b)


def judge(item: dict[str, Any]) -> dict[str, Any]:
    """`kind` (valid, invalid, parse_failure, too_large, gold_unparsable) and `why`."""
    if "gold" in item:
        try:
            gold = parse(item["gold"], _GOLD_DEPTH)
        except NoJson as error:
            return {"kind": "gold_unparsable", "why": error.why}
    try:
        value = parse(item["text"], item["max_depth"])
    except NoJson as error:
        return {"kind": error.kind, "why": error.why}
    schema = item["schema"]
    if schema is not None:
        cls = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        validator = cls(schema, registry=referencing.Registry())
        try:
            found = next(validator.iter_errors(value), None)
        except referencing.exceptions.Unresolvable as error:
            return {"kind": "gold_unparsable", "why": f"schema: {error}"[:_WHY]}
        if found is not None:
            return {"kind": "invalid", "why": f"{found.json_path}: {found.message}"[:_WHY]}
    if "gold" in item and not equal(value, gold):
        return {"kind": "invalid", "why": "another value than the gold answer's"}
    return {"kind": "valid"}
