"""Writing files so that a crash leaves either the old content or the new, never half of it.

Everything that counts is written aside, flushed to the disk, renamed, and its folder flushed. A disk, a quota or a
size limit that is full is a `NoSpace` error, a place where nothing can be written a `UserError`; both name the path,
and leave nothing half-written behind.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from synthflow.errors import NoSpace, SynthflowError, UserError

_FULL = {
    errno.ENOSPC: "no space left to write",
    errno.EDQUOT: "the quota leaves no space to write",
    errno.EFBIG: "the limit on the size of files leaves no space to write",
}
_CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)


def unwritable(error: BaseException, path: object = None) -> SynthflowError | None:
    """What to tell of an error that means that a file cannot be written; None if it means something else.

    Libraries that write by themselves keep the reason in their message alone.
    """
    number = getattr(error, "errno", None)
    code = next(
        (c for c in (*_FULL, *_CLOSED) if c == number or (number is None and os.strerror(c) in str(error))), None
    )
    path = path if path is not None else getattr(error, "filename", None) or "a file"
    if code in _FULL:
        return NoSpace(f"{_FULL[code]} {path}; what was finished is kept: make room, then run again")
    if code in _CLOSED:
        return UserError(f"{path}: {os.strerror(code).lower()}; mend that, or give another --out")
    return None


@contextmanager
def no_space_is_clear(path: Path) -> Iterator[None]:
    """Turn a full disk, or one that may not be written, into an error that tells what to do."""
    try:
        yield
    except SynthflowError:
        raise
    except Exception as error:
        told = unwritable(error, path)
        if told is None:
            raise
        raise told from error


def fsync_dir(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a private temporary path; on success flush it and rename it to `path`, on failure remove it."""
    aside = path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")
    try:
        with no_space_is_clear(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield aside
            with aside.open("rb") as handle:
                os.fsync(handle.fileno())
            aside.replace(path)
            fsync_dir(path.parent)
    finally:
        with suppress(OSError):
            aside.unlink()


def link_or_copy(old: Path, new: Path) -> None:
    """The same file under another name, or a copy where the file system has no such thing."""
    try:
        os.link(old, new)
    except OSError:
        with written_aside(new) as aside:
            shutil.copyfile(old, aside)


def write_text(path: Path, text: str) -> None:
    """Replace a text file atomically."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def sha256_of(path: Path) -> str:
    """sha256 of a file in hex, read in blocks of 1 MiB."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
