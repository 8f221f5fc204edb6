"""Parquet files, a batch of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow.parquet as pq

from synthflow.io import files
from synthflow.io.paths import label
from synthflow.io.rows import Row

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
            for values in batch.to_pylist():
                number += 1
                yield Row(name, number, values, "row")


def parquet_columns(path: str) -> tuple[list[str], int]:
    """Column names and number of rows, from the footer."""
    with parquet_file(path) as file:
        return list(file.schema_arrow.names), int(file.metadata.num_rows)
