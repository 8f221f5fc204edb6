"""Parquet shards of the declared tables.

A shard holds rows of one table, written by one stage for one unit of work, sorted by the table's key, checked
against the declared schema and written aside before it gets its name. Its existence proves nothing: only a line in
the manifest, with its sha256, makes it part of the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from synthflow.schema import TABLES
from synthflow.stores.files import sha256_of, written_aside

_ROW_GROUP_BYTES = 64 << 20  # readers fail above 2 GiB of nested strings in a row group


@dataclass(frozen=True, slots=True)
class Shard:
    """One Parquet file: `path` is relative to the run directory."""

    table: str
    path: str
    rows: int
    bytes: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> Shard:
        return Shard(
            str(record["table"]),
            str(record["path"]),
            int(record["rows"]),
            int(record["bytes"]),
            str(record["sha256"]),
        )


def write_shard(root: Path, table: str, rows: pa.Table, folder: str, name: str) -> Shard:
    """Write rows of `table` to `tables/<table>/<folder>/<name>.parquet` under `root`.

    Raises:
        SchemaMismatch: if the rows do not conform to the declared table.
        NoSpace: if the disk is full; nothing is left behind.
    """
    spec = TABLES[table]
    rows = spec.conform(rows)
    rows = rows.take(pc.sort_indices(rows, sort_keys=[(k, "ascending") for k in spec.key]))
    relative = f"tables/{table}/{folder}/{name}.parquet"
    path = root / relative
    group = max(1, min(rows.num_rows, int(_ROW_GROUP_BYTES / max(1.0, rows.nbytes / max(1, rows.num_rows)))))
    with written_aside(path) as aside:
        pq.write_table(rows, aside, compression="zstd", compression_level=3, row_group_size=group)
    return Shard(table, relative, rows.num_rows, path.stat().st_size, sha256_of(path))


def read_shard(root: Path, shard: Shard, columns: list[str] | None = None) -> pa.Table:
    """Rows of a shard, in the declared column order."""
    spec = TABLES[shard.table]
    table = pq.ParquetFile(root / shard.path).read(columns=columns)
    return table.select(columns) if columns is not None else table.select(list(spec.names)).cast(spec.schema)
