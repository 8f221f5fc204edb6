"""One killable child process: what is sent to it, what came back, and since when it works on its present item.

Invariants: nothing here blocks but `kill` (on a process that has just been sent SIGKILL); a worker that was killed
or ended leaves no process and no file descriptor behind. Children are started by one thread that lives as long as
the process, because the kernel ties "kill me when my parent dies" to the thread that forked.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from synthflow.errors import InfrastructureError

_READ = 1 << 16
_MAX_REPLY = 4 << 20
_KEPT_STDERR = 2000

_Job = tuple[list[str], dict[str, str], "Future[subprocess.Popen[bytes]]"]


class _Starter:
    """The thread that starts children. A forked process has none of its parent's threads, hence `reset`."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[_Job] | None = None

    def start(self, command: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._jobs is None:
                self._jobs = queue.SimpleQueue()
                threading.Thread(target=self._serve, args=(self._jobs,), name="verifier-starter", daemon=True).start()
        started: Future[subprocess.Popen[bytes]] = Future()
        self._jobs.put((command, env, started))
        return started.result()

    @staticmethod
    def _serve(jobs: queue.SimpleQueue[_Job]) -> None:
        pipe = subprocess.PIPE
        while True:
            command, env, started = jobs.get()
            try:
                started.set_result(
                    subprocess.Popen(
                        command, stdin=pipe, stdout=pipe, stderr=pipe, env=env, bufsize=0, start_new_session=True
                    )
                )
            except BaseException as error:
                started.set_exception(error)
            del started  # or this frame would keep the last child's pipes alive


_starter = _Starter()
os.register_at_fork(after_in_child=_starter.reset)


class Worker:
    """A child process that serves one task.

    `in_flight` holds the indices of the items sent and not yet answered, the one it works on first; `clock` is when
    it took up that one (monotonic seconds); `served` counts answers.

    Raises:
        InfrastructureError: if no process can be started.
    """

    def __init__(self, config: Mapping[str, Any], env: Mapping[str, str]) -> None:
        command, environment = self._command(config, env)
        try:
            self._process = _starter.start(command, environment)
        except OSError as error:
            raise InfrastructureError(f"cannot start a verifier's worker process: {error}") from error
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self.stdin, self.stdout, self.stderr = (
            stream.fileno() for stream in (self._process.stdin, self._process.stdout, self._process.stderr)
        )
        for fd in (self.stdin, self.stdout, self.stderr):
            os.set_blocking(fd, False)
        self.born = self.clock = time.monotonic()
        self.ready = self.leaving = self.ended = False
        self.served = 0
        self.in_flight: deque[int] = deque()
        self._out, self._in, self._words = bytearray(), bytearray(), bytearray()

    def _command(self, config: Mapping[str, Any], env: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
        # -P: the user's working directory, which may hold a `math.py`, stays out of the child's path.
        options = json.dumps({**config, "parent": os.getpid()})
        return [sys.executable, "-P", "-m", "synthflow.verifiers.workers._child", options], {**os.environ, **env}

    @staticmethod
    def _frame(index: int, line: bytes) -> bytes:
        return b"[%d,%b]\n" % (index, line)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def unsent(self) -> int:
        """Bytes that wait for room in the pipe."""
        return len(self._out)

    def send(self, index: int, line: bytes) -> None:
        """Queue an item; `line` is its JSON without the index."""
        if not self.in_flight and self.ready:
            self.clock = time.monotonic()
        self.in_flight.append(index)
        self._out += self._frame(index, line)
        self.flush()

    def flush(self) -> None:
        """Write what the pipe takes."""
        try:
            while self._out:
                del self._out[: os.write(self.stdin, memoryview(self._out)[:_READ].tobytes())]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._out.clear()  # it has died: the end of its stdout tells

    def receive(self) -> list[dict[str, Any]]:
        """Whole answers that have come; sets `ended` when the child closed its side."""
        self._words = (self._words + self._read(self.stderr)[0])[-_KEPT_STDERR:]
        data, self.ended = self._read(self.stdout)
        self._in += data
        *lines, rest = self._in.split(b"\n")
        self._in = rest
        if len(rest) > _MAX_REPLY:
            self.kill()
            self._words = bytearray(b"the answer is longer than 4 MiB")
            self.ended = True
        return [json.loads(line) for line in lines]

    @staticmethod
    def _read(fd: int) -> tuple[bytes, bool]:
        parts = []
        with contextlib.suppress(BlockingIOError):
            while part := os.read(fd, _READ):
                parts.append(part)
            return b"".join(parts), True
        return b"".join(parts), False

    def last_words(self) -> str:
        """How it ended, with the end of its stderr."""
        code = self._process.returncode
        how = f"killed by signal {-code}" if code is not None and code < 0 else f"exit status {code}"
        words = " ".join(self._words.decode("utf-8", "replace").split())
        return f"worker died ({how}){': ' + words[-300:] if words else ''}"

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def exit_status(self) -> int | None:
        return self._process.returncode

    def kill(self) -> None:
        """SIGKILL, reap, close. Idempotent."""
        self._process.kill()
        self._process.wait()
        self._close()

    def forget(self) -> None:
        """Close our ends without touching the process: for a fork of the process that owns it."""
        self._process.returncode = 0  # keeps Popen's destructor from waiting for somebody else's child
        self._close()

    def _close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
