"""Files and URLs as streams of bytes or lines, plain or compressed.

Invariant: a file is never held as a whole; a line has a largest size; what cannot be read of a file is a `UserError`
that names it.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from synthflow.errors import UserError
from synthflow.ids import content_id
from synthflow.io.paths import label, reason

MAX_LINE_BYTES = 16 * 1024 * 1024
COMPRESSIONS: Mapping[str, Literal["gzip", "bz2", "zstd", "lz4"]] = {
    ".gz": "gzip",
    ".bz2": "bz2",
    ".zst": "zstd",
    ".lz4": "lz4",
}
"""Codecs by the ending of a name."""


@contextmanager
def opened(path: str, kind: str = "") -> Iterator[Any]:
    """A buffered stream of the file's bytes, decompressed by its ending.

    Args:
        kind: what the file should be, for the message: ` as Parquet`.

    Raises:
        UserError: whatever a file system or a decoder finds while the block reads.
    """
    try:
        with _open_bytes(path) as stream:
            yield stream
    except (OSError, pa.ArrowException, EOFError) as error:
        raise UserError(f"{label(path)}: cannot be read{kind}: {reason(error)}") from error


def content_of(paths: Sequence[str]) -> str | None:
    """H(names and bytes of some files, in order); None if one is a URL, which would have to be loaded for it.

    Raises:
        UserError: if one cannot be read.
    """
    if any("://" in path for path in paths):
        return None
    held = []
    for path in paths:
        try:
            with Path(path).open("rb") as stream:
                held.append((Path(path).name, hashlib.file_digest(stream, "blake2b").hexdigest()))
        except OSError as error:
            raise UserError(f"{label(path)}: cannot be read: {reason(error)}") from error
    return content_id("z", held)


def lines(stream: Any) -> Iterator[bytes]:
    """Lines of a stream, without a byte order mark; of an endless one its first `MAX_LINE_BYTES` + 1 bytes."""
    first = True
    while line := stream.readline(MAX_LINE_BYTES + 1):
        yield line.removeprefix(b"\xef\xbb\xbf") if first else line
        first = False
        while len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            # The rest of an endless line: it was handed out as too long, and is skipped.
            line = stream.readline(MAX_LINE_BYTES + 1)


def _open_bytes(path: str) -> Any:
    raw: Any
    compression = COMPRESSIONS.get(Path(path).suffix.lower())
    if "://" not in path:
        raw = pa.OSFile(path, "rb")
    else:
        raw = pa.PythonFile(_open_url(path), "r")
    if compression is None:
        return raw if path.endswith(".parquet") else io.BufferedReader(raw, 1 << 20)
    return io.BufferedReader(pa.CompressedInputStream(raw, compression), 1 << 20)


def _open_url(path: str) -> Any:
    import fsspec

    try:
        return fsspec.open(path, "rb").open()
    except Exception as error:  # every file system has errors of its own
        raise UserError(f"{path}: cannot be opened: {reason(error)}") from error
