"""The warm process inside the sandbox that every program is forked from.

Invariants: it never reads a request, nor anything that a program made: it is handed descriptors and hands back numbers,
so nothing of one program can reach the next. It forks a program when it is told to, in a process namespace of its own,
waits for its end, ends whatever it left, and says how it ended. It dies with the supervisor, and programs die with it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
from typing import Any, NoReturn

from synthflow.verifiers.sandbox import _kernel, _program, _site

REPLY = 64
"""Bytes of each message: numbers, as text."""


def serve(plan: dict[str, Any], link: socket.socket, proc: int) -> NoReturn:
    """Fork programs until the supervisor is gone."""
    try:
        _kernel.prctl(_kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        _prepare(plan)
        ruleset, own = _shared(plan, proc)
        cell = _program.Cell(plan, ruleset)
        cell.rehearse()
        gc.collect()
        gc.freeze()  # a fork then copies fewer pages
        gc.disable()
        _say(link, 0)
        while True:
            _, fds, _, _ = socket.recv_fds(link, 1, 5)
            if not fds:
                break
            _one(cell, link, fds, own, proc)
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.stderr.flush()
    os._exit(1)


def _prepare(plan: dict[str, Any]) -> None:
    """What every program has to have, done once: it is inherited."""
    sys.path += plan["path"]
    for name in plan["preload"]:
        __import__(name)
    _site.interactive()
    sys.set_int_max_str_digits(0)
    for number in range(1, 65):
        if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    _kernel.prctl(_kernel.PR_SET_CHILD_SUBREAPER, 1)
    _kernel.prctl(_kernel.PR_SET_DUMPABLE, 0)
    _kernel.bound_capabilities()
    if plan["uid"]:
        os.setgroups([])


def _shared(plan: dict[str, Any], proc: int) -> tuple[int, int]:
    """Landlock's rules, where they are the same for every program, and our own process namespace; -1 for none."""
    ruleset = own = -1
    if {"mount", "landlock"} <= set(plan["layers"]):
        ruleset = _kernel.landlock(plan, "/box")
    if "pid" in plan["layers"]:
        own = os.open("self/ns/pid", os.O_RDONLY, dir_fd=proc)
    return ruleset, own


def _one(cell: _program.Cell, link: socket.socket, fds: list[int], own: int, proc: int) -> None:
    if own >= 0:
        _kernel.enter(own)  # a second namespace can only be made from our own
        _kernel.unshare(_kernel.CLONE_NEWPID)
    pid = os.fork()
    if pid == 0:
        cell.become(fds)
    for fd in fds:
        os.close(fd)
    watched = os.pidfd_open(pid)
    socket.send_fds(link, [_line(pid)], [watched])
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    killed = ended is not None and ended.si_status == signal.SIGKILL
    allowed = _cpu_limit(proc, number(proc, watched)) if killed else 0
    os.close(watched)
    _, status, usage = os.wait4(pid, 0)
    _reap(proc)
    _say(link, status, round((usage.ru_utime + usage.ru_stime) * 1e6), usage.ru_maxrss, allowed)


def _cpu_limit(proc: int, pid: int) -> int:
    """Seconds of CPU time that a process was limited to at its end; 0 for none, -1 if the kernel does not say."""
    try:
        line = next(line for line in read(proc, f"{pid}/limits").splitlines() if line.startswith("Max cpu time"))
    except (OSError, StopIteration):
        return -1
    return min((int(word) for word in line.split() if word.isdigit()), default=0)


def _line(*numbers: int) -> bytes:
    return " ".join(map(str, numbers)).encode("ascii").ljust(REPLY)


def _say(link: socket.socket, *numbers: int) -> None:
    link.sendall(_line(*numbers))


def _reap(proc: int) -> None:
    """Kill and wait for what was left to us, the nearest subreaper, until nothing is.

    A process namespace leaves nothing.
    """
    while True:
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        for child in children(proc, os.getpid()):
            with contextlib.suppress(OSError):
                os.kill(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)


def number(proc: int, pidfd: int) -> int:
    """The id, in the namespace of a /proc, of the process of a descriptor; 0 if the kernel does not say."""
    with contextlib.suppress(OSError, ValueError):
        for line in read(proc, f"self/fdinfo/{pidfd}").splitlines():
            if line.startswith("Pid:"):
                return max(0, int(line.split()[1]))
    return 0


def read(proc: int, path: str) -> str:
    """A file below /proc."""
    fd = os.open(path, os.O_RDONLY, dir_fd=proc)
    try:
        return os.read(fd, 1 << 16).decode("ascii", "replace")
    finally:
        os.close(fd)


def children(proc: int, pid: int) -> list[int]:
    """Descendants, as far as the kernel tells them."""
    found: list[int] = []
    with contextlib.suppress(OSError, ValueError):
        for child in read(proc, f"{pid}/task/{pid}/children").split():
            found += [int(child), *children(proc, int(child))]
    return found
