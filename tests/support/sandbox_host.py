"""What attacks aim at, outside of the sandbox, and whether they hit it."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from synthflow.verifiers.sandbox import describe, launch

TOKEN = "token-that-nobody-may-see"


def needs(stack: str) -> None:
    """Skip where this machine has no such stack; in CI that is a failure of the test instead."""
    problem = describe()[stack].problem
    if problem and not os.environ.get("CI"):
        pytest.skip(problem)


class Host:
    """A secret, a folder anybody may write to, a process of the programs' user, sockets; `hits`: what was hit."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)
        self.secret, self.outside = folder / "secret", folder / "outside"
        self.secret.write_text(TOKEN)
        self.outside.mkdir()
        self.outside.chmod(0o777)
        (self.outside / "kept").write_text("kept")
        (self.outside / "kept").chmod(0o666)
        self._stack = ExitStack()
        self.victim: subprocess.Popen[bytes] | None = None
        inet, unix = socket.AF_INET, socket.AF_UNIX
        self._sockets = {
            "TCP": self._socket(inet, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            "UDP": self._socket(inet, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            "UNIX": self._socket(unix, socket.SOCK_STREAM, str(folder / "u")),
            "DATAGRAM": self._socket(unix, socket.SOCK_DGRAM, str(folder / "d")),
            "ABSTRACT": self._socket(unix, socket.SOCK_STREAM, f"\0synthflow-{os.getpid()}"),
        }
        for name in ("u", "d"):
            (folder / name).chmod(0o777)
        self._names = {
            "SECRET": str(self.secret),
            "PYTHON": launch.interpreter(),
            "OUTSIDE": str(self.outside),
            "TOKEN": TOKEN,
            "PARENT": str(os.getpid()),
            "TCP": str(self._sockets["TCP"].getsockname()[1]),
            "UDP": str(self._sockets["UDP"].getsockname()[1]),
            "UNIX": str(folder / "u"),
            "DATAGRAM": str(folder / "d"),
            "ABSTRACT": f"synthflow-{os.getpid()}",
        }

    def _socket(self, family: int, kind: int, address: Any) -> socket.socket:
        made = self._stack.enter_context(socket.socket(family, kind))
        made.bind(address)
        if kind == socket.SOCK_STREAM:
            made.listen(64)
        return made

    def start_victim(self, uid: int) -> None:
        """A process of the user that programs run as."""
        self.victim = subprocess.Popen(["sleep", "600"], user=uid if os.geteuid() == 0 else None)
        self._names["VICTIM"] = str(self.victim.pid)

    def fill(self, code: str) -> str:
        for name, value in self._names.items():
            code = code.replace(f"@{name}@", value)
        return code

    def hits(self) -> list[str]:
        """What is not as it was."""
        found = [f"somebody called at {name}" for name, s in self._sockets.items() if select.select([s], [], [], 0)[0]]
        if self.victim is not None:
            process = psutil.Process(self.victim.pid)
            stopped, reniced = process.status() == psutil.STATUS_STOPPED, process.nice() != os.nice(0)
            if self.victim.poll() is not None or stopped or reniced:
                found.append("the victim was killed, stopped or reniced")
        if sorted(p.name for p in self.outside.iterdir()) != ["kept"] or (self.outside / "kept").read_text() != "kept":
            found.append("the folder outside was changed")
        found += [str(p) for p in (Path("/dev/shm/synthflow-attack"), Path("/tmp/synthflow-attack")) if p.exists()]
        return found

    def close(self) -> None:
        if self.victim is not None:
            self.victim.kill()
            self.victim.wait()
        self._stack.close()


def processes() -> int:
    """Processes below us."""
    return len(psutil.Process().children(recursive=True))


def leftovers(count: int) -> list[str]:
    """Processes below us beyond `count`, any of the user that programs run as, and directories of programs."""
    ours = psutil.Process().children(recursive=True)
    found = [f"{len(ours)} processes, not {count}: {ours}"] if len(ours) > count else []
    if os.geteuid() == 0:
        found += [str(p) for p in psutil.process_iter() if _uid(p) in launch.program_uids() and p.name() != "sleep"]
    return found + [str(p) for p in Path(tempfile.gettempdir()).glob(f"{launch.PREFIX}{os.getpid()}-*")]


def _uid(process: psutil.Process) -> int:
    try:
        return process.uids().real
    except psutil.Error:
        return -1
