"""Rows of any number in one order, within a memory limit.

Rows come in by and by and go out as soon as nothing can come before them any more; where partitions come in the order
of their problems, that is at once, and nothing is written twice. What has to wait and does not fit into memory is dealt
out into files, each before the next in order, and every file is sorted on its own (a sample sort: the first rows that
have to be dealt say where the files part).

Invariant: the order is that of `KEYS` alone, whatever comes first, in tables of whatever size.
"""

from __future__ import annotations

import shutil
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synthflow.errors import InvariantBroken

KEYS: list[pa.Field[Any]] = [
    pa.field("_rank", pa.float64()),
    pa.field("_problem", pa.string()),
    pa.field("_id", pa.string()),
]
"""What rows are sorted by; a null rank comes last. Rows of equal keys are equal."""
_NAMES = [field.name for field in KEYS]
_FILES = 32
"""Files that rows are dealt out into."""
_DEPTH = 3
"""How often a file that is too large is dealt out once more."""
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


class InOrder:
    """Takes tables with the columns of `KEYS`; gives their rows back in order.

    Args:
        scratch: a folder of ours, made when it is needed.
        most: bytes of rows that wait in memory.
    """

    def __init__(self, scratch: Path, most: int, depth: int = 0) -> None:
        self._scratch, self._most, self._depth = scratch, most, depth
        self._waiting: list[pa.Table] = []
        self._bytes = 0
        self._last = ""
        self._ends: list[_Key] = []
        self._dealt: dict[int, int] = {}  # file -> bytes of its rows in memory

    def add(self, rows: pa.Table) -> None:
        """Take rows, which stay in memory until the next `advance`."""
        self._keep(rows)

    def advance(self, before: str | None) -> Iterator[pa.Table]:
        """Rows that come before all that may follow go out, in order; what is too much for memory is dealt out.

        Args:
            before: where no row has a rank, the least `_problem` that may still come; None if any may.

        Raises:
            InvariantBroken: if a row came after all.
        """
        if before is not None and self._waiting and not self._dealt:
            ready = self._sorted()
            count = int(np.count_nonzero(pc.less(ready.column("_problem"), pa.scalar(before)).to_numpy()))
            self._waiting, self._bytes = [], 0
            if count < ready.num_rows:  # copied, so that what went out is let go
                self._keep(ready.take(pa.array(range(count, ready.num_rows))))
            if count:
                first, last = (ready.column("_problem")[row].as_py() for row in (0, count - 1))
                if first < self._last:
                    raise InvariantBroken(f"rows of problem {first} came after those of {self._last} were written")
                self._last = last
                yield ready.slice(0, count)
        if self._bytes > self._most:
            self._deal()

    def finish(self) -> Iterator[pa.Table]:
        """What still waits, in order."""
        if not self._dealt:
            if self._waiting:
                yield self._sorted()
            return
        self._deal()
        for file, size in sorted(self._dealt.items()):
            yield from self._of_file(file, size)
        shutil.rmtree(self._scratch)

    def _keep(self, rows: pa.Table) -> None:
        if rows.num_rows:
            self._waiting.append(rows)
            self._bytes += rows.nbytes

    def _sorted(self) -> pa.Table:
        return in_order(pa.concat_tables(self._waiting))

    def _deal(self) -> None:
        if not self._waiting:
            return
        rows = self._sorted()
        keys = _Keys(rows)
        if not self._ends:
            self._scratch.mkdir(parents=True)
            self._ends = [keys[n * len(keys) // _FILES] for n in range(1, _FILES)]
        cuts = [0, *(bisect_left(keys, end) for end in self._ends), len(keys)]
        for file, (start, end) in enumerate(pairwise(cuts)):
            if start < end:
                part = rows.slice(start, end - start)
                # a whole stream is appended every time, so that no file has to stay open
                with self._path(file).open("ab") as out, pa.ipc.new_stream(out, part.schema, options=_OPTIONS) as sink:
                    sink.write_table(part)
                self._dealt[file] = self._dealt.get(file, 0) + part.nbytes
        self._waiting, self._bytes = [], 0

    def _of_file(self, file: int, size: int) -> Iterator[pa.Table]:
        tables = _streams(self._path(file))
        if size <= 2 * self._most or self._depth == _DEPTH:
            yield in_order(pa.concat_tables(tables))
        else:
            within = InOrder(self._scratch / f"of-{file}", self._most, self._depth + 1)
            for rows in tables:
                within.add(rows)
                yield from within.advance(None)
            yield from within.finish()
        self._path(file).unlink()

    def _path(self, file: int) -> Path:
        return self._scratch / f"{file}.arrow"


_Key = tuple[bool, float, str, str]


class _Keys:
    """The keys of sorted rows, as what compares as they are ordered."""

    def __init__(self, rows: pa.Table) -> None:
        self._columns = [rows.column(name) for name in _NAMES]
        self._count = rows.num_rows

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, row: int) -> _Key:
        rank, problem, id_ = (column[row].as_py() for column in self._columns)
        return rank is None, rank or 0.0, problem.encode(), id_.encode()


def _streams(path: Path) -> Iterator[pa.Table]:
    """The tables that were appended to a file."""
    size = path.stat().st_size
    with pa.OSFile(str(path), "rb") as file:
        while file.tell() < size:
            with pa.ipc.open_stream(file) as stream:
                yield stream.read_all()


def joined(columns: Sequence[Any], separator: str) -> Any:
    """Columns as one of text, for an `_id` of several."""
    join: Any = pc.binary_join_element_wise
    return join(*(column.cast(pa.string()) for column in columns), separator)


def no_rank(count: int) -> Any:
    """A `_rank` for rows that have none."""
    return pa.nulls(count, pa.float64())


def in_order(rows: pa.Table) -> pa.Table:
    """Rows by their keys; the table itself where it is in order already."""
    keys: list[tuple[str, Literal["ascending", "descending"]]] = [(name, "ascending") for name in _NAMES]
    order = pc.sort_indices(rows, sort_keys=keys)  # nulls go last
    if (np.diff(order.to_numpy()) == 1).all():
        return rows
    return rows.take(order)
