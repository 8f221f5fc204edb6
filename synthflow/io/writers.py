"""Files with verdicts, written a chunk at a time in the format that their suffix names.

Invariants: rows keep their order and everything they held (a line of JSON stays byte for byte, with the new fields put
at its end; a Parquet column keeps its type); the file gets its name when it is complete, and a write that fails leaves
nothing behind.
"""

from __future__ import annotations

import io
import json
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from synthflow.errors import UserError
from synthflow.io.columns import ADDED
from synthflow.io.files import COMPRESSIONS
from synthflow.io.paths import label
from synthflow.io.readers import AnswerFile, Chunk, ParquetAnswers, format_of
from synthflow.io.rows import Row, RowError
from synthflow.stores.files import no_space_is_clear, written_aside

Added: TypeAlias = Mapping[str, Any]
"""The added columns of one row, by name in the order of `ADDED`."""

_TEXT, _NUMBER = pa.string(), pa.float64()
_TYPES = pa.schema([pa.field(name, _NUMBER if name == "value" else _TEXT) for name in ADDED])


class Writer(ABC):
    """Writes chunks with their verdicts; closed when the last one is written."""

    @abstractmethod
    def write(self, chunk: Chunk, added: Sequence[Added]) -> None:
        """Append rows.

        Raises:
            UserError: if a row holds what the format cannot; the message names the row.
        """

    @abstractmethod
    def close(self) -> None: ...


def is_there(path: str) -> bool:
    """Whether something is at `path`, a file or a URL."""
    if "://" not in path:
        return Path(path).resolve().exists()  # a/../b is b, whether there is an a or not
    import fsspec

    fs, inside = fsspec.core.url_to_fs(path)
    return bool(fs.exists(inside))


@contextmanager
def writing(path: str, source: AnswerFile) -> Iterator[Writer]:
    """A writer of `path`, which is there when the block ends well, and is untouched when it does not.

    Raises:
        UserError: if the place cannot be written to.
        NoSpace: if the disk is full.
    """
    kind = format_of(path)
    schema = _schema(source) if kind == "parquet" else None
    with _aside(path) as aside, no_space_is_clear(Path(path)):
        writer: Writer
        if schema is not None:
            writer = _ParquetWriter(aside, schema)
        else:
            stream = _stream(aside, path)
            if kind == "jsonl":
                writer = _JsonWriter(stream)
            else:
                writer = _CsvWriter(stream, source.columns(), "\t" if kind == "tsv" else ",")
        try:
            yield writer
        finally:
            writer.close()


@contextmanager
def _aside(path: str) -> Iterator[Path]:
    try:
        if "://" not in path:
            with written_aside(Path(path)) as aside:
                yield aside
            return
        import fsspec

        fs, inside = fsspec.core.url_to_fs(path)
        # An object appears when it is complete, so one upload at the end is the rename.
        with tempfile.TemporaryDirectory(prefix="synthflow-verify-") as folder:
            here = Path(folder) / "out"
            yield here
            fs.put_file(str(here), inside)
    except OSError as error:
        raise UserError(f"{label(path)}: cannot be written: {error.strerror or error}") from error


def _stream(aside: Path, path: str) -> Any:
    raw: Any = pa.OSFile(str(aside), "wb")
    codec = COMPRESSIONS.get(Path(path).suffix.lower())
    return io.BufferedWriter(raw if codec is None else _Closing(raw, codec), 1 << 20)


class _Closing(io.RawIOBase):
    """A compressed stream that closes the file under it too."""

    def __init__(self, raw: Any, codec: Literal["gzip", "bz2", "zstd", "lz4"]) -> None:
        self._raw, self._packed = raw, pa.CompressedOutputStream(raw, codec)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._packed.write(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._packed.close()
            self._raw.close()
        super().close()


def plain(value: Any) -> Any:
    """What JSON has no type for, as text."""
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"a {type(value).__name__}")


def _json(value: Any, row: Row) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=plain).encode("utf-8", "backslashreplace").decode()
    except TypeError as error:
        raise UserError(f"{row.where}: it holds {error}, which JSON has no type for; write .parquet") from error


class _JsonWriter(Writer):
    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, chunk: Chunk, added: Sequence[Added]) -> None:
        raw = chunk.raw or [b""] * len(chunk.rows)
        for row, line, more in zip(chunk.rows, raw, added, strict=True):
            self.stream.write(self._line(row, line, more) + b"\n")

    def _line(self, row: Row, line: bytes, more: Added) -> bytes:
        if isinstance(row.values, RowError):
            return _json({"bad_row": row.where, **more}, row).encode()
        if line and not any(name in row.values for name in ADDED):
            # What stood there stays as it was written: numbers keep their digits.
            start = line[:-1].rstrip()
            return start + (b", " if row.values else b"") + _json(more, row).encode()[1:]
        return _json({**{k: v for k, v in row.values.items() if k not in ADDED}, **more}, row).encode()

    def close(self) -> None:
        self.stream.close()


class _CsvWriter(Writer):
    """A cell is quoted where it must be; the library's own writer leaves a bare carriage return unquoted."""

    def __init__(self, stream: Any, columns: Sequence[str], delimiter: str) -> None:
        self.stream, self.delimiter = stream, delimiter
        self.columns = [name for name in columns if name not in ADDED]
        self._known = {*columns, *ADDED}
        self._line([*self.columns, *ADDED])

    def write(self, chunk: Chunk, added: Sequence[Added]) -> None:
        for row, more in zip(chunk.rows, added, strict=True):
            values: Mapping[str, Any] = {} if isinstance(row.values, RowError) else row.values
            strange = next((name for name in values if name not in self._known), None)
            if strange is not None:
                what = f"the column {strange!r} stands in none of the first rows, and a header is written first"
                raise UserError(f"{row.where}: {what}; write .jsonl or .parquet")
            cells = [*(values.get(name) for name in self.columns), *more.values()]
            self._line([_cell(value, row) for value in cells])

    def _line(self, cells: Sequence[str]) -> None:
        text = self.delimiter.join(self._quoted(cell) for cell in cells) + "\n"
        self.stream.write(text.encode("utf-8", "backslashreplace"))

    def _quoted(self, cell: str) -> str:
        if any(sign in cell for sign in ('"', "\r", "\n", self.delimiter)):
            return '"' + cell.replace('"', '""') + '"'
        return cell

    def close(self) -> None:
        self.stream.close()


def _cell(value: Any, row: Row) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool | Mapping | list):
        return _json(value, row)
    return str(getattr(value, "text", value))  # a number as it stood in the file


class _ParquetWriter(Writer):
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.schema = schema
        self._file = pq.ParquetWriter(str(path), schema, compression="zstd")

    def write(self, chunk: Chunk, added: Sequence[Added]) -> None:
        names = [name for name in self.schema.names if name not in ADDED]
        columns: list[Any]
        if chunk.arrow is not None:
            columns = [chunk.arrow[name] for name in names]
        else:
            columns = [self._column(name, chunk) for name in names]
        columns += [pa.array([more[name] for more in added], _TYPES.field(name).type) for name in ADDED]
        self._file.write_table(pa.table(columns, schema=self.schema))

    def _column(self, name: str, chunk: Chunk) -> Any:
        values = [None if isinstance(row.values, RowError) else _bare(row.values.get(name)) for row in chunk.rows]
        return pa.array(values, self.schema.field(name).type)

    def close(self) -> None:
        self._file.close()


def _schema(source: AnswerFile) -> pa.Schema:
    """The columns of a file and the added ones. Those of JSON are found by reading it once before.

    Raises:
        UserError: if a column holds values of types that do not go together.
    """
    if isinstance(source, ParquetAnswers):
        given = source.schema()
        kept = [field for field in given if field.name not in ADDED]
        about: Any = given.metadata
        return pa.schema([*kept, *_TYPES], metadata=about)
    types: dict[str, pa.DataType] = {}
    for chunk in source.chunks(None, None):
        for row in chunk.rows:
            if not isinstance(row.values, RowError):
                for name, value in row.values.items():
                    if name not in ADDED:
                        types[name] = _wider(types.get(name, pa.null()), _bare(value), f"{row.where}: {name!r}")
    return pa.schema([*(pa.field(name, kind) for name, kind in types.items()), *_TYPES])


def _wider(known: pa.DataType, value: Any, where: str) -> pa.DataType:
    if isinstance(value, str) and pa.types.is_string(known):
        return known
    try:
        seen = pa.scalar(value).type
        both = pa.unify_schemas([pa.schema([("c", known)]), pa.schema([("c", seen)])], promote_options="permissive")
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        reason = f"holds {type(value).__name__} where rows before hold {known}"
        raise UserError(f"{where} {reason}, and a column of Parquet has one type; write .jsonl") from error
    wider: pa.DataType = both.field("c").type
    return wider


def _bare(value: Any) -> Any:
    """Plain floats, which Arrow knows."""
    if isinstance(value, float):
        return float(value)
    if isinstance(value, list):
        return [_bare(inner) for inner in value]
    return {key: _bare(inner) for key, inner in value.items()} if isinstance(value, dict) else value
