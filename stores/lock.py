"""A lease on a run directory: two runs exclude each other, and a dead owner does not keep anybody out.

The lock file says who holds it: host, pid, boot id, start of the process, heartbeat. On the owner's own host it is
stale when that process is gone (or the machine was restarted); from another host it is stale when its heartbeat is
older than `STALE_AFTER_S`. A stale lock is renamed away before a new one is created exclusively, so of two takers one
wins. A copy of a run has a copy of its lock, which holds nothing: the lock says of which folder it is.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import psutil

from synthflow.errors import ExitCode, RunLocked
from synthflow.stores.files import no_space_is_clear, write_text

HEARTBEAT_S = 10.0
STALE_AFTER_S = 120.0


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return str(int(psutil.boot_time()))


def read_lock(root: Path) -> dict[str, Any] | None:
    """Who holds the lock, or None. A lock that cannot be parsed is held by nobody known: age decides."""
    path = root / "lock"
    try:
        holder = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        return {"host": "unknown", "pid": 0, "boot": "", "started": 0.0, "heartbeat": path.stat().st_mtime}
    return holder if isinstance(holder, dict) else None


def _folder(root: Path) -> int:
    """What a folder keeps when it is moved, and its copy does not have."""
    return root.stat().st_ino


def is_stale(holder: dict[str, Any], root: Path) -> bool:
    """Whether a lock in `root` was copied there, or its owner is known, or old enough to be presumed, dead."""
    if holder.get("folder") not in (None, _folder(root)):
        return True
    if holder["host"] == socket.gethostname():
        if holder["boot"] != _boot_id():
            return True
        try:
            process = psutil.Process(int(holder["pid"]))
            alive = process.status() != psutil.STATUS_ZOMBIE
            return not alive or abs(process.create_time() - float(holder["started"])) > 2.0
        except psutil.NoSuchProcess:
            return True
    return time.time() - float(holder["heartbeat"]) > STALE_AFTER_S


def _leave(why: str) -> None:
    """End this process at once: two that append to one manifest would damage it."""
    sys.stderr.write(f"error: {why}\n")
    sys.stderr.flush()
    os._exit(ExitCode.LOCKED)


class RunLock:
    """Hold a run directory for the life of a `with` block.

    Args:
        lost: called from a thread, with the reason, when the lock is found taken over; ends this process by default.

    Raises:
        RunLocked: if another live process holds it; the message says who and since when.
    """

    def __init__(self, root: Path, lost: Callable[[str], None] | None = None) -> None:
        self.path = root / "lock"
        self.root = root
        self._lost = lost or _leave
        self._nonce = uuid4().hex
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def _content(self) -> str:
        return json.dumps(
            {
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "boot": _boot_id(),
                "started": psutil.Process().create_time(),
                "heartbeat": time.time(),
                "nonce": self._nonce,
                "folder": _folder(self.root),
            }
        )

    def __enter__(self) -> Self:
        for _ in range(5):
            with no_space_is_clear(self.path):
                try:
                    fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
                except FileExistsError:
                    self._clear_stale()
                    continue
                with os.fdopen(fd, "w") as handle:
                    handle.write(self._content())
            self._thread = threading.Thread(target=self._beat, daemon=True, name="synthflow-lock")
            self._thread.start()
            return self
        raise RunLocked(f"{self.path}: taken over by other processes again and again; try again")

    def _clear_stale(self) -> None:
        holder = read_lock(self.root)
        if holder is None:
            return
        if not is_stale(holder, self.root):
            age = time.time() - float(holder["heartbeat"])
            raise RunLocked(
                f"{self.root} is held by process {holder['pid']} on {holder['host']} (last sign of life "
                f"{age:.0f} s ago); wait for it, stop it, or give another --out"
            )
        with suppress(FileNotFoundError):
            aside = self.path.with_name(f".lock.{self._nonce}.stale")
            self.path.rename(aside)
            aside.unlink()

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            holder = read_lock(self.root)
            if self._stop.is_set():
                return
            if holder is None or holder.get("nonce") != self._nonce:  # never write into somebody else's lock
                whose = "nobody" if holder is None else f"process {holder['pid']} on {holder['host']}"
                self._lost(
                    f"{self.root} is now held by {whose}: this run gave no sign of life for more than "
                    f"{STALE_AFTER_S:g} s, or its lock was removed. It stops; what it finished is kept"
                )
                return
            with suppress(OSError):
                write_text(self.path, self._content())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=2)
        holder = read_lock(self.root)
        if holder is not None and holder.get("nonce") == self._nonce:
            with suppress(FileNotFoundError):
                self.path.unlink()
