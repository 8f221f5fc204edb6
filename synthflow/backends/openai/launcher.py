"""Runs one server as its child, writes down what it prints, and ends with it: a script of the standard library alone.

Invariant: the launcher leads a process group that holds the server and its children. When the owner (the process that
started the launcher) is gone, however it went, the whole group is killed; when the launcher is killed, the kernel kills
the server. Ctrl-C does not reach the group, SIGTERM is handed on to the server. Values of secret variables are masked
before anything is written. The log has a largest size; of what was written before, as much again is kept in `LOG.1`.

    python launcher.py OWNER_PID LOG COMMAND...
"""

from __future__ import annotations

import ctypes
import os
import re
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

SECRETS = "SYNTHFLOW_SECRETS"
"""Environment variable that lists the names of secret variables, apart from those whose names say so."""

_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
_SHORTEST = 6
"""A shorter value of a variable that only sounds secret is none, and masking it would spoil every line."""
_CHUNK = 1 << 16
LARGEST = 64 << 20
"""Bytes of a log; a server that answers for days writes a line a request."""
_LOOK_EVERY_S = 0.5
"""Where the kernel has no pidfds."""
_PR_SET_PDEATHSIG = 1


def secrets() -> list[bytes]:
    """Values of the environment that must not be written, the longest first."""
    named = os.environ.get(SECRETS, "").split(",")
    values = {value for name, value in os.environ.items() if name in named and value}
    values |= {
        value
        for name, value in os.environ.items()
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST and not value.isdigit()
    }
    return sorted((os.fsencode(value) for value in values), key=len, reverse=True)


class Log:
    """A file of whole lines, secrets masked; full, it becomes `PATH.1` and a new one begins."""

    def __init__(self, path: str, largest: int = LARGEST) -> None:
        self._path, self._largest, self._size = path, largest, 0
        self._fd = self._opened()
        self._secrets = secrets()
        self._rest = b""

    def _opened(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, data: bytes) -> None:
        whole, newline, self._rest = (self._rest + data).rpartition(b"\n")
        self._append(whole + newline)
        if len(self._rest) > 4 * _CHUNK:  # a line without end
            self.flush()

    def flush(self) -> None:
        self._append(self._rest)
        self._rest = b""

    def _append(self, text: bytes) -> None:
        for secret in self._secrets:
            text = text.replace(secret, b"***")
        with suppress(OSError):  # a full disk stops the run elsewhere; a server must not block on its own log
            if self._size + len(text) > self._largest and self._size:
                Path(self._path).replace(f"{self._path}.1")
                os.close(self._fd)
                self._fd, self._size = self._opened(), 0
            self._size += os.write(self._fd, text)


def _end_group() -> None:
    os.killpg(0, signal.SIGKILL)


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):  # no such kernel, or gone already: the loop looks for itself
        return None


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _read(pipe: int, most: int) -> bytes | None:
    """What there is to read, up to `most` bytes; None at the end."""
    found = b""
    while len(found) < most:
        try:
            data = os.read(pipe, _CHUNK)
        except BlockingIOError:
            return found
        if not data:
            return found or None
        found += data
    return found


def run(owner: int, log: Log, command: list[str]) -> int:
    """Run the command to its end; its exit code, 128 + n if signal n ended it."""
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=_die_with_parent
    )
    signal.signal(signal.SIGTERM, lambda number, frame: child.send_signal(signal.SIGTERM))
    assert child.stdout is not None
    pipe = child.stdout.fileno()
    os.set_blocking(pipe, False)
    owner_fd, child_fd = _pidfd(owner), _pidfd(child.pid)
    watched = [fd for fd in (pipe, owner_fd, child_fd) if fd is not None]
    wait = None if len(watched) == 3 else _LOOK_EVERY_S
    while True:
        ready, _, _ = select.select(watched, [], [], wait)
        if owner_fd in ready or os.getppid() != owner:
            _end_group()
        code = child.poll()
        data = _read(pipe, _CHUNK if code is None else 64 * _CHUNK) if pipe in watched else b""
        if data is None:
            watched.remove(pipe)
        else:
            log.write(data)
        if code is not None:
            log.flush()
            return code if code >= 0 else 128 - code


def main() -> None:
    owner, path, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log = Log(path)
    try:
        code = run(owner, log, command)
    except OSError as error:  # the command cannot be started
        log.write(f"{command[0]}: {error}\n".encode())
        code = 127
    sys.exit(code)


if __name__ == "__main__":
    main()
