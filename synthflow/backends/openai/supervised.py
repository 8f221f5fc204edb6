"""A server that this process starts, watches, starts again when it dies, and ends.

Invariant: at most one life of the server at a time, each with a log file of its own; before the next one starts, the
whole process group of the last is gone. Whoever asks while it is down waits. A server that does not come up the first
time, or that dies more than `restarts` times without a finished request in between, is given up: whoever asks then
gets the reason and the log's last lines. `launcher` sees to it that no server outlives this process.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from synthflow.backends.openai import launcher
from synthflow.errors import EngineFailed, InfrastructureError

BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 30.0
"""Pause before a restart; it doubles with each death in a row. Our default."""
STOP_S = 15.0
"""Seconds that a server may take to end when it is asked to. Our default."""
GRACE_S = 15.0
"""Seconds after a failed request within which a dying server must have died. Our default."""
LAST_LINES = 15
_TAIL_BYTES, _LONGEST_LINE = 1 << 14, 400
_LOOK_EVERY_S = 0.1
_HEALTH_TIMEOUT_S = 5.0
_REFUSED = 0


@dataclass(frozen=True, slots=True)
class Program:
    """What is run: `command` in `env`, answering at `address` (http://host:port) and there at /health when ready."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    address: str
    ready_s: float
    restarts: int


class Supervised:
    """One supervised server.

    Args:
        logs: folder for a log file a life: `<name>.1.log`, `<name>.2.log`, ...
    """

    def __init__(self, program: Program, logs: Path) -> None:
        self.program = program
        self._logs = logs
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._state: Future[int | str] = Future()  # pending: down; a number: that life is up; words: given up
        self._life = self._deaths = 0
        self._ends: dict[int, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._supervise, name=program.name, daemon=True)

    def begin(self) -> None:
        """Start the first life; `wait` waits for it."""
        self._thread.start()

    def wait(self) -> None:
        """Wait until the server is ready.

        Raises:
            InfrastructureError: with the last lines of its log, if it died or was not ready in time.
        """
        state = self._now().result()
        if isinstance(state, str):
            raise InfrastructureError(state)

    @property
    def up(self) -> bool:
        state = self._now()
        return state.done() and isinstance(state.result(), int)

    async def ready(self) -> int:
        """Wait while the server is down; returns the number of its life.

        Raises:
            InfrastructureError: if it is given up.
        """
        state = await asyncio.shield(asyncio.wrap_future(self._now()))
        if isinstance(state, str):
            raise InfrastructureError(state)
        return state

    async def verify(self, life: int) -> None:
        """After a failed request: see whether the server died of it, or beside it. One that is broken is killed.

        Raises:
            EngineFailed: if that life is over.
        """
        deadline = time.monotonic() + GRACE_S
        while life not in self._ends:
            status = await asyncio.to_thread(self._health)
            if status == 200:
                return
            if time.monotonic() > deadline:
                if status is None:  # too busy to answer is not dead
                    return
                self._signal(signal.SIGKILL, group=True)
            await asyncio.sleep(_LOOK_EVERY_S)
        raise EngineFailed(self._ends[life])

    def finished(self) -> None:
        """A request has a result: what died before was not in vain."""
        self._deaths = 0

    def ask_to_end(self) -> None:
        """Ask the server to end, and start no more. Does not wait."""
        self._closing.set()
        self._signal(signal.SIGTERM, group=False)

    def close(self) -> None:
        """End the server: by asking it, then by force. Idempotent."""
        self.ask_to_end()
        if not self._thread.is_alive():
            return
        self._thread.join(STOP_S)
        self._signal(signal.SIGKILL, group=True)
        self._thread.join()

    def _now(self) -> Future[int | str]:
        with self._lock:
            return self._state

    def _supervise(self) -> None:
        while True:
            try:
                words = self._live()
            except OSError as error:  # no process, or no log, can be made
                words = f"{self.program.name} cannot be started: {error}"
            with self._lock:
                was_up = self._state.done()
                if was_up:
                    self._state = Future()
                self._ends[self._life] = words
                self._deaths += 1
                given_up = self._closing.is_set() or (self._life == 1 and not was_up)
                if self._deaths > self.program.restarts and not given_up:
                    given_up = True
                    words = f"{self.program.name} died {self._deaths} times without finishing a request; {words}"
                if given_up:
                    self._state.set_result(words)
                    return
            self._closing.wait(min(LONGEST_BACKOFF_S, BACKOFF_S * 2.0 ** (self._deaths - 1)))

    def _live(self) -> str:
        """One life, from start to end; returns what is to be said about the end."""
        self._life += 1
        if self._closing.is_set():
            return f"{self.program.name} was closed"
        log = self._new_log()
        script = [sys.executable, "-P", launcher.__file__, str(os.getpid()), str(log), *self.program.command]
        process = subprocess.Popen(
            script,
            env=dict(self.program.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        with self._lock:
            self._process = process
        ready = self._becomes_ready(process)
        if ready:
            with self._lock:
                self._state.set_result(self._life)
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        ended = _has_ended(process)
        with self._lock:  # not reaped yet, so the number is still this group's
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            self._process = None
        code = process.wait()
        how = _how(code) if ended else f"was not ready within {self.program.ready_s:g} s"
        return f"{self.program.name} {how}{'' if ready or not ended else ' before it was ready'}; {_last_lines(log)}"

    def _new_log(self) -> Path:
        self._logs.mkdir(parents=True, exist_ok=True)
        number = self._life
        while True:  # another worker, or one that died, may have been here
            path = self._logs / f"{self.program.name}.{number}.log"
            try:
                path.touch(0o644, exist_ok=False)
                return path
            except FileExistsError:
                number += 1

    def _becomes_ready(self, process: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + self.program.ready_s
        while not self._closing.is_set() and time.monotonic() < deadline and not _has_ended(process):
            if self._health() == 200:
                return True
            self._closing.wait(_LOOK_EVERY_S)
        return False

    def _health(self) -> int | None:
        """Status of /health, 0 if nobody listens, None if nobody answers in time."""
        where = urlsplit(self.program.address)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=_HEALTH_TIMEOUT_S)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status
        except TimeoutError:
            return None
        except (OSError, http.client.HTTPException):
            return _REFUSED
        finally:
            connection.close()

    def _signal(self, number: signal.Signals, *, group: bool) -> None:
        with self._lock, suppress(ProcessLookupError):
            if self._process is not None:
                (os.killpg if group else os.kill)(self._process.pid, number)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has, without reaping it: until then its number is nobody else's."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _how(code: int) -> str:
    number = -code if code < 0 else code - 128
    known = number in set(signal.Signals)
    return f"was killed by {signal.Signals(number).name}" if known else f"ended with exit code {code}"


def _last_lines(log: Path) -> str:
    text = (_tail(log.with_name(f"{log.name}.1")) + _tail(log))[-_TAIL_BYTES:].decode("utf-8", "replace")
    lines = [line[:_LONGEST_LINE] for line in text.splitlines() if line.strip()][-LAST_LINES:]
    return f"{log} ends with:\n    " + "\n    ".join(lines) if lines else f"{log} is empty"


def _tail(log: Path) -> bytes:
    """The end of a log; nothing of one that is not there."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            return file.read()
    except FileNotFoundError:
        return b""
