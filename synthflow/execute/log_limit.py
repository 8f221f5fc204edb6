"""The log of a process that prints for days has a largest size.

Invariant: the file that a process and its children print to is at most `LARGEST` bytes, looked at every few seconds;
what is beyond is moved to `NAME.log.1`, the only older part that is kept. Every writer appends, so that a file that was
cut to nothing goes on from its start; what is printed while it is being moved may be lost.
"""

from __future__ import annotations

import shutil
import threading
from contextlib import suppress
from pathlib import Path

LARGEST = 64 << 20
LOOK_EVERY_S = 5.0


def older(path: Path) -> Path:
    """Where what a log had before lies."""
    return path.with_name(f"{path.name}.1")


def cut(path: Path, largest: int = LARGEST) -> None:
    """Move what a log holds aside, if that is too much."""
    with suppress(OSError):  # a full disk stops the run elsewhere
        if path.stat().st_size > largest:
            shutil.copyfile(path, older(path))
            with path.open("r+b") as handle:
                handle.truncate(0)


class LogLimit:
    """Looks at a log now and then, from a thread, until it is closed."""

    def __init__(self, path: Path, largest: int = LARGEST, look_every_s: float = LOOK_EVERY_S) -> None:
        self._path, self._largest, self._pause = path, largest, look_every_s
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="synthflow-log-limit")
        self._thread.start()

    def _watch(self) -> None:
        while not self._closed.wait(self._pause):
            cut(self._path, self._largest)

    def close(self) -> None:
        self._closed.set()
        self._thread.join(timeout=5)
