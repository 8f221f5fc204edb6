"""Overrides from the command line: `stages.rollouts.n=8` replaces or adds one value before anything is checked.

Invariant: an override is checked exactly as if it had been written in the file; its mistakes name the override.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synthflow.errors import Mistake, Mistakes
from synthflow.spec.document import Document, Path
from synthflow.spec.yaml_text import parse_value


def apply(
    document: Document, overrides: Sequence[str], option: str = "-o", form: str = "stages.NAME.FIELD=VALUE"
) -> None:
    """Apply `path=value` texts in order; a value is read as YAML, so `[a, b]`, `null` and `0.5` mean what they say.

    Args:
        option, form: how mistakes name an override, and how one is written.

    Raises:
        Mistakes: if some of them are no overrides at all.
    """
    broken = []
    for text in overrides:
        try:
            path, value = _split(text)
            _put(document, path, value, f"{option} {text}")
        except ValueError as error:
            broken.append(Mistake(f"{option} {text}", str(error), f"write it as {form}"))
    if broken:
        raise Mistakes(broken, "the overrides")


def _split(text: str) -> tuple[Path, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError("no `=`")
    keys = tuple(key.strip() for key in name.split("."))
    if not all(keys):
        raise ValueError(f"{name!r} is no dotted path")
    return keys, parse_value(value)


def _put(document: Document, path: Path, value: Any, place: str) -> None:
    inner: Any = document.data
    for depth, key in enumerate(path[:-1]):
        if not isinstance(inner, dict):
            raise ValueError(f"{'.'.join(map(str, path[:depth]))} holds no fields")
        if inner.get(str(key)) is None:
            inner[str(key)] = {}
        inner = inner[str(key)]
    if not isinstance(inner, dict):
        raise ValueError(f"{'.'.join(map(str, path[:-1]))} holds no fields")
    inner[str(path[-1])] = value
    document.forget(path)
    document.places[path] = place
