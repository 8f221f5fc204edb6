"""Writing files so that a crash leaves either the old content or the new, never half of it.

Everything that counts is written aside, flushed to the disk, renamed, and its folder flushed. A full disk is a
`NoSpace` error that names the path, and leaves nothing half-written behind.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from synthflow.errors import NoSpace

_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def no_space_is_clear(path: Path) -> Iterator[None]:
    """Turn a full disk into `NoSpace`, which tells what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL or "No space left" in str(error):
            raise NoSpace(
                f"no space left to write {path}; what was finished is kept: make room, then run again"
            ) from error
        raise


def fsync_dir(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a private temporary path; on success flush it and rename it to `path`, on failure remove it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")
    try:
        with no_space_is_clear(path):
            yield aside
            with aside.open("rb") as handle:
                os.fsync(handle.fileno())
            aside.replace(path)
            fsync_dir(path.parent)
    finally:
        with suppress(FileNotFoundError):
            aside.unlink()


def write_text(path: Path, text: str) -> None:
    """Replace a text file atomically."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def sha256_of(path: Path) -> str:
    """sha256 of a file in hex, read in blocks of 1 MiB."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
