"""Files of answers, read a chunk at a time: JSON Lines, CSV, TSV and Parquet, plain or compressed, here or at a URL.

Invariants: memory holds one chunk, whatever the size of the file; what cannot be read of a row is a `RowError` at its
line; a cell of a CSV file is text as it stands there; rows of one problem that follow each other stay in one chunk (up
to a bound), because a vote looks at them together.
"""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from synthflow.errors import UserError
from synthflow.io import files
from synthflow.io.json_lines import json_lines, json_rows
from synthflow.io.parquet import parquet_columns, parquet_file
from synthflow.io.paths import label
from synthflow.io.rows import Row, RowError, columns_of, first_rows

Format = Literal["jsonl", "csv", "tsv", "parquet"]

CHUNK_ROWS = 1024
CHUNK_BYTES = 16 * 1024 * 1024
MOST_ROWS_TOGETHER = 16 * CHUNK_ROWS
_FORMATS: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows. `raw` holds the lines of JSON Lines as they stand, `arrow` the columns of Parquet as they are."""

    rows: list[Row]
    raw: list[bytes] | None = None
    arrow: pa.Table | None = None


def format_of(path: str) -> Format:
    """The format that a file's suffix names.

    Raises:
        UserError: if it names none.
    """
    suffixes = [s.lower() for s in PurePath(path.partition("?")[0]).suffixes]
    packed = bool(suffixes) and suffixes[-1] in files.COMPRESSIONS
    found = _FORMATS.get(suffixes[-2] if packed and len(suffixes) > 1 else suffixes[-1] if suffixes else "")
    if found is None or (packed and found == "parquet"):
        raise UserError(
            f"{label(path)}: its name does not say which format it is; expected {', '.join(_FORMATS)}, "
            f"of which all but .parquet may be followed by {', '.join(files.COMPRESSIONS)}"
        )
    return found


class AnswerFile(ABC):
    """A file of answers. `path` is absolute, relative to the working folder, or a URL."""

    def __init__(self, path: str) -> None:
        self.path = path

    @abstractmethod
    def columns(self) -> list[str]:
        """Column names; of JSON Lines, those of the first rows."""

    @abstractmethod
    def chunks(self, together: str | None, wanted: Sequence[str] | None) -> Iterator[Chunk]:
        """The rows in order.

        Args:
            together: the column whose equal neighbours stay in one chunk.
            wanted: columns that `Chunk.rows` must hold; None for all.
        """

    def count(self) -> int | None:
        """Rows, where that is known without reading them."""
        return None


def open_answers(path: str) -> AnswerFile:
    """The reader of a file.

    Raises:
        UserError: for a format that is none of ours.
    """
    kind = format_of(path)
    if kind == "parquet":
        return ParquetAnswers(path)
    return JsonAnswers(path) if kind == "jsonl" else CsvAnswers(path, "\t" if kind == "tsv" else ",")


class _LineAnswers(AnswerFile):
    @abstractmethod
    def rows(self) -> Iterator[tuple[Row, bytes, int]]:
        """Rows with their line as it stands (JSON Lines) and their size in bytes."""

    def chunks(self, together: str | None, wanted: Sequence[str] | None) -> Iterator[Chunk]:
        rows: list[Row] = []
        raw: list[bytes] = []
        held, key = 0, None
        for row, line, size in self.rows():
            values = row.values
            following = values.get(together) if together and isinstance(values, Mapping) else None
            full = len(rows) >= CHUNK_ROWS or held >= CHUNK_BYTES
            if full and (following is None or following != key or len(rows) >= MOST_ROWS_TOGETHER):
                yield Chunk(rows, raw)
                rows, raw, held = [], [], 0
            rows.append(row)
            raw.append(line)
            held, key = held + size, following
        if rows:
            yield Chunk(rows, raw)


class JsonAnswers(_LineAnswers):
    """JSON Lines: one object a line; blank lines are skipped."""

    def rows(self) -> Iterator[tuple[Row, bytes, int]]:
        for row, line in json_lines(self.path):
            yield row, b"" if isinstance(row.values, RowError) else line, len(line)

    def columns(self) -> list[str]:
        return columns_of(first_rows(json_rows(self.path)))


class CsvAnswers(_LineAnswers):
    """Comma- or tab-separated values with a header, quoted as RFC 4180 has it."""

    def __init__(self, path: str, delimiter: str) -> None:
        super().__init__(path)
        self.delimiter = delimiter

    def _records(self, stream: Any) -> Iterator[tuple[int, list[str] | RowError]]:
        """First line and cells of each record. What is not UTF-8 comes as lone surrogates, so that reading goes on."""
        csv.field_size_limit(files.MAX_LINE_BYTES)
        text = (line.decode("utf-8", "surrogateescape") for line in files.lines(stream))
        reader = csv.reader(text, delimiter=self.delimiter, strict=True)
        while True:
            start = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield start, RowError(f"not CSV: {error}", 'a quote inside of quotes is written ""')
                continue
            if cells:
                yield start, cells

    def _header(self, first: tuple[int, list[str] | RowError] | None) -> list[str]:
        name = label(self.path)
        cells = [] if first is None else first[1]
        if isinstance(cells, RowError):
            raise UserError(f"{name}:1: {cells.what}")
        if not cells or _is_broken(cells):
            raise UserError(f"{name}:1: no header; the first line must name the columns, in UTF-8")
        twice = sorted({c for c in cells if cells.count(c) > 1})
        if twice:
            raise UserError(f"{name}:1: two columns are called {twice[0]!r}; rename one")
        return cells

    def rows(self) -> Iterator[tuple[Row, bytes, int]]:
        name = label(self.path)
        with files.opened(self.path) as stream:
            records = self._records(stream)
            header = self._header(next(records, None))
            for number, cells in records:
                if isinstance(cells, RowError):
                    yield Row(name, number, cells), b"", 0
                elif len(cells) != len(header):
                    wrong = RowError(f"{len(cells)} cells, but {len(header)} columns", "quote cells that hold commas")
                    yield Row(name, number, wrong), b"", 0
                elif _is_broken(cells):
                    yield Row(name, number, RowError("not UTF-8", "save the file as UTF-8")), b"", 0
                else:
                    yield Row(name, number, dict(zip(header, cells, strict=True))), b"", sum(map(len, cells))

    def chunks(self, together: str | None, wanted: Sequence[str] | None) -> Iterator[Chunk]:
        for chunk in super().chunks(together, wanted):
            yield Chunk(chunk.rows)

    def columns(self) -> list[str]:
        with files.opened(self.path) as stream:
            return self._header(next(self._records(stream), None))


class ParquetAnswers(AnswerFile):
    """Parquet: the columns stay as they are."""

    def columns(self) -> list[str]:
        return parquet_columns(self.path)[0]

    def count(self) -> int | None:
        return parquet_columns(self.path)[1]

    def schema(self) -> pa.Schema:
        with parquet_file(self.path) as file:
            schema: pa.Schema = file.schema_arrow
        return schema

    def chunks(self, together: str | None, wanted: Sequence[str] | None) -> Iterator[Chunk]:
        name, number = label(self.path), 0
        for table in self._tables(together):
            values = (table.select([n for n in table.column_names if n in wanted]) if wanted else table).to_pylist()
            rows = [Row(name, number + i, one, "row") for i, one in enumerate(values, start=1)]
            number += len(rows)
            yield Chunk(rows, arrow=table)

    def _tables(self, together: str | None) -> Iterator[pa.Table]:
        with parquet_file(self.path) as file:
            held = file.schema_arrow.empty_table()
            # Half a chunk at once: those of a problem are put together below.
            for batch in file.iter_batches(batch_size=CHUNK_ROWS // 2):
                held = pa.concat_tables([held, pa.Table.from_batches([batch])])
                cut = _cut(held, together)
                if cut:
                    yield held.slice(0, cut)
                    held = held.slice(cut)
            if held.num_rows:
                yield held


def _cut(table: pa.Table, together: str | None) -> int:
    """Rows that may be handed out: all, or those before the last problem, which may go on."""
    rows = table.num_rows
    if rows < CHUNK_ROWS and table.nbytes < CHUNK_BYTES:
        return 0
    if together is None or rows >= MOST_ROWS_TOGETHER or pa.types.is_nested(table.schema.field(together).type):
        return rows
    differs: Any = pc.not_equal(table[together].combine_chunks(), table[together][rows - 1])
    places: Any = pc.indices_nonzero(pc.fill_null(differs, True))
    return int(places[-1].as_py()) + 1 if len(places) else 0


def _is_broken(cells: Sequence[str]) -> bool:
    return any("\ud800" <= sign <= "\udfff" for cell in cells if not cell.isascii() for sign in cell)
