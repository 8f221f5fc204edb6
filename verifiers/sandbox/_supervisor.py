"""The process inside the sandbox that reads requests, watches each program, and reports what it did.

Invariants: the program is forked by the zygote, never from here, so what this process has read of others is never in
its memory; this process enforces the clocks and caps, kills whatever a program left, and gives each an empty directory.
What ended a program is told apart from outside, by what the kernel says. A supervisor that fails ends, and its worker
with it.
"""

from __future__ import annotations

import binascii
import contextlib
import json
import marshal
import os
import resource
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
from typing import Any, NoReturn

from synthflow.verifiers.sandbox import _kernel, _mounts, _program, _zygote

_FIRST_POLL_S = 0.005
_POLL_S = 0.02
_STDERR = 4096
_HEADER = 9  # eight hexadecimal digits of the length, and a space
_PAGE = os.sysconf("SC_PAGE_SIZE")
_BOX = "/box/run"


def start(text: str) -> NoReturn:
    """What the bootstrap calls, with the plan as JSON: serve until the input ends.

    Requests are `%08x ` and that many bytes of JSON: an index and a request.
    """
    try:
        plan = json.loads(text)
        os.environ.clear()
        _kernel.prctl(_kernel.PR_SET_PDEATHSIG, signal.SIGTERM)
        if plan["parent"] and os.getppid() != plan["parent"]:
            os._exit(0)
        proc = _enter(plan)
        link, zygote = _fork_zygote(plan, proc)
        _kernel.prctl(_kernel.PR_SET_DUMPABLE, 0)
        if not link.recv(_zygote.REPLY):
            os._exit(1)
        _send({"ready": True})
        while (size := _read(_HEADER)) is not None and (body := _read(int(size, 16))) is not None:
            index, request = json.loads(body)
            started = time.perf_counter()
            report = Supervisor(plan, request["limits"], link, proc, zygote).run(request)
            _send({"index": index, "value": report, "elapsed_s": time.perf_counter() - started})
        _leave(link, zygote)
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.stderr.flush()
        os._exit(1)


def _enter(plan: dict[str, Any]) -> int:
    """Take the worker's own namespaces; a descriptor of /proc, which programs do not see, or -1."""
    layers = set(plan["layers"])
    if plan["setup"] == "unshare":
        _mounts.isolate(plan)
    if layers & {"mount", "pid", "ipc"}:
        if not _kernel.capable_of_mounting():
            uid, gid = os.geteuid(), os.getegid()
            _kernel.unshare(_kernel.CLONE_NEWUSER | _kernel.CLONE_NEWNS)
            _kernel.map_ids(uid, gid)
        else:
            _kernel.unshare(_kernel.CLONE_NEWNS)
        _kernel.mount("none", "/", "", _kernel.MS_REC | _kernel.MS_PRIVATE)
    try:
        proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        proc = -1
    if plan["nest"] and "pid" in layers:
        _kernel.unshare(_kernel.CLONE_NEWPID)  # the zygote's: only one that our user namespace owns can be gone back to
    if "mount" in layers:
        quiet = _kernel.MS_NOSUID | _kernel.MS_NODEV
        _kernel.mount("tmpfs", "/proc", "tmpfs", quiet | _kernel.MS_RDONLY, "size=4k,mode=0555")
    return proc


def _fork_zygote(plan: dict[str, Any], proc: int) -> tuple[socket.socket, int]:
    """A zygote, which is told by the socket what to fork, and its process id."""
    ours, its = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        _zygote.serve(plan, its, proc)
    its.close()
    return ours, pid


def _leave(link: socket.socket, zygote: int) -> NoReturn:
    """End, and leave no process behind that nobody waits for."""
    link.close()
    with contextlib.suppress(ChildProcessError):
        os.waitpid(zygote, 0)
    os._exit(0)


def _send(message: dict[str, Any]) -> None:
    view = memoryview(json.dumps(message).encode("ascii") + b"\n")
    while view:
        view = view[os.write(1, view) :]


def _read(size: int) -> bytes | None:
    """So many bytes of the input; None at its end."""
    parts = []
    while size:
        part = os.read(0, min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _memory(name: str, data: bytes) -> int:
    """A file in memory, to be read from its start."""
    fd = os.memfd_create(name)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _base64(data: bytearray | bytes) -> str:
    """As JSON the same bytes could be six times as many, and the reply has a limit."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


class Supervisor:
    """Has one request run, and reports what the program did."""

    def __init__(
        self, plan: dict[str, Any], limits: dict[str, Any], link: socket.socket, proc: int, zygote: int
    ) -> None:
        self._plan, self._limits, self._link, self._proc, self._zygote = plan, limits, link, proc, zygote
        self._layers = plan["layers"]
        self._box = _BOX
        self._pid = self._told = 0
        self._pidfd = -1
        self._ends: str | None = None
        self._text = {"out": bytearray(), "err": bytearray(), "answers": bytearray()}
        self._printed, self._calls = 0, 1
        self._cpu = self._waited = 0.0

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        self._make_box()
        signal.signal(signal.SIGTERM, self._die)
        try:
            fds = self._fork(request)
            return self._report(fds)
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._clean()

    def _make_box(self) -> None:
        uid = self._plan["uid"]
        if "mount" in self._layers:
            data = f"size={self._limits['disk_mb']}m,nr_inodes={self._limits['inodes']},mode=0700"
            owner = f",uid={uid},gid={uid}" if uid else ""
            quiet = _kernel.MS_NOSUID | _kernel.MS_NODEV | _kernel.MS_NOEXEC
            _kernel.mount("tmpfs", _BOX, "tmpfs", quiet, data + owner)
            return
        self._box = tempfile.mkdtemp(prefix=self._plan["prefix"], dir=self._plan["tmp"])
        if uid:
            os.chown(self._box, uid, uid)

    def _die(self, *_: object) -> None:
        try:
            self._kill()
            self._clean()
        finally:
            _leave(self._link, self._zygote)

    def _clean(self) -> None:
        if "mount" in self._layers:
            _kernel.detach(_BOX)
        else:
            shutil.rmtree(self._box, ignore_errors=True)

    def _fork(self, request: dict[str, Any]) -> dict[str, int]:
        """Have the zygote fork the program: it gets the request, its input, and the ends it writes to."""
        self._calls = len(request.get("calls") or ".")
        stdin = request.pop("stdin").encode("utf-8", "surrogatepass")
        pipes = {name: os.pipe() for name in self._text}
        given = [_memory("request", marshal.dumps((self._box, request))), _memory("stdin", stdin)]
        given += [write for _, write in pipes.values()]
        socket.send_fds(self._link, [b"x"], given)
        for fd in given:
            os.close(fd)
        for read, _ in pipes.values():
            os.set_blocking(read, False)
        told, (self._pidfd, *_), _, _ = socket.recv_fds(self._link, _zygote.REPLY, 1)
        self._told = int(told)
        return {name: read for name, (read, _) in pipes.items()}

    def _report(self, fds: dict[str, int]) -> dict[str, Any]:
        began = time.monotonic()
        try:
            told = self._watch(fds, began)
            if told is None:
                self._kill()
                told = self._link.recv(_zygote.REPLY, socket.MSG_WAITALL)
            status, cpu, peak, allowed = map(int, told.split())
            for name, fd in fds.items():
                self._drain(name, fd)
        finally:
            for fd in (*fds.values(), self._pidfd):
                os.close(fd)
        self._cpu = max(self._cpu, cpu / 1e6)
        code = os.waitstatus_to_exitcode(status)
        confined, compiled, answers = self._split()
        return {
            "ended": (self._ends or self._how(code, allowed)) if confined else "setup",
            "exit": code,
            "compiled": compiled,
            "stdout": _base64(self._text["out"]),
            "stderr": self._text["err"].decode("utf-8", "replace"),
            "answers": _base64(answers),
            "cpu_s": self._cpu,
            "wall_s": time.monotonic() - began,
            "waited_s": self._waited,
            "peak_mb": peak / 1024,
        }

    def _split(self) -> tuple[bool, int | None, bytes]:
        """Whether the layers came into force, which text compiled, and what the program itself wrote.

        The first lines are ours: nothing of the program has run when they are written.
        """
        text = bytes(self._text["answers"])
        if not text.startswith(_program.CONFINED):
            return False, None, text
        text = text[len(_program.CONFINED) :]
        line, end, rest = text.partition(b"\n")
        return (True, int(line), rest) if end and line.lstrip(b"-").isdigit() else (True, None, text)

    def _how(self, code: int, allowed: int) -> str:
        """How it ended, where we did not end it. A program that ended itself, in whatever way, has exited."""
        if code != -signal.SIGKILL:
            return "exited"
        limit, hard = int(self._limits["program_s"]) + 1, resource.getrlimit(resource.RLIMIT_CPU)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        if "rlimits" in self._layers and (self._cpu >= limit * 0.9 or allowed not in (limit, -1)):
            return "timeout"  # the kernel's limit of CPU time: ours, or one that it set itself
        by_itself = not {"pid", "seccomp"} & set(self._layers)
        return "exited" if by_itself else "killed"  # not by us: by the machine, which says nothing about the program

    def _watch(self, fds: dict[str, int], began: float) -> bytes | None:
        """Collect output until the program has ended, which the zygote tells, or a limit is reached."""
        poll = select.poll()
        names = {fd: name for name, fd in fds.items()}
        for fd in (*names, self._link.fileno()):
            poll.register(fd, select.POLLIN)
        clock, cpu_before, waited_before, lines, wait = began, 0.0, 0.0, 0, _FIRST_POLL_S
        while True:
            for fd, _ in poll.poll(min(wait, self._limits["wall_s"]) * 1000):
                if fd not in names:
                    return self._link.recv(_zygote.REPLY, socket.MSG_WAITALL)
                if not self._drain(names[fd], fd):
                    poll.unregister(fd)
            now = time.monotonic()
            answered = self._text["answers"].count(b"\n")
            if now - began >= _FIRST_POLL_S or self._ends:
                wait = min(_POLL_S, wait * 2)
                self._pid = self._pid or _zygote.number(self._proc, self._pidfd) or self._told
                self._cpu = max(self._cpu, _kernel.cpu_seconds(self._pid))
                self._waited = max(self._waited, self._queued())
                if answered > lines:
                    lines, clock, cpu_before, waited_before = answered, now, self._cpu, self._waited
                if self._over(now - clock, self._cpu - cpu_before, self._waited - waited_before, now - began):
                    return None

    def _over(self, wall: float, cpu: float, waited: float, whole: float) -> bool:
        """Whether a limit is passed. Time for which it was ready and had no core is the machine's.

        Only a program of several processes can take cores from itself for long: for it there is an end to that.
        """
        limits = self._limits
        if self._ends is None:
            if cpu > limits["cpu_s"] or wall - waited > limits["wall_s"]:
                self._ends = "timeout"
            elif whole - self._waited > limits["program_s"] or (
                limits["processes"] > 1 and whole > 5 * limits["program_s"]
            ):
                self._ends = "program_timeout"
            elif self._too_big():
                self._ends = "memory"
            elif self._too_full():
                self._ends = "disk"
        return self._ends is not None

    def _drain(self, name: str, fd: int) -> bool:
        """Take what has come; False at the end. Past its cap a stream ends the program, standard error is cut.

        The caps are for each call. Answers that fill their room together end the program too, as `full`: the calls that
        are left are asked for anew.
        """
        limit = self._limits["output_kb"] * 1024
        text = self._text[name]
        if self._ends == "full" and name == "answers":
            return True
        try:
            while part := os.read(fd, 1 << 16):
                text += part
                if name == "err":
                    del text[:-_STDERR]
                elif name == "out":
                    self._printed += len(part)
                    del text[:-limit]
                    if self._printed > limit * self._calls:
                        self._ends = self._ends or "output"
                        return True
                elif len(text) > limit:
                    last = text.rfind(b"\n") + 1
                    whole = text.count(b"\n", 0, last) > 3 and len(text) - last <= limit
                    self._ends = self._ends or ("full" if whole else "output")
                    del text[last if whole else limit :]
                    return True
        except BlockingIOError:
            return True
        return False

    def _too_big(self) -> bool:
        """Whether the program and its children hold more memory than they may: a second line behind RLIMIT_AS."""
        if self._proc < 0:
            return False
        pages = 0
        for pid in [self._pid, *_zygote.children(self._proc, self._pid)]:
            try:
                pages += int(_zygote.read(self._proc, f"{pid}/statm").split()[1])
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

    def _queued(self) -> float:
        """Seconds it was ready to run and had no core."""
        try:
            return int(_zygote.read(self._proc, f"{self._pid}/schedstat").split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            return 0.0

    def _kill(self) -> None:
        """End the program; the zygote ends whatever it started. In a PID namespace its end is the end of all."""
        if self._pidfd >= 0:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
