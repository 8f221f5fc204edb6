"""Rows of any number in one order, within a memory limit.

A distribution sort: DuckDB sorts the keys alone, which are narrow and spill well (sorting whole rows does not: with
20 kB texts it ran out of a memory limit of half the data), and says for every row into which bucket of consecutive
bytes it falls; the rows are dealt out into the buckets, and every bucket is sorted in memory. Memory is bounded by
the limit for the keys, one bucket (an eighth of the limit) and its sorted copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from synthflow.stores.database import connected

KEYS: list[pa.Field[Any]] = [
    pa.field("_rank", pa.float64()),
    pa.field("_problem", pa.string()),
    pa.field("_id", pa.string()),
]
"""What rows are sorted by; a null rank comes last. `_id` is unique, so the order is total."""
BYTES: pa.Field[Any] = pa.field("_bytes", pa.int64())
BATCH_ROWS = 1_024


def in_order(spool: Path, total_bytes: int, scratch: Path, memory_mb: int) -> Iterator[pa.Table]:
    """Tables of the rows of a Parquet file (with the columns of `KEYS` and `BYTES`), together in order.

    `scratch` is a folder of ours for the buckets; `total_bytes` the sum of `_bytes`.
    """
    bucket_bytes = memory_mb * 2**20 // 8
    if total_bytes <= bucket_bytes:
        yield _sorted(pq.read_table(spool))
        return
    for bucket in _deal(spool, bucket_bytes, scratch, memory_mb):
        with pa.OSFile(str(bucket), "rb") as file:
            rows = pa.ipc.open_stream(file).read_all()
        bucket.unlink()
        yield _sorted(rows)


def _sorted(rows: pa.Table) -> pa.Table:
    keys: list[tuple[str, Literal["ascending", "descending"]]] = [(field.name, "ascending") for field in KEYS]
    return rows.take(pc.sort_indices(rows, sort_keys=keys))  # nulls go last


def _deal(spool: Path, bucket_bytes: int, scratch: Path, memory_mb: int) -> list[Path]:
    """Deal the rows out into files of about `bucket_bytes`, every one before the next in order."""
    writers: dict[int, Any] = {}
    sinks: dict[int, Any] = {}
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    try:
        for batch, buckets in _with_buckets(spool, bucket_bytes, scratch, memory_mb):
            for bucket in np.unique(buckets).tolist():
                if bucket not in writers:
                    sinks[bucket] = pa.OSFile(str(_path(scratch, bucket)), "wb")
                    writers[bucket] = pa.ipc.new_stream(sinks[bucket], batch.schema, options=options)
                writers[bucket].write_batch(batch.filter(pa.array(buckets == bucket)))
    finally:
        for open_ in (*writers.values(), *sinks.values()):
            open_.close()
    return [_path(scratch, bucket) for bucket in sorted(writers)]


def _path(scratch: Path, bucket: int) -> Path:
    return scratch / f"bucket-{bucket}.arrow"


def _with_buckets(
    spool: Path, bucket_bytes: int, scratch: Path, memory_mb: int
) -> Iterator[tuple[pa.RecordBatch, np.ndarray[Any, np.dtype[np.int64]]]]:
    """Batches of the file as it is, each with the bucket of every row."""
    settings: dict[str, Any] = {
        "memory_limit": f"{memory_mb}MB",
        "temp_directory": str(scratch / "sort"),
        "threads": 2,
    }
    order = "_rank ASC NULLS LAST, _problem, _id"
    query = f"""
        SELECT CAST((upto - _bytes) // {bucket_bytes} AS BIGINT) AS bucket FROM (
            SELECT file_row_number AS row, _bytes,
                   CAST(sum(_bytes) OVER (ORDER BY {order} ROWS UNBOUNDED PRECEDING) AS BIGINT) AS upto
            FROM read_parquet($file, file_row_number = true)
        ) ORDER BY row
    """
    with connected(settings=settings) as connection:
        said = connection.sql(query, params={"file": str(spool)}).to_arrow_reader(BATCH_ROWS)
        waiting = np.empty(0, np.int64)
        with pq.ParquetFile(spool) as file:
            for batch in file.iter_batches(BATCH_ROWS):
                while len(waiting) < batch.num_rows:
                    waiting = np.concatenate((waiting, said.read_next_batch().column(0).to_numpy()))
                yield batch, waiting[: batch.num_rows]
                waiting = waiting[batch.num_rows :]
