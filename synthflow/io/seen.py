"""Problems read so far: enough of each to tell a copy from a contradiction."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from synthflow import ids
from synthflow.io.rows import Row


def _as_number(answer: str | None) -> str | list[Any] | None:
    """An answer as it is compared: a number by its value, so that `3` and `3.0` are one; any other text as it is."""
    try:
        sign, digits, exponent = Decimal((answer or "").strip()).as_tuple()
    except InvalidOperation:
        return answer
    if not isinstance(exponent, int):
        return answer
    number = "".join(map(str, digits)).lstrip("0")
    significant = number.rstrip("0")
    return ["number", sign if number else 0, significant, exponent + len(number) - len(significant) if number else 0]


@dataclass
class Seen:
    """Problems read so far, about 200 bytes each: enough to tell a copy from a contradiction."""

    files: list[str] = field(default_factory=list)
    _known: dict[int, int] = field(default_factory=dict)

    def add(self, problem_id: str, answer: str | None, row: Row) -> tuple[bool, str] | None:
        """None for a new problem; else whether its answer is the same, and where it was first."""
        if not self.files or self.files[-1] != row.file:
            self.files.append(row.file)
        key = int(problem_id.partition("_")[2], 16)
        gold = int(ids.digest(ids.canonical(_as_number(answer)))[:16], 16)
        before = self._known.setdefault(key, gold << 80 | (len(self.files) - 1) << 48 | row.line)
        file, line = (before >> 48) & 0xFFFF_FFFF, before & 0xFFFF_FFFF_FFFF
        if (file, line) == (len(self.files) - 1, row.line):
            return None
        return before >> 80 == gold, Row(self.files[file], line, {}, row.unit).where
