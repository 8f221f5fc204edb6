"""Rows of JSON Lines and Parquet files, one after the other.

Invariant: a file is never held as a whole; a line has a largest size; what cannot be read of a row is a `RowError`
at its line, and what cannot be read of a file is a `UserError` that names it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from synthflow.errors import UserError
from synthflow.io.rows import ExactFloat, Row, RowError

MAX_LINE_BYTES = 16 * 1024 * 1024
_COMPRESSION: dict[str, Literal["gzip", "bz2", "zstd", "lz4"]] = {
    ".gz": "gzip",
    ".bz2": "bz2",
    ".zst": "zstd",
    ".lz4": "lz4",
}
_PARQUET_ROWS = 512


def anchored(path: Any, base_dir: Path) -> Any:
    """A path, or each of a list, made absolute; URLs and what is no text stay as they are."""
    if isinstance(path, list | tuple):
        return [anchored(one, base_dir) for one in path]
    if not isinstance(path, str) or "://" in path or not path or "\0" in path:
        return path
    try:
        return str(base_dir / Path(path).expanduser())
    except RuntimeError:  # ~nobody: no such user, so that it is a name like any other
        return str(base_dir / path)


def expand(paths: Sequence[str]) -> list[str]:
    """Files that `paths` name, in their order; a pattern's matches are sorted, so that disks do not decide.

    Raises:
        UserError: for a path that leads to no file, with the nearest name in its folder.
    """
    found: list[str] = []
    for path in paths:
        if "://" in path:
            found.extend(_expand_url(path))
        elif "\0" in path or not path:
            raise UserError(f"{path!r} is no path")
        else:
            try:
                found.extend([path] if Path(path).is_file() else _expand_pattern(path))
            except OSError as error:
                raise UserError(f"{label(path)[:200]}: cannot be opened: {_reason(error)}") from error
    return list(dict.fromkeys(found))


def label(path: str) -> str:
    """A path as a person here would type it."""
    try:
        return str(Path(path).relative_to(Path.cwd())) if "://" not in path else path
    except ValueError:
        return path


def json_rows(path: str) -> Iterator[Row]:
    """Rows of a JSON Lines file, plain or compressed (.gz, .bz2, .zst, .lz4); blank lines are skipped."""
    name = label(path)
    try:
        with open_bytes(path) as stream:
            for number, line in enumerate(lines(stream), start=1):
                if not line.strip():
                    continue
                try:
                    yield Row(name, number, parse_json(line))
                except RowError as error:
                    yield Row(name, number, error)
    except (OSError, pa.ArrowException, EOFError) as error:
        raise UserError(f"{name}: cannot be read: {_reason(error)}") from error


def parse_json(line: bytes) -> Mapping[str, Any]:
    """One JSON object; floats remember their text.

    Raises:
        RowError: if it is anything else.
    """
    if len(line) > MAX_LINE_BYTES:
        raise RowError(f"longer than {MAX_LINE_BYTES} bytes", "one JSON object a line")
    try:
        text = line.decode("utf-8")
        value = json.loads(
            text, parse_float=ExactFloat.parse, parse_constant=_no_constant, object_pairs_hook=_no_key_twice
        )
    except RowError:
        raise
    except UnicodeDecodeError as error:
        raise RowError(f"not UTF-8 (byte {error.start})", "save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        raise RowError(f"not JSON: {error.msg} at column {error.colno}", "one JSON object a line") from error
    except RecursionError as error:
        raise RowError("nested too deeply", "one flat JSON object a line") from error
    except ValueError as error:
        raise RowError("a whole number with too many digits", "write it as text, in quotes") from error
    if not isinstance(value, dict):
        raise RowError("not a JSON object", 'one JSON object a line, such as {"prompt": ..., "answer": ...}')
    return value


def parquet_rows(path: str) -> Iterator[Row]:
    """Rows of a Parquet file, a row group's batch at a time."""
    name = label(path)
    try:
        with open_bytes(path) as stream, pq.ParquetFile(stream) as file:
            number = 0
            for batch in file.iter_batches(batch_size=_PARQUET_ROWS):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(name, number, values, "row")
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{name}: cannot be read as Parquet: {_reason(error)}") from error


def parquet_columns(path: str) -> tuple[list[str], int]:
    """Column names and number of rows, from the footer."""
    try:
        with open_bytes(path) as stream, pq.ParquetFile(stream) as file:
            return list(file.schema_arrow.names), int(file.metadata.num_rows)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{label(path)}: cannot be read as Parquet: {_reason(error)}") from error


def open_bytes(path: str) -> Any:
    """A buffered stream of the file's bytes, decompressed by its ending."""
    raw: Any
    compression = _COMPRESSION.get(Path(path).suffix.lower())
    if "://" not in path:
        raw = pa.OSFile(path, "rb")
    else:
        raw = pa.PythonFile(_open_url(path), "r")
    if compression is None:
        return raw if path.endswith(".parquet") else io.BufferedReader(raw, 1 << 20)
    return io.BufferedReader(pa.CompressedInputStream(raw, compression), 1 << 20)


def lines(stream: Any) -> Iterator[bytes]:
    """Lines of a stream, without a byte order mark; of an endless one its first `MAX_LINE_BYTES` + 1 bytes."""
    first = True
    while line := stream.readline(MAX_LINE_BYTES + 1):
        yield line.removeprefix(b"\xef\xbb\xbf") if first else line
        first = False
        while len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            # The rest of an endless line: it was handed out as too long, and is skipped.
            line = stream.readline(MAX_LINE_BYTES + 1)


def _no_constant(text: str) -> Any:
    raise RowError(f"{text} is no JSON number", "use null where there is no value")


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise RowError(f"the key {twice[:40]!r} stands twice", "keep one")
    return made


def _open_url(path: str) -> Any:
    import fsspec

    try:
        return fsspec.open(path, "rb").open()
    except Exception as error:  # every file system has errors of its own
        raise UserError(f"{path}: cannot be opened: {_reason(error)}") from error


def _expand_url(path: str) -> list[str]:
    if not any(c in path for c in "*?["):
        return [path]
    import fsspec

    try:
        scheme = path.partition("://")[0]
        files = sorted(f"{scheme}://{f.path.removeprefix('/')}" for f in fsspec.open_files(path, "rb"))
    except Exception as error:  # every file system has errors of its own
        raise UserError(f"{path}: cannot be opened: {_reason(error)}") from error
    if not files:
        raise UserError(f"no file matches {path}")
    return files


def _expand_pattern(path: str) -> list[str]:
    if any(c in path for c in "*?["):
        # Path.glob takes relative patterns only: what stands before the first wildcard is the folder.
        parts = Path(path).parts
        fixed = next(i for i, part in enumerate(parts) if any(c in part for c in "*?["))
        found = sorted(str(f) for f in Path(*parts[:fixed]).glob("/".join(parts[fixed:])) if f.is_file())
        if found:
            return found
        raise UserError(f"no file matches {label(path)}")
    here = Path(path)
    if here.is_dir():
        inside = sorted(p.name for p in here.iterdir() if p.is_file())
        hint = f"name its files, such as {label(path)}/*{Path(inside[0]).suffix}" if inside else "it holds no files"
        raise UserError(f"{label(path)} is a folder; {hint}")
    folder = next((p for p in here.parents if p.is_dir()), Path("/"))
    if folder != here.parent:
        raise UserError(f"{label(path)}: no such file; the folder {label(str(here.parent))} does not exist")
    close = get_close_matches(here.name, [p.name for p in folder.iterdir()], n=1, cutoff=0.5)
    raise UserError(f"{label(path)}: no such file" + (f"; did you mean {close[0]!r}?" if close else ""))


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    return text[:200] or type(error).__name__
