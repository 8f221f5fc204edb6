"""Rows in any order come in; shards in one order, cut the same way every time, go out.

Row groups and shards have boundaries that are a function of the rows alone: neither the partitions, nor the tables in
which rows come, nor the number of threads can move a byte. Rows are written as soon as their order is known (see
`ordering`), so that which columns a config keeps is known last: where it turns out otherwise than the rows so far said,
what was written is written again, which happens once a column at most. Memory is bounded by what `ordering` takes, and
one row group.

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
from synthflow.stages.export.columns import ConfigSpec, ExportColumn, Keep, arrow_schema
from synthflow.stages.export.ordering import KEYS, InOrder
from synthflow.stores.files import link_or_copy

ROW_GROUP_BYTES = 64 * 2**20
ROW_GROUP_ROWS = 16_384
WAITING_BYTES = 16 * 2**20
SPLITS = ("train", "validation")


@dataclass(frozen=True)
class ShardLimits:
    """When a shard is full. `sort_memory_mb` bounds what is held of rows that have to wait for others."""

    rows: int
    megabytes: int
    sort_memory_mb: int

    @property
    def waiting_bytes(self) -> int:
        """Rows that wait in memory: sorting them takes as much again, and some configs wait at once."""
        return min(WAITING_BYTES, self.sort_memory_mb * 2**20 // 8)


@dataclass
class Written:
    """What became of one config: kept columns, and per split the rows and files (relative to the release).

    `nulls` counts those of every column, kept or not. `hashes` has the sha256 of files that were there before.
    """

    columns: tuple[ExportColumn, ...] = ()
    rows: dict[str, int] = field(default_factory=dict)
    files: dict[str, list[str]] = field(default_factory=dict)
    file_rows: dict[str, int] = field(default_factory=dict)
    nulls: dict[str, int] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)


class ColumnsDiffer(Exception):
    """With what was added a config has other columns than the files that were there."""


@dataclass(frozen=True)
class Before:
    """A config of an earlier release, in whose folder its files lie."""

    folder: Path
    written: Written


class Spool:
    """Takes the rows of one config and writes its shards.

    Args:
        ranked: rows may have a rank, which comes before the problem in their order.
        before: files whose rows come before all others.
    """

    def __init__(
        self,
        spec: ConfigSpec,
        directory: Path,
        scratch: Path,
        limits: ShardLimits,
        *,
        ranked: bool = True,
        before: Before | None = None,
    ) -> None:
        self.spec, self.directory, self._limits = spec, directory, limits
        self._before = before or Before(directory, Written())
        self._by_problem = not (ranked or spec.shuffled)
        self._scratch = scratch / spec.name
        self._scratch.mkdir(parents=True)
        self._schema = pa.schema([*spec.schema, *KEYS])
        self._nulls = dict.fromkeys(spec.schema.names, 0) | self._before.written.nulls
        self._rows = dict.fromkeys(SPLITS, 0) | self._before.written.rows
        self._order = {split: InOrder(self._scratch / f"{split}-waits", limits.waiting_bytes) for split in SPLITS}
        self._kept: tuple[ExportColumn, ...] = ()
        self._writers: dict[str, ShardWriter] = {}

    def add(self, table: pa.Table) -> None:
        """Take rows: the spec's columns, those of `KEYS`, and the boolean `_held` (out for validation).

        Raises:
            InvariantBroken: for a null in a column that is always there.
        """
        held = table.column("_held")
        rows = table.select(self._schema.names).cast(self._schema)
        for column in self.spec.columns:
            nulls = rows.column(column.name).null_count
            self._nulls[column.name] += nulls
            if nulls and column.keep == "always":
                raise InvariantBroken(f"config {self.spec.name}: {nulls} null values in {column.name!r}")
        parts = {"train": rows}
        if pc.any(held).as_py():
            parts = {"train": rows.filter(pc.invert(held)), "validation": rows.filter(held)}
        for split, part in parts.items():
            self._rows[split] += part.num_rows
            self._order[split].add(part)

    def advance(self, before: str | None) -> None:
        """Write what can be written now.

        Args:
            before: the least problem that may still come; None if any may.
        """
        for split in SPLITS:
            for ready in self._order[split].advance(before if self._by_problem else None):
                self._write(split, ready)

    def finish(self) -> Written:
        """Write what still waits, and name the shards; the scratch folder goes.

        Raises:
            ColumnsDiffer: if the files that come before have other columns.
        """
        for split in SPLITS:
            for ready in self._order[split].finish():
                self._write(split, ready)
        kept = self._kept_columns() if any(self._rows.values()) else ()
        if self._before.written.rows and kept != self._before.written.columns:
            raise ColumnsDiffer(self.spec.name)
        written = Written(kept, nulls=self._nulls)
        for split in SPLITS:
            self._name(split, written)
        shutil.rmtree(self._scratch)
        return written

    def _write(self, split: str, rows: pa.Table) -> None:
        kept = self._kept_columns()
        if kept != self._kept:
            self._kept = kept
            self._writers = {name: writer.anew(arrow_schema(kept)) for name, writer in self._writers.items()}
        if split not in self._writers:
            self._writers[split] = ShardWriter(self._scratch / split, arrow_schema(kept), self._limits)
        self._writers[split].add(rows)

    def _kept_columns(self) -> tuple[ExportColumn, ...]:
        """The columns that all rows so far would have; more rows may say otherwise."""
        total = sum(self._rows.values())
        return tuple(c for c in self.spec.columns if is_kept(c.keep, self._nulls[c.name], total))

    def _name(self, split: str, written: Written) -> None:
        before, writer = self._before.written, self._writers.get(split)
        old = before.files.get(split, [])
        counts = [*(before.file_rows[name] for name in old), *(writer.close() if writer is not None else ())]
        if sum(counts) != self._rows[split]:
            raise InvariantBroken(
                f"config {self.spec.name}: {self._rows[split]} {split} rows came, {sum(counts)} were written"
            )
        if not counts:
            return
        folder = self.directory / self.spec.name
        folder.mkdir(exist_ok=True)
        names = [f"{self.spec.name}/{split}-{n:05d}-of-{len(counts):05d}.parquet" for n in range(len(counts))]
        for number, name in enumerate(names):
            if number < len(old):
                link_or_copy(self._before.folder / old[number], self.directory / name)
                written.hashes[name] = before.hashes[old[number]]
            elif writer is not None:
                writer.path(number - len(old)).rename(self.directory / name)
        written.file_rows |= dict(zip(names, counts, strict=True))
        written.rows[split], written.files[split] = self._rows[split], names


def is_kept(keep: Keep, nulls: int, total: int) -> bool:
    """Whether a column with so many nulls is in the files."""
    return keep == "always" or nulls == 0 or (keep == "if_any" and nulls < total)


class ShardWriter:
    """Cuts a stream of rows into row groups and shards. Rows may have more columns than the schema."""

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

    def anew(self, schema: pa.Schema) -> ShardWriter:
        """A writer of other columns that has taken the same rows. A column that was not written held nulls alone."""
        if self._writer is not None:
            self._writer.close()
        aside = self._scratch.with_name(f"{self._scratch.name}-before")
        self._scratch.rename(aside)
        writer = ShardWriter(self._scratch, schema, self._limits)
        for number in range(len(self._counts)):
            with pq.ParquetFile(aside / f"{number}.parquet") as file:
                for group in range(file.num_row_groups):
                    writer.add(_with_nulls(file.read_row_group(group), schema))
        for rows in self._waiting:
            writer.add(_with_nulls(rows, schema))
        shutil.rmtree(aside)
        return writer

    def add(self, rows: pa.Table) -> None:
        rows = rows.select(self._schema.names)
        upto = np.cumsum(row_bytes(rows))
        start = 0
        while start < rows.num_rows:  # a greedy cut depends on every row before it
            end = self._end(start, upto)
            self._waiting.append(rows.slice(start, end - start))
            self._waiting_rows += end - start
            self._waiting_bytes += int(upto[end - 1]) - (int(upto[start - 1]) if start else 0)
            if end < rows.num_rows:
                self._flush()
            start = end

    def _end(self, start: int, upto: npt.NDArray[np.int64]) -> int:
        """How far the rows from `start` go into the row group that waits."""
        written = int(upto[start - 1]) if start else 0
        room = ROW_GROUP_BYTES - self._waiting_bytes + written
        in_shard = self._counts[-1] if self._writer is not None else 0
        most = min(ROW_GROUP_ROWS, self._limits.rows - in_shard) - self._waiting_rows
        end = min(int(np.searchsorted(upto, room, side="right")), start + most, len(upto))
        if end <= start:
            if self._waiting_rows:
                self._flush()
                return self._end(start, upto)
            return start + 1
        return end

    def _flush(self) -> None:
        if not self._waiting_rows:
            return
        # one chunk a column: the pages of a Parquet file follow the chunks, and these follow the tables that came
        group = pa.concat_tables(self._waiting).combine_chunks().cast(self._schema)
        size = self._waiting_bytes
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0
        if self._writer is not None and (
            self._counts[-1] + group.num_rows > self._limits.rows
            or self._shard_bytes + size > self._limits.megabytes * 2**20
        ):
            self._writer.close()
            self._writer = None
        if self._writer is None:
            self._writer = pq.ParquetWriter(self.path(len(self._counts)), self._schema, compression="zstd")
            self._counts.append(0)
            self._shard_bytes = 0
        self._writer.write_table(group, row_group_size=group.num_rows)
        self._counts[-1] += group.num_rows
        self._shard_bytes += size
        if self._counts[-1] >= self._limits.rows:
            self._writer.close()
            self._writer = None

    def close(self) -> list[int]:
        """Write what waits; rows of every shard, in order."""
        self._flush()
        if self._writer is not None:
            self._writer.close()
        return self._counts


def _with_nulls(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    names, count = set(rows.column_names), rows.num_rows
    columns = [rows.column(field.name) if field.name in names else pa.nulls(count, field.type) for field in schema]
    return pa.table(columns, schema=schema)


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
