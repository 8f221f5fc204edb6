"""What cannot be written is told in one line: full, with exit code 6, or closed to us, with exit code 2."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synthflow.errors import ExitCode, NoSpace
from synthflow.stores.files import no_space_is_clear, unwritable, write_text, written_aside


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, ExitCode.NO_SPACE),
        (errno.EDQUOT, ExitCode.NO_SPACE),
        (errno.EFBIG, ExitCode.NO_SPACE),
        (errno.EROFS, ExitCode.USAGE),
        (errno.EACCES, ExitCode.USAGE),
        (errno.EPERM, ExitCode.USAGE),
    ],
)
def test_every_reason_has_its_exit_code(number: int, code: ExitCode) -> None:
    told = unwritable(OSError(number, os.strerror(number), "runs/first/lock"))
    assert told is not None and told.exit_code == code
    assert "runs/first/lock" in str(told) and "\n" not in str(told)
    by_message = unwritable(ValueError(f"Error writing bytes to file. Detail: {os.strerror(number)}"), "x.parquet")
    assert by_message is not None and by_message.exit_code == code and "x.parquet" in str(by_message)


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    assert unwritable(FileNotFoundError(errno.ENOENT, "No such file", "x")) is None
    with pytest.raises(KeyError), no_space_is_clear(tmp_path):
        raise KeyError("x")


def test_a_limit_on_the_size_of_files_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    write_text(path, "before")
    with files_of_at_most(1000), pytest.raises(NoSpace, match="limit on the size of files"):
        write_text(path, "x" * 5000)
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_a_library_that_writes_by_itself_is_told_the_same(tmp_path: Path) -> None:
    rows = pa.table({"x": pa.array(os.urandom(1) for _ in range(20_000))})
    with files_of_at_most(4096), pytest.raises(NoSpace), written_aside(tmp_path / "part.parquet") as aside:
        pq.write_table(rows, aside)
    assert list(tmp_path.iterdir()) == []
