"""Stopping well: a run that is asked to stop finishes what is in flight, and samples nothing new.

The request is a file in the attempt's log folder, because workers may share nothing but a directory with the driver.
"""

from __future__ import annotations

import time
from pathlib import Path

from synthflow.errors import ExitCode, SynthflowError

_LOOK_EVERY_S = 0.2


class Stopped(SynthflowError):
    """The run was asked to stop; what was finished is kept, and running again resumes."""

    exit_code = ExitCode.INTERRUPTED


def logs_of(root: Path, attempt: int) -> Path:
    """The attempt's log folder; `RunDirectory.logs` makes it."""
    return root / "logs" / f"attempt-{attempt}"


def stop_file(root: Path, attempt: int) -> Path:
    return logs_of(root, attempt) / "stop"


class Stopper:
    """The driver's side: `ask` may be called from a signal handler, before or after the attempt has begun."""

    def __init__(self) -> None:
        self.asked = False
        self._file: Path | None = None

    def ask(self) -> None:
        self.asked = True
        if self._file is not None:
            self._file.touch()

    def begin(self, root: Path, attempt: int) -> None:
        """From here on workers can be told."""
        self._file = stop_file(root, attempt)
        if self.asked:
            self._file.touch()


class StopWatch:
    """A worker's side: whether the run was asked to stop, looked up at most five times a second."""

    def __init__(self, root: Path, attempt: int) -> None:
        self._file = stop_file(root, attempt)
        self._looked_at = 0.0
        self._asked = False

    def asked(self) -> bool:
        now = time.monotonic()
        if not self._asked and now - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = now
            self._asked = self._file.exists()
        return self._asked
