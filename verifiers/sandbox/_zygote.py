"""The warm process inside the sandbox that forks for every program, and the supervisor that it forks.

Invariants: the zygote never reads a request, so nothing of one program can reach the next: it forks a supervisor when
its input has something, the supervisor reads exactly one request, forks the program in namespaces of its own, enforces
the clocks and caps, kills whatever the program left, reports one line, and ends. Both die with their parent. A
supervisor that ends without a report ends the zygote, since the stream can no longer be trusted.
"""

from __future__ import annotations

import binascii
import contextlib
import gc
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from typing import Any

from synthflow.verifiers.sandbox import _kernel, _program

_POLL_S = 0.02
_STDERR = 4096
_HEADER = 9  # eight hexadecimal digits of the length, and a space
_ENDED = 7
_PAGE = os.sysconf("SC_PAGE_SIZE")


def main(plan: dict[str, Any]) -> None:
    """Serve until the input ends. Requests are `%08x ` and that many bytes of JSON: an index and a request."""
    os.environ.clear()
    _kernel.prctl(_kernel.PR_SET_PDEATHSIG, signal.SIGTERM)
    if plan["parent"] and os.getppid() != plan["parent"]:
        os._exit(0)
    if "unshare" in plan["setup"]:
        from synthflow.verifiers.sandbox import _mounts

        _mounts.isolate(plan)
    sys.path += plan["path"]
    for name in plan["preload"]:
        __import__(name)
    plan["proc"] = _open_proc()
    _kernel.prctl(_kernel.PR_SET_DUMPABLE, 0)
    gc.collect()
    gc.freeze()  # a fork then copies fewer pages
    gc.disable()
    replies = os.dup(1)
    os.dup2(2, 1)
    _send(replies, {"ready": True})
    while True:
        pid = os.fork()
        if pid == 0:
            _supervise(plan, replies)
        signal.signal(signal.SIGTERM, lambda *_: _stop(pid))  # noqa: B023
        _, status = os.waitpid(pid, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if status:
            os._exit(0 if os.waitstatus_to_exitcode(status) == _ENDED else 1)


def _stop(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
    os._exit(0)


def _open_proc() -> int:
    try:
        return os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return -1


def _send(fd: int, message: dict[str, Any]) -> None:
    view = memoryview(json.dumps(message).encode("ascii") + b"\n")
    while view:
        view = view[os.write(fd, view) :]


def _base64(data: bytearray) -> str:
    """As JSON the same bytes could be six times as many, and the reply has a limit."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def _read_exactly(size: int) -> bytes:
    parts = []
    while size:
        part = os.read(0, min(size, 1 << 20))
        if not part:
            os._exit(_ENDED)
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _supervise(plan: dict[str, Any], replies: int) -> None:
    code = 1
    try:
        _kernel.prctl(_kernel.PR_SET_PDEATHSIG, signal.SIGTERM)
        _kernel.prctl(_kernel.PR_SET_CHILD_SUBREAPER, 1)
        size = int(_read_exactly(_HEADER), 16)
        index, request = json.loads(_read_exactly(size))
        started = time.perf_counter()
        report = Supervisor(plan, request).run(replies)
        _send(replies, {"index": index, "value": report, "elapsed_s": time.perf_counter() - started})
        code = 0
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(2, f"{type(error).__name__}: {error}\n".encode("utf-8", "replace")[-1000:])
    finally:
        os._exit(code)


class Supervisor:
    """Runs one request: forks the program, watches it, and reports what it did."""

    def __init__(self, plan: dict[str, Any], request: dict[str, Any]) -> None:
        self._plan, self._request, self._limits = plan, request, request["limits"]
        self._layers = plan["layers"]
        self._pid = 0
        self._box = "/box"
        self._ends: str | None = None
        self._status: tuple[int, Any] | None = None
        self._text = {"out": bytearray(), "err": bytearray(), "answers": bytearray()}

    def run(self, replies: int) -> dict[str, Any]:
        if "mount" not in self._layers:
            self._box = tempfile.mkdtemp(prefix=self._plan["prefix"], dir=self._plan["tmp"])
            if self._plan["uid"]:
                os.chown(self._box, self._plan["uid"], self._plan["uid"])
        signal.signal(signal.SIGTERM, self._die)
        try:
            return self._report(self._fork(replies))
        finally:
            self._clean()

    def _die(self, *_: object) -> None:
        try:
            self._kill_tree()
            self._clean()
        finally:
            os._exit(1)

    def _clean(self) -> None:
        if "mount" not in self._layers:
            shutil.rmtree(self._box, ignore_errors=True)

    def _namespaces(self) -> None:
        wanted = {"pid": _kernel.CLONE_NEWPID, "mount": _kernel.CLONE_NEWNS, "ipc": _kernel.CLONE_NEWIPC}
        flags = sum(flag for name, flag in wanted.items() if name in self._layers)
        if not flags:
            return
        if self._plan["nest"]:
            uid, gid = os.geteuid(), os.getegid()
            _kernel.unshare(flags | _kernel.CLONE_NEWUSER)
            _kernel.prctl(_kernel.PR_SET_DUMPABLE, 1)  # else the maps below belong to nobody we are
            _kernel.map_ids(uid, gid)
            _kernel.prctl(_kernel.PR_SET_DUMPABLE, 0)
        else:
            _kernel.unshare(flags)
        if "mount" in self._layers:
            _kernel.mount("none", "/", "", _kernel.MS_REC | _kernel.MS_PRIVATE)

    def _fork(self, replies: int) -> dict[str, int]:
        self._namespaces()
        pipes = {name: os.pipe() for name in self._text}
        self._pid = os.fork()
        if self._pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            _program.become(self._request, self._plan, {n: w for n, (_, w) in pipes.items()}, self._box)
        for _, write in pipes.values():
            os.close(write)
        for read, _ in pipes.values():
            os.set_blocking(read, False)
        return {name: read for name, (read, _) in pipes.items()}

    def _report(self, fds: dict[str, int]) -> dict[str, Any]:
        began = time.monotonic()
        cpu = self._watch(fds, began)
        self._kill_tree()
        _, status, usage = os.wait4(self._pid, 0) if self._status is None else (0, *self._status)
        self._reap()
        for name, fd in list(fds.items()):
            self._drain(name, fd)
        code = os.waitstatus_to_exitcode(status)
        return {
            "ended": self._ends or self._how(code, cpu),
            "exit": code,
            "stdout": _base64(self._text["out"]),
            "stderr": self._text["err"].decode("utf-8", "replace"),
            "answers": _base64(self._text["answers"]),
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "wall_s": time.monotonic() - began,
            "peak_mb": usage.ru_maxrss / 1024,
        }

    def _how(self, code: int, cpu: float) -> str:
        if code == _program.SETUP_FAILED and b'{"setup"' in self._text["answers"][:10]:
            return "setup"
        if code in (-signal.SIGXCPU, -signal.SIGKILL) and cpu >= self._limits["cpu_s"] * 0.9:
            return "timeout"
        if code == -signal.SIGKILL:
            return "killed"  # not by us: by the machine, which says nothing about the program
        return "exited"

    def _watch(self, fds: dict[str, int], began: float) -> float:
        """Collect output until the program has ended or a limit is reached; CPU seconds last seen."""
        poll = select.poll()
        names = {fd: name for name, fd in fds.items()}
        for fd in names:
            poll.register(fd, select.POLLIN)
        done = os.pidfd_open(self._pid)
        poll.register(done, select.POLLIN)
        clock, cpu_before, cpu, lines, wait = began, 0.0, 0.0, 0, 0.001
        waited_before = 0.0
        try:
            while True:
                for fd, _ in poll.poll(min(wait, self._limits["wall_s"]) * 1000):
                    if fd == done:
                        _, status, usage = os.wait4(self._pid, 0)
                        self._status = status, usage
                        return max(cpu, usage.ru_utime + usage.ru_stime)
                    if not self._drain(names[fd], fd):
                        poll.unregister(fd)
                wait = min(_POLL_S, wait * 2)
                now, cpu = time.monotonic(), max(cpu, _kernel.cpu_seconds(self._pid))
                answered = self._text["answers"].count(b"\n")
                if answered > lines:
                    lines, clock, cpu_before, waited_before = answered, now, cpu, self._waited()
                late = now - clock - self._limits["wall_s"]
                late -= self._waited() - waited_before if late > 0 else 0.0
                if cpu - cpu_before > self._limits["cpu_s"] or late > 0:
                    self._ends = "timeout"
                elif now - began > self._limits["program_s"]:
                    self._ends = "program_timeout"
                elif self._too_big():
                    self._ends = "memory"
                elif self._too_full():
                    self._ends = "disk"
                if self._ends:
                    return cpu
        finally:
            os.close(done)

    def _drain(self, name: str, fd: int) -> bool:
        """Take what has come; False at the end. Past its cap a stream ends the program, standard error is cut."""
        limit = self._limits["output_kb"] * 1024
        text = self._text[name]
        try:
            while part := os.read(fd, 1 << 16):
                text += part
                if name == "err":
                    del text[:-_STDERR]
                elif len(text) > limit:
                    del text[limit:]
                    self._ends = self._ends or "output"
                    return True
        except BlockingIOError:
            return True
        return False

    def _too_big(self) -> bool:
        """Whether the program and its children hold more memory than they may: a second line behind RLIMIT_AS."""
        if self._plan["proc"] < 0:
            return False
        pages = 0
        for pid in [self._pid, *self._children(self._pid)]:
            try:
                pages += int(self._proc(f"{pid}/statm").split()[1])
            except (OSError, ValueError, IndexError):
                continue
        return bool(pages * _PAGE > self._limits["memory_mb"] << 20)

    def _too_full(self) -> bool:
        """Whether its directory holds too much, where that is no file system of its own with a size."""
        if "mount" in self._layers:
            return False
        count = size = 0
        for folder, folders, files in os.walk(self._box):
            count += len(folders) + len(files)
            for name in files:
                with contextlib.suppress(OSError):
                    size += os.lstat(f"{folder}/{name}").st_blocks * 512
            if count > self._limits["inodes"] or size > self._limits["disk_mb"] << 20:
                return True
        return False

    def _waited(self) -> float:
        """Seconds it was ready to run and had no core: the machine's fault, so no part of its wall-clock time."""
        try:
            return int(self._proc(f"{self._pid}/schedstat").split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            return 0.0

    def _proc(self, path: str) -> str:
        fd = os.open(path, os.O_RDONLY, dir_fd=self._plan["proc"])
        try:
            return os.read(fd, 1 << 16).decode("ascii", "replace")
        finally:
            os.close(fd)

    def _children(self, pid: int) -> list[int]:
        """Descendants, as far as the kernel tells them."""
        found: list[int] = []
        with contextlib.suppress(OSError, ValueError):
            for child in self._proc(f"{pid}/task/{pid}/children").split():
                found += [int(child), *self._children(int(child))]
        return found

    def _kill_tree(self) -> None:
        """End the program and whatever it started. In a PID namespace its end is the end of all."""
        if self._pid and self._status is None:
            with contextlib.suppress(OSError):
                os.kill(self._pid, signal.SIGKILL)

    def _reap(self) -> None:
        """Kill and wait for what was left to us, the nearest subreaper, until nothing is."""
        while True:
            for child in self._children(os.getpid()):
                with contextlib.suppress(OSError):
                    os.kill(child, signal.SIGKILL)
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                return


def start(text: str) -> None:
    """What the bootstrap calls, with the plan as JSON."""
    try:
        main(json.loads(text))
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.stderr.flush()
        os._exit(1)
