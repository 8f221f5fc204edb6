"""A spec as plain data that knows where each value was written.

Invariant: every value that a mistake may be about has a place a person can open (`file:line`), whether it came from
the YAML file or from an override; what was built in Python has its dotted field only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from synthflow.errors import Mistake

Key = str | int
Path = tuple[Key, ...]


@dataclass
class Document:
    """`data` with the place of each path in it; mistakes about it are collected in `found`."""

    label: str
    data: dict[str, Any]
    places: dict[Path, str] = field(default_factory=dict)
    found: list[Mistake] = field(default_factory=list)
    _noted: set[Mistake] = field(default_factory=set)

    def where(self, path: Sequence[Key]) -> str:
        """The place of `path`, or of the nearest thing around it, followed by the dotted field."""
        dotted = dotted_path(path)
        for length in range(len(path), -1, -1):
            place = self.places.get(tuple(path[:length]))
            if place is not None:
                return f"{place} {dotted}".strip()
        return dotted or self.label

    def mistake(self, path: Sequence[Key], what: str, fix: str = "") -> None:
        """Note a mistake; the same one twice is noted once."""
        made = Mistake(self.where(path), what, fix)
        if made not in self._noted:
            self._noted.add(made)
            self.found.append(made)

    def in_order(self) -> list[Mistake]:
        """The mistakes by line; those without one first, as overrides."""
        return sorted(self.found, key=lambda m: self._line(m.where))

    def _line(self, where: str) -> int:
        digits = where.removeprefix(f"{self.label}:").split(" ")[0]
        return int(digits) if digits.isdecimal() else 0

    def forget(self, path: Path) -> None:
        """Drop the places at and under `path`: an override replaces what stood there."""
        for known in [p for p in self.places if p[: len(path)] == path]:
            del self.places[known]


def dotted_path(path: Sequence[Key]) -> str:
    """`('stages', 'x', 'of', 0)` as `stages.x.of[0]`."""
    out = ""
    for key in path:
        out += f"[{key}]" if isinstance(key, int) else f".{key}" if out else key
    return out


def plain(value: Any) -> Any:
    """`value` as JSON-like data: tuples become lists, models their fields. For specs built in Python."""
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(mode="json"))
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    return str(value)


def check_values(document: Document) -> None:
    """Note values that no field can hold: infinities, numbers beyond 64 bits, halves of surrogate pairs."""
    todo: list[tuple[Path, Any]] = [((), document.data)]
    while todo:
        path, value = todo.pop()
        if isinstance(value, dict):
            todo.extend(((*path, str(key)), inner) for key, inner in value.items())
        elif isinstance(value, list):
            todo.extend(((*path, i), inner) for i, inner in enumerate(value))
        elif isinstance(value, float) and not math.isfinite(value):
            document.mistake(path, f"{value} is no finite number", "write a finite number")
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            document.mistake(path, "a whole number beyond 64 bits", "write a smaller number")
        elif isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
            document.mistake(path, "the text holds half a surrogate pair, which is no character", "remove it")
