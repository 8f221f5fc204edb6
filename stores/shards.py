"""Parquet shards of the declared tables.

A shard is the rows of one table that one stage wrote for one unit of work, sorted by the table's key and checked
against the declared schema. A unit writes it as a file of its own, packed lightly: it is read a few times soon. Later
the shards of many units are put together in one file (`stores.compaction`), packed for keeps; a shard is then a run of
rows of it. A file's existence proves nothing: only a line in the manifest, with its sha256, makes it part of the run.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from synthflow.schema import TABLES
from synthflow.stores.files import fsync_dir, link_or_copy, sha256_of, written_aside
from synthflow.stores.old_records import in_todays_words

_ROW_GROUP_BYTES = 64 << 20  # readers fail above 2 GiB of nested strings in a row group
_ROW_GROUP_ROWS = 1 << 14  # a partition's share of a large shard is read without the rest
_LIGHT_BYTES = 32 << 20
"""Up to so many bytes in memory, a shard is packed lightly: it will be put together with others."""

KEPT: Mapping[str, Any] = {"compression": "zstd", "compression_level": 3, "use_dictionary": False}
"""Dictionaries of tokens, log probabilities and ids cost four times the work and make the files larger."""
_LIGHT: Mapping[str, Any] = {"compression": "lz4", "use_dictionary": False}


@dataclass(frozen=True, slots=True)
class Shard:
    """Rows of one table that one unit wrote: a file (`path`, relative to the run directory), or a run of its rows.

    `bytes` and `sha256` are those of the file. `start` is the first of the rows in a file that units share, and None in
    a file of its own.
    """

    table: str
    path: str
    rows: int
    bytes: int
    sha256: str
    start: int | None = None

    def to_json(self) -> dict[str, Any]:
        record = asdict(self)
        if self.start is None:
            del record["start"]
        return record

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> Shard:
        start = record.get("start")
        return Shard(
            str(record["table"]),
            str(record["path"]),
            int(record["rows"]),
            int(record["bytes"]),
            str(record["sha256"]),
            None if start is None else int(start),
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
    packing = KEPT
    if rows.nbytes < _LIGHT_BYTES:
        packing = {**_LIGHT, "write_statistics": ["problem_id"] if "problem_id" in spec.names else False}
    with written_aside(path) as aside:
        pq.write_table(rows, aside, row_group_size=group, **packing)
    return Shard(table, relative, rows.num_rows, path.stat().st_size, sha256_of(path))


def own_copy(root: Path, shard: Shard, folder: str, name: str) -> Shard:
    """The rows of a shard as a file of its own, for another commit: a link where they are one already."""
    if shard.start is not None:
        return write_shard(root, shard.table, read_shard(root, shard), folder, name)
    relative = f"tables/{shard.table}/{folder}/{name}.parquet"
    (root / relative).parent.mkdir(parents=True, exist_ok=True)
    link_or_copy(root / shard.path, root / relative)
    fsync_dir((root / relative).parent)
    return replace(shard, path=relative)


def read_shard(
    root: Path, shard: Shard, columns: list[str] | None = None, problems: tuple[str, str] | None = None
) -> pa.Table:
    """Rows of a shard, in the declared column order; `problems` as in `read_shards`."""
    return read_shards(root, [shard], columns, problems)


def read_shards(
    root: Path, shards: Sequence[Shard], columns: list[str] | None = None, problems: tuple[str, str] | None = None
) -> pa.Table:
    """Rows of shards of one table, one after the other, in the declared column order.

    Args:
        problems: first and last problem_id that matter. Row groups without any between them are not read: where the
            table's key begins with the problem, a partition costs its own rows and not those of the whole run.
    """
    tables = []
    for run in _runs(shards):
        with pq.ParquetFile(root / run.path, pre_buffer=False) as file:
            tables.append(_read(file, run, columns, problems))
    return pa.concat_tables(tables)


def read_pieces(root: Path, shards: Sequence[Shard], columns: list[str] | None = None) -> Iterator[pa.Table]:
    """Rows of shards of one table, one row group of a file at a time."""
    for run in _runs(shards):
        with pq.ParquetFile(root / run.path, pre_buffer=False) as file:
            start, first = run.start or 0, 0
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                low, high = max(first, start), min(first + rows, start + run.rows)
                if low < high:
                    part = Shard(run.table, run.path, high - low, run.bytes, run.sha256, low)
                    yield _read(file, part, columns, None)
                first += rows


def row_groups(root: Path, shards: Mapping[str, Shard]) -> dict[str, tuple[str, int]]:
    """The file of each shard, and the row group in which its rows begin."""
    ends: dict[str, list[int]] = {}
    for path in {shard.path for shard in shards.values() if shard.start is not None}:
        file = pq.read_metadata(root / path)
        ends[path] = list(accumulate(file.row_group(group).num_rows for group in range(file.num_row_groups)))
    return {
        name: (shard.path, 0 if shard.start is None else bisect_right(ends[shard.path], shard.start))
        for name, shard in shards.items()
    }


def _runs(shards: Sequence[Shard]) -> Iterator[Shard]:
    """The shards, those that follow one another in a file as one."""
    run: Shard | None = None
    for shard in shards:
        if run is not None and run.start is not None and shard.start == run.start + run.rows and shard.path == run.path:
            run = Shard(run.table, run.path, run.rows + shard.rows, run.bytes, run.sha256, run.start)
            continue
        if run is not None:
            yield run
        run = shard
    if run is not None:
        yield run


def _read(file: pq.ParquetFile, shard: Shard, columns: list[str] | None, problems: tuple[str, str] | None) -> pa.Table:
    spec = TABLES[shard.table]
    table = in_todays_words(shard.table, _rows_of(file, shard, columns, problems))
    schema = spec.schema if columns is None else pa.schema([spec.schema.field(name) for name in columns])
    table = table.select(schema.names)
    if table.schema.types == schema.types:  # an older shard may forbid a null that is allowed since
        return pa.table(table.columns, schema=schema)
    return table.cast(schema)


def _rows_of(
    file: pq.ParquetFile, shard: Shard, columns: list[str] | None, problems: tuple[str, str] | None
) -> pa.Table:
    start = shard.start or 0
    parts, first = [], 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        low, high = max(0, start - first), min(rows, start + shard.rows - first)
        first += rows
        if shard.start is None:
            low, high = 0, rows
        if low < high and (problems is None or _may_hold(file, group, *problems)):
            parts.append((group, low, high))
    if not parts:
        return file.read_row_groups([], columns=columns)
    use_threads = shard.bytes > _LIGHT_BYTES and len(parts) > 1
    table = file.read_row_groups([group for group, _, _ in parts], columns=columns, use_threads=use_threads)
    # Of the groups that were read only the first and the last hold rows of others.
    skipped = parts[0][1]
    return table.slice(skipped, sum(high - low for _, low, high in parts))


def _may_hold(file: pq.ParquetFile, group: int, first: str, last: str) -> bool:
    """Whether a row group's statistics leave room for a problem_id in [first, last]."""
    leaf = next(i for i in range(len(file.schema)) if file.schema.column(i).path == "problem_id")
    found = file.metadata.row_group(group).column(leaf).statistics
    low, high = (found.min, found.max) if found is not None and found.has_min_max else (None, None)
    return not (isinstance(low, str) and isinstance(high, str)) or (low <= last and high >= first)
