"""The folder in which a check keeps what it cannot hold in memory.

Invariant: it is gone when the check has ended; that of a check that was killed goes when the next one begins. A folder
is in use as long as some process holds the lock on its file, which ends with the process however that ends.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "synthflow-check-"
_LOCK = "in-use"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder, in the system's folder for temporary files."""
    _remove_unused(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name, (Path(name) / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield Path(name)


def _remove_unused(folder: Path) -> None:
    for lock in folder.glob(f"{_PREFIX}*/{_LOCK}"):
        with suppress(OSError), lock.open("w") as handle:  # in use, another user's, or removed meanwhile
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent)
