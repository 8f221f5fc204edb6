"""Tasks that misbehave, run by the worker pool's tests inside child processes."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any


def misbehave(item: list[Any]) -> Any:
    """`[what, argument]`: do it."""
    what, argument = item
    return _ACTS[what](argument)


def _allocate(megabytes: int) -> int:
    hoard = [bytearray(2**20) for _ in range(megabytes)]
    return len(hoard)


def _raise(message: str) -> None:
    raise ValueError(message)


def _shout(message: str) -> str:
    print(message)
    print(message, file=sys.stderr)
    os.write(1, b"[0, null]\n")
    return message


def _abort(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGABRT)


def _stubborn(seconds: float) -> None:
    """Ignores every signal that can be ignored, and never returns to the interpreter's loop for long."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pow(7, 10**6)


_ACTS = {
    "echo": lambda x: x,
    "sleep": lambda s: time.sleep(s),
    "spin": _stubborn,
    "allocate": _allocate,
    "raise": _raise,
    "exit": lambda code: os._exit(code),
    "sys.exit": lambda code: sys.exit(code),
    "abort": _abort,
    "shout": _shout,
    "pid": lambda _: os.getpid(),
    "recurse": lambda n: _ACTS["recurse"](n),
    "long": lambda n: "x" * n,
    "system": lambda command: os.system(command),
    "write": lambda path: open(path, "w").write("x"),  # noqa: SIM115, PTH123
    "core": lambda _: __import__("resource").getrlimit(__import__("resource").RLIMIT_CORE)[0],
}


def ground_types(_: None) -> list[str]:
    """What SymPy and mpmath compute with in this process."""
    import mpmath
    import sympy.external.gmpy

    return [sympy.external.gmpy.GROUND_TYPES, mpmath.libmp.BACKEND]
