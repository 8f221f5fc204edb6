"""Rows in any order come in; shards in one order, cut the same way every time, go out.

A config's rows are spooled to temporary Parquet files as partitions bring them, put in order, and written as row
groups and shards whose boundaries are a function of the rows alone: neither the partitions, nor the batches of the
sort, nor the number of threads can move a byte. Memory is bounded by one partition, what `ordering` takes, and one
row group.

A row group stays below `ROW_GROUP_BYTES` unless a single row is larger: Arrow cannot read nested strings beyond
2 GiB in one row group. A shard without rows is never written: `datasets` cannot load one.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from synthflow.errors import InvariantBroken
from synthflow.stages.export.columns import ConfigSpec, ExportColumn, arrow_schema
from synthflow.stages.export.ordering import BATCH_ROWS, BYTES, KEYS, in_order

ROW_GROUP_BYTES = 64 * 2**20
ROW_GROUP_ROWS = 16_384
SPLITS = ("train", "validation")


@dataclass(frozen=True)
class ShardLimits:
    """When a shard is full. `sort_memory_mb` is `ordering`'s limit."""

    rows: int
    megabytes: int
    sort_memory_mb: int


@dataclass
class Written:
    """What became of one config: kept columns, and per split the rows and files (relative to the release)."""

    columns: tuple[ExportColumn, ...] = ()
    rows: dict[str, int] = field(default_factory=dict)
    files: dict[str, list[str]] = field(default_factory=dict)
    file_rows: dict[str, int] = field(default_factory=dict)


class Spool:
    """Collects the rows of one config, then writes its shards."""

    def __init__(self, spec: ConfigSpec, directory: Path, scratch: Path) -> None:
        self.spec, self.directory = spec, directory
        self._scratch = scratch / spec.name
        self._scratch.mkdir(parents=True)
        self._schema = pa.schema([*spec.schema, *KEYS])
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._nulls = dict.fromkeys(spec.schema.names, 0)
        self._rows = dict.fromkeys(SPLITS, 0)
        self._bytes = dict.fromkeys(SPLITS, 0)

    def add(self, table: pa.Table) -> None:
        """Take rows: the spec's columns, those of `KEYS`, and the boolean `_held` (out for validation).

        Raises:
            InvariantBroken: for a null in a column that is always there.
        """
        held = table.column("_held").combine_chunks()
        rows = table.select(self._schema.names).cast(self._schema)
        for column in self.spec.columns:
            nulls = rows.column(column.name).null_count
            self._nulls[column.name] += nulls
            if nulls and column.keep == "always":
                raise InvariantBroken(f"config {self.spec.name}: {nulls} null values in {column.name!r}")
        for split, mask in (("train", pc.invert(held)), ("validation", held)):
            part = rows.filter(mask)
            if part.num_rows:
                self._spool(split, part)

    def _spool(self, split: str, rows: pa.Table) -> None:
        sizes = row_bytes(rows)
        rows = rows.append_column(BYTES, pa.array(sizes))
        if split not in self._writers:
            self._writers[split] = pq.ParquetWriter(
                self._file(split), rows.schema, compression="zstd", compression_level=1
            )
        self._writers[split].write_table(rows, row_group_size=BATCH_ROWS)
        self._rows[split] += rows.num_rows
        self._bytes[split] += int(sizes.sum())

    def _file(self, split: str) -> Path:
        return self._scratch / f"{split}.parquet"

    def finish(self, limits: ShardLimits) -> Written:
        """Put the rows in order, write the shards, and forget the spool."""
        for writer in self._writers.values():
            writer.close()
        total = sum(self._rows.values())
        kept = tuple(c for c in self.spec.columns if self._is_kept(c, total)) if total else ()
        written = Written(kept)
        for split in SPLITS:
            if self._rows[split]:
                self._write_split(split, written, limits)
        shutil.rmtree(self._scratch)
        return written

    def _is_kept(self, column: ExportColumn, total: int) -> bool:
        nulls = self._nulls[column.name]
        return column.keep == "always" or nulls == 0 or (column.keep == "if_any" and nulls < total)

    def _write_split(self, split: str, written: Written, limits: ShardLimits) -> None:
        schema = arrow_schema(written.columns)
        shards = _ShardWriter(self._scratch / split, schema, limits)
        for rows in in_order(self._file(split), self._bytes[split], self._scratch, limits.sort_memory_mb):
            shards.add(rows.select(schema.names).cast(schema))
        counts = shards.close()
        if sum(counts) != self._rows[split]:
            raise InvariantBroken(
                f"config {self.spec.name}: {self._rows[split]} {split} rows were spooled, {sum(counts)} were written"
            )
        folder = self.directory / self.spec.name
        folder.mkdir(exist_ok=True)
        names = []
        for number, rows_in_shard in enumerate(counts):
            name = f"{self.spec.name}/{split}-{number:05d}-of-{len(counts):05d}.parquet"
            shards.path(number).rename(self.directory / name)
            names.append(name)
            written.file_rows[name] = rows_in_shard
        written.rows[split], written.files[split] = self._rows[split], names


class _ShardWriter:
    """Cuts a stream of rows into row groups and shards."""

    def __init__(self, scratch: Path, schema: pa.Schema, limits: ShardLimits) -> None:
        self._scratch, self._schema, self._limits = scratch, schema, limits
        scratch.mkdir()
        self._waiting: list[pa.Table] = []
        self._waiting_rows = self._waiting_bytes = 0
        self._writer: Any = None
        self._counts: list[int] = []
        self._shard_bytes = 0

    def path(self, number: int) -> Path:
        return self._scratch / f"{number}.parquet"

    def add(self, rows: pa.Table) -> None:
        sizes = row_bytes(rows)
        start = 0
        for end in range(1, len(sizes) + 1):  # a greedy cut depends on every row before it
            size = int(sizes[end - 1])
            if self._waiting_rows and self._is_full(size):
                self._keep(rows.slice(start, end - 1 - start))
                self._flush()
                start = end - 1
            self._waiting_rows += 1
            self._waiting_bytes += size
        self._keep(rows.slice(start))

    def _is_full(self, next_size: int) -> bool:
        group = self._waiting_rows >= ROW_GROUP_ROWS or self._waiting_bytes + next_size > ROW_GROUP_BYTES
        in_shard = (self._counts[-1] if self._writer is not None else 0) + self._waiting_rows
        return group or in_shard >= self._limits.rows

    def _keep(self, rows: pa.Table) -> None:
        if rows.num_rows:
            self._waiting.append(rows)

    def _flush(self) -> None:
        if not self._waiting_rows:
            return
        # one chunk a column: the pages of a Parquet file follow the chunks, and these follow the sort's batches
        group = pa.concat_tables(self._waiting).combine_chunks()
        if self._writer is not None and (
            self._counts[-1] + group.num_rows > self._limits.rows
            or self._shard_bytes + self._waiting_bytes > self._limits.megabytes * 2**20
        ):
            self._writer.close()
            self._writer = None
        if self._writer is None:
            self._writer = pq.ParquetWriter(self.path(len(self._counts)), self._schema, compression="zstd")
            self._counts.append(0)
            self._shard_bytes = 0
        self._writer.write_table(group, row_group_size=group.num_rows)
        self._counts[-1] += group.num_rows
        self._shard_bytes += self._waiting_bytes
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0
        if self._counts[-1] >= self._limits.rows:
            self._writer.close()
            self._writer = None

    def close(self) -> list[int]:
        """Write what waits; rows of every shard, in order."""
        self._flush()
        if self._writer is not None:
            self._writer.close()
        return self._counts


def row_bytes(table: pa.Table) -> npt.NDArray[np.int64]:
    """Bytes of every row's values, nested ones included; a function of the values, not of their layout."""
    total = np.zeros(table.num_rows, np.int64)
    for column in table.combine_chunks().columns:
        array = column.chunk(0) if column.num_chunks else None
        if array is not None:
            total += _bytes(array)
    return total


def _bytes(array: Any) -> npt.NDArray[np.int64]:
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return np.asarray(pc.fill_null(pc.binary_length(array), 0), np.int64) + 4
    if pa.types.is_struct(kind):
        fields = array.flatten()  # a null struct has null fields
        return np.asarray(sum((_bytes(f) for f in fields), np.zeros(len(array), np.int64)), np.int64)
    if pa.types.is_list(kind):
        lengths = np.asarray(pc.fill_null(pc.list_value_length(array), 0), np.int64)
        ends = np.cumsum(lengths)
        sums = np.concatenate(([0], np.cumsum(_bytes(array.flatten()))))
        return np.asarray(sums[ends] - sums[ends - lengths] + 4, np.int64)
    return np.full(len(array), max(1, kind.bit_width // 8), np.int64)
