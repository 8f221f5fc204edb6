"""Results of queries as lines of text: an aligned table, CSV, JSON lines or Markdown.

Invariant: whatever a model wrote stays in its cell: in a table and in Markdown, line ends and other control
characters are escaped, so that no text moves the cursor or breaks a row; CSV and JSON hold the values exactly.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from synthflow.errors import UserError


def plain(value: Any) -> Any:
    """A value as JSON holds it: dates as ISO 8601, NaN and infinities as null, bytes in hex."""
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, date):
        return value.isoformat()
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def cell(value: Any) -> str:
    """A value as one line of text: control characters escaped, floats to six digits, null empty."""
    value = plain(value)
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def as_json(columns: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> Iterator[str]:
    """One JSON object a row."""
    for row in rows:
        yield json.dumps(dict(zip(columns, map(plain, row), strict=True)), ensure_ascii=False)


def as_csv(columns: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> Iterator[str]:
    """RFC 4180 records, the header first; lists and structs as JSON."""
    yield _csv_line(columns)
    for row in rows:
        values = (plain(v) for v in row)
        yield _csv_line([json.dumps(v, ensure_ascii=False) if isinstance(v, list | dict) else v for v in values])


def _csv_line(values: Sequence[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()


def as_markdown(columns: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> Iterator[str]:
    """A GitHub table."""
    yield "| " + " | ".join(columns) + " |"
    yield "|" + " --- |" * len(columns)
    for row in rows:
        yield "| " + " | ".join(cell(v).replace("|", "\\|") for v in row) + " |"


WIDTH = 60
"""Characters shown of a cell in a table."""


def as_table(columns: Sequence[str], rows: Iterator[tuple[Any, ...]], limit: int = 500) -> Iterator[str]:
    """Aligned columns for a terminal; cells cut at WIDTH, and no more than `limit` rows."""
    shown, more = [list(columns)], False
    numeric = [True] * len(columns)
    for row in rows:
        if len(shown) > limit:
            more = True
            break
        numeric = [n and (v is None or isinstance(v, int | float)) for n, v in zip(numeric, row, strict=True)]
        shown.append([text if len(text) <= WIDTH else text[: WIDTH - 1] + "…" for text in map(cell, row)])
    widths = [max(len(line[i]) for line in shown) for i in range(len(columns))]
    for i, line in enumerate(shown):
        padded = (c.rjust(w) if n else c.ljust(w) for c, w, n in zip(line, widths, numeric, strict=True))
        yield "  ".join(padded).rstrip()
        if i == 0:
            yield "  ".join("─" * w for w in widths)
    if more:
        yield f"… the first {limit} rows; use --format csv or json for all, or LIMIT"


FORMATS: Mapping[str, Callable[[Sequence[str], Iterator[tuple[Any, ...]]], Iterator[str]]] = {
    "table": as_table,
    "csv": as_csv,
    "json": as_json,
    "markdown": as_markdown,
}


def render(columns: Sequence[str], rows: Iterator[tuple[Any, ...]], format: str = "table") -> Iterator[str]:
    """Lines of a result in one of FORMATS.

    Raises:
        UserError: for an unknown format.
    """
    if format not in FORMATS:
        raise UserError(f"no format is called {format!r}; known: {', '.join(FORMATS)}")
    return FORMATS[format](columns, rows)
