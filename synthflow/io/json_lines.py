"""JSON Lines: one object a line, plain or compressed; blank lines are skipped.

Invariant: what cannot be read of a line is a `RowError` at its number. NaN and Infinity, which many programs write, are
no JSON; who asks for them gets them as floats.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from synthflow.io import files
from synthflow.io.paths import label
from synthflow.io.rows import ExactFloat, Row, RowError


def json_rows(path: str, *, not_numbers: bool = False) -> Iterator[Row]:
    """Rows of a file.

    Args:
        not_numbers: read NaN and Infinity as floats instead of refusing their lines.
    """
    return (row for row, _ in json_lines(path, not_numbers=not_numbers))


def json_lines(path: str, *, not_numbers: bool = False) -> Iterator[tuple[Row, bytes]]:
    """Rows of a file, each with its line as it stands, without the blanks around it."""
    name = label(path)
    with files.opened(path) as stream:
        for number, line in enumerate(files.lines(stream), start=1):
            text = line.strip()
            if not text:
                continue
            try:
                yield Row(name, number, parse_json(line, not_numbers=not_numbers)), text
            except RowError as error:
                yield Row(name, number, error), text


def parse_json(line: bytes, *, not_numbers: bool = False) -> Mapping[str, Any]:
    """The JSON object of a line; floats remember their text. Blanks around it count as columns, and mean nothing.

    Raises:
        RowError: if it is anything else.
    """
    if len(line.removesuffix(b"\n")) > files.MAX_LINE_BYTES:
        raise RowError(f"longer than {files.MAX_LINE_BYTES} bytes", "one JSON object a line")
    indent = len(line) - len(line.lstrip())
    try:
        text = line.strip().decode("utf-8")
        constant = float if not_numbers else _no_constant
        value = json.loads(text, parse_float=ExactFloat.parse, parse_constant=constant, object_pairs_hook=_no_key_twice)
    except RowError:
        raise
    except UnicodeDecodeError as error:
        raise RowError(f"not UTF-8 (byte {indent + error.start})", "save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        raise RowError(f"not JSON: {error.msg} at column {indent + error.colno}", "one JSON object a line") from error
    except RecursionError as error:
        raise RowError("nested too deeply", "one flat JSON object a line") from error
    except ValueError as error:
        raise RowError("a whole number with too many digits", "write it as text, in quotes") from error
    if not isinstance(value, dict):
        raise RowError("not a JSON object", 'one JSON object a line, such as {"prompt": ..., "answer": ...}')
    return value


def _no_constant(text: str) -> Any:
    raise RowError(f"{text} is no JSON number", "use null where there is no value")


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise RowError(f"the key {twice[:40]!r} stands twice", "keep one")
    return made
