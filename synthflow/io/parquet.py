"""Parquet files, a batch of rows at a time.

Invariant: a column whose type says that its text is JSON (Arrow's `arrow.json`, which `datasets` and DuckDB write) is
read as what that JSON says, and floats in it remember their text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from synthflow.io import files
from synthflow.io.paths import label
from synthflow.io.rows import ExactFloat, Row

BATCH_ROWS = 512
"""Rows read at once: they may be wide."""


@contextmanager
def parquet_file(path: str) -> Iterator[pq.ParquetFile]:
    """The opened file.

    Raises:
        UserError: if it is none, or cannot be read to the end of the block.
    """
    with files.opened(path, " as Parquet") as stream, pq.ParquetFile(stream) as file:
        yield file


def parquet_rows(path: str) -> Iterator[Row]:
    """Rows of a file, numbered from 1."""
    name, number = label(path), 0
    with parquet_file(path) as file:
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            for values in as_rows(pa.Table.from_batches([batch])):
                number += 1
                yield Row(name, number, values, "row")


_Decode: TypeAlias = Callable[[Any], Any]


def as_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Rows in Python's types."""
    decoders = {field.name: decode for field in table.schema if (decode := _decoder(field.type)) is not None}
    rows: list[dict[str, Any]] = table.to_pylist()
    for row in rows if decoders else ():
        for name, decode in decoders.items():
            row[name] = decode(row[name])
    return rows


def _decoder(kind: pa.DataType) -> _Decode | None:
    """From a value of a column to what its JSON says; None where there is no JSON in it."""
    if getattr(kind, "extension_name", None) == "arrow.json":
        return _from_json
    if isinstance(kind, pa.StructType):
        inner = {kind.field(i).name: d for i in range(kind.num_fields) if (d := _decoder(kind.field(i).type))}
        return _of_struct(inner) if inner else None
    if pa.types.is_map(kind):
        item = _decoder(kind.item_type)
        return _of_list(_of_pair(item)) if item else None
    if pa.types.is_nested(kind) and hasattr(kind, "value_type"):
        value = _decoder(kind.value_type)
        return _of_list(value) if value else None
    return None


def _from_json(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text, parse_float=ExactFloat.parse)
    except ValueError:
        return text


def _of_struct(inner: dict[str, _Decode]) -> _Decode:
    def decode(value: dict[str, Any] | None) -> dict[str, Any] | None:
        return value and {name: inner[name](v) if name in inner else v for name, v in value.items()}

    return decode


def _of_pair(inner: _Decode) -> _Decode:
    return lambda pair: (pair[0], inner(pair[1]))


def _of_list(inner: _Decode) -> _Decode:
    return lambda value: value and [inner(v) for v in value]


def parquet_columns(path: str) -> tuple[list[str], int]:
    """Column names and number of rows, from the footer."""
    with parquet_file(path) as file:
        return list(file.schema_arrow.names), int(file.metadata.num_rows)
