"""The process that runs one task on one item after another, and may be killed at any moment.

Invariants: it never outlives its parent (killed by the kernel when the parent dies, ends at the end of its input);
it answers in the order of its input, one JSON line an item, on a private copy of stdout, so that whatever a library
prints cannot be taken for an answer; an exception of the task is an answer, not an end. The kernel ends it when an
item has used its CPU seconds, which are the same on a busy machine. After running out of memory
it says so and leaves, because a heap that was full once is not to be trusted. It imports nothing heavy itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

MEMORY_EXIT = 86
"""Exit status of a child that ran out of memory and could not even say so."""

CPU_SIGNAL = signal.SIGPROF
"""What ends a child whose item has used up its CPU seconds: the timer's signal, which nobody handles."""

_PR_SET_PDEATHSIG = 1
_FORBIDDEN = frozenset(
    {"os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "subprocess.Popen", "socket.connect"}
    | {"socket.bind", "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate"}
    | {"os.chmod", "os.chown", "shutil.rmtree", "ctypes.dlopen", "os.kill", "os.putenv"}
)


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when the thread that started it dies, and leave if it is gone already."""
    with contextlib.suppress(OSError, AttributeError):  # not Linux: the end of our input still ends us
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def limit(memory_mb: int) -> None:
    """No core dumps, and an address space of `memory_mb`."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = memory_mb * 2**20
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, wanted))


def lock_down() -> None:
    """From here on, starting programs, connecting, and writing or removing files raise PermissionError.

    A second line of defence only: no text of a model is evaluated in the first place. It cannot be undone.
    """

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in _FORBIDDEN:
            raise PermissionError(f"{event} is not allowed in a verifier's worker")
        if event == "open" and _writes(args):
            raise PermissionError("opening a file for writing is not allowed in a verifier's worker")

    sys.addaudithook(hook)


def _writes(args: tuple[Any, ...]) -> bool:
    path, mode, flags = (*args, None, None, None)[:3]
    if isinstance(path, int):
        return False  # a descriptor is open already
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))


def load(task: str) -> Callable[[Any], Any]:
    """The function `module:name`."""
    module, _, name = task.partition(":")
    function: Callable[[Any], Any] = getattr(importlib.import_module(module), name)
    return function


def _send(fd: int, answer: dict[str, Any]) -> None:
    data = memoryview(json.dumps(answer).encode("ascii") + b"\n")
    while data:
        data = data[os.write(fd, data) :]


def _one(task: Callable[[Any], Any], line: bytes) -> dict[str, Any]:
    started = time.perf_counter()
    index, payload = json.loads(line)
    answer: dict[str, Any] = {"index": index}
    try:
        answer["value"] = task(payload)
    except MemoryError as error:
        answer |= {"reason": "memory", "detail": str(error)[:300] or "the memory limit was reached", "leaving": True}
    except BaseException as error:  # libraries raise SystemExit and worse
        answer |= {"reason": "verifier_error", "detail": f"{type(error).__name__}: {_text_of(error)}"}
    answer["elapsed_s"] = time.perf_counter() - started
    return answer


def _text_of(error: BaseException) -> str:
    """The message, short; making it may itself fail or be endless, as with a power tower in it."""
    try:
        return str(error.args[0])[:300] if error.args and isinstance(error.args[0], str) else ""
    except Exception:
        return ""


def main() -> None:
    """Serve until the input ends. The configuration is a JSON object in the first argument."""
    config = json.loads(sys.argv[1])
    die_with_parent(config["parent"])
    limit(config["memory_mb"])
    requests, replies = os.fdopen(os.dup(0), "rb"), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    sys.path[:0] = config["path"]
    try:
        task = load(config["task"])
        if config["lock_down"]:
            lock_down()
        _send(replies, {"ready": True})
        cpu_s = config["cpu_s"] or 0.0  # a timer of zero is none
        signal.signal(CPU_SIGNAL, signal.SIG_DFL)
        for line in requests:
            signal.setitimer(signal.ITIMER_PROF, cpu_s)
            answer = _one(task, line)
            signal.setitimer(signal.ITIMER_PROF, 0.0)
            _send(replies, answer)
            if answer.get("leaving"):
                break
    except MemoryError:
        os._exit(MEMORY_EXIT)
    except BrokenPipeError:
        os._exit(0)
    os._exit(0)  # no destructors: there may be gigabytes to free


if __name__ == "__main__":
    main()
