"""Which requests were handed to an engine: what tells, after a death, what was in flight at it.

Invariant: a request is noted before its engine sees it, in a file beside the journal segment that its result goes to.
A request that was noted, has no result and did not fail by itself was in flight when its engine died. The notes are no
results: to lose them costs nothing but the knowledge of who was there. So a file goes when its task ends in a living
process, and those of the dead go with their attempt: there are never more than tasks at work and deaths. A torn last
line is no note.

A line is a sign and a rollout_id: `+` handed in, `*` handed in with nothing else in flight, `-` failed by itself (its
server was busy). `^` and `v` alone: a model begins to load, and is loaded. The first line says whose notes these are.
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from synthflow.stores.files import no_space_is_clear
from synthflow.stores.segments import NOTES, attempt_of


def _me() -> str:
    return f"#{socket.gethostname()} {os.getpid()} {psutil.Process().create_time():.2f}"


def _lives(owner: str) -> bool:
    """Whether the process that wrote a first line is still there; one of another host is presumed dead."""
    try:
        host, pid, started = owner.removeprefix("#").split(" ")
        return host == socket.gethostname() and abs(psutil.Process(int(pid)).create_time() - float(started)) < 1
    except (ValueError, psutil.Error):
        return False


class InFlightLog:
    """The notes beside one journal segment. Thread-safe: a note is one write."""

    def __init__(self, segment: Path) -> None:
        self.path = segment.with_suffix(NOTES)
        self._fd: int | None = None

    def _note(self, line: str) -> None:
        with no_space_is_clear(self.path):
            if self._fd is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
                line = f"{_me()}\n{line}"
            os.write(self._fd, f"{line}\n".encode())

    def opened(self, *rollout_ids: str, alone: bool = False) -> None:
        """Requests are about to be handed in; `alone` if nothing else is in flight meanwhile.

        Raises:
            NoSpace: if the disk is full.
        """
        sign = "*" if alone else "+"
        self._note("\n".join(f"{sign}{rollout_id}" for rollout_id in rollout_ids))

    def failed(self, rollout_id: str) -> None:
        """It failed by itself: no death is its fault."""
        self._note(f"-{rollout_id}")

    def loading(self) -> None:
        self._note("^")

    def loaded(self) -> None:
        self._note("v")

    def close(self, *, keep: bool = False) -> None:
        """The task has ended, and the process lives to say so: whoever was in flight has a result or is owed."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)
            if not keep:
                self.path.unlink(missing_ok=True)


@dataclass
class Deaths:
    """How often a request was in flight when its engine's process died, alone or not; and deaths during loading."""

    seen: Counter[str] = field(default_factory=Counter)
    alone: Counter[str] = field(default_factory=Counter)
    loading: int = 0


def deaths(notes: Iterable[Path], wanted: Collection[str], attempt: int) -> Deaths:
    """What the notes of dead processes of one attempt say about the `wanted` rollouts, which have no result."""
    found, want = Deaths(), set(wanted)
    for path in notes:
        if attempt_of(path.name) != attempt:
            continue
        try:
            whole, _, _ = path.read_text("utf-8", "replace").rpartition("\n")
        except FileNotFoundError:  # its task ended meanwhile
            continue
        owner, *lines = whole.split("\n")
        if _lives(owner):
            continue
        found.loading += lines.count("^") - lines.count("v")
        for note in lines:
            sign, rollout = note[:1], note[1:]
            if rollout in want:
                found.seen[rollout] += -1 if sign == "-" else 1
                found.alone[rollout] += sign == "*"
    return found


def forget_notes(folder: Path, attempt: int) -> None:
    """Remove the notes of the attempts before one: nobody asks for them any more."""
    for path in folder.glob(f"*{NOTES}"):
        if attempt_of(path.name) < attempt:
            path.unlink(missing_ok=True)
