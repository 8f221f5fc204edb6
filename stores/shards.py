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
from synthflow.stores.old_records import in_todays_words

_ROW_GROUP_BYTES = 64 << 20  # readers fail above 2 GiB of nested strings in a row group
_ROW_GROUP_ROWS = 1 << 14  # a partition's share of a large shard is read without the rest


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
    group = max(1, min(_ROW_GROUP_ROWS, int(_ROW_GROUP_BYTES / max(1.0, rows.nbytes / max(1, rows.num_rows)))))
    with written_aside(path) as aside:
        pq.write_table(rows, aside, compression="zstd", compression_level=3, row_group_size=group)
    return Shard(table, relative, rows.num_rows, path.stat().st_size, sha256_of(path))


def read_shard(
    root: Path, shard: Shard, columns: list[str] | None = None, problems: tuple[str, str] | None = None
) -> pa.Table:
    """Rows of a shard, in the declared column order.

    Args:
        problems: first and last problem_id that matter. Row groups without any between them are not read: where the
            table's key begins with the problem, a partition costs its own rows and not those of the whole run.
    """
    spec = TABLES[shard.table]
    file = pq.ParquetFile(root / shard.path)
    groups = [g for g in range(file.num_row_groups) if problems is None or _may_hold(file, g, *problems)]
    table = in_todays_words(shard.table, file.read_row_groups(groups, columns=columns))
    if columns is None:
        return table.select(list(spec.names)).cast(spec.schema)
    # An older shard may forbid a null that is allowed since.
    return table.select(columns).cast(pa.schema([spec.schema.field(name) for name in columns]))


def _may_hold(file: pq.ParquetFile, group: int, first: str, last: str) -> bool:
    """Whether a row group's statistics leave room for a problem_id in [first, last]."""
    leaf = next(i for i in range(len(file.schema)) if file.schema.column(i).path == "problem_id")
    found = file.metadata.row_group(group).column(leaf).statistics
    low, high = (found.min, found.max) if found is not None and found.has_min_max else (None, None)
    return not (isinstance(low, str) and isinstance(high, str)) or (low <= last and high >= first)
