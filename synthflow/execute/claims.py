"""Two stages may want the same rollouts at the same time; each is sampled once all the same.

Invariants: of the tasks on one machine at most one samples a rollout at a time: the others wait, and find it in the
journal. Processes of a machine wait for each other by locks on single bytes of a file, a byte a rollout, which the
kernel gives back when a process dies. Where two machines sampled a rollout at the same time, the record that was
journaled first counts for both.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path

from synthflow.stores.journal import Standing, find
from synthflow.stores.segments import segments

CLOCKS_DIFFER_S = 60.0
"""How far the clock of a network disk may be behind ours: our default."""

ASK_AGAIN_S = 0.05
"""Between two tries for a lock that the kernel took for a circle: our default."""

_changed = threading.Condition()
_claimed: set[tuple[Path, str]] = set()


@contextmanager
def claimed(root: Path, rollouts: Collection[str], *, alone: bool = False) -> Iterator[None]:
    """Hold these rollouts of a run, all at once, when no other task holds one of them.

    Args:
        alone: no other process samples: nobody but tasks of this one can hold them.
    """
    mine = {(root, rollout) for rollout in rollouts}
    with _changed:
        _changed.wait_for(lambda: _claimed.isdisjoint(mine))
        _claimed.update(mine)
    try:
        with nullcontext() if alone else _locked(root, rollouts):
            yield
    finally:
        with _changed:
            _claimed.difference_update(mine)
            _changed.notify_all()


@contextmanager
def _locked(root: Path, rollouts: Collection[str]) -> Iterator[None]:
    """Hold these rollouts against other processes of this machine, where it has locks."""
    file = _file_of(root, os.getpid())
    if file is None:
        yield
        return
    places = sorted({_place(rollout) for rollout in rollouts})  # in one order, so that nobody waits in a circle
    try:
        for place in places:
            _lock(file, place)
        yield
    finally:
        for place in places:
            _unlock(file, place)


@lru_cache(maxsize=64)
def _file_of(root: Path, process: int) -> int | None:
    """This process's one descriptor of a run's file of locks: closing any other would give back all of them.

    None where there can be no such file: then the record that was journaled first counts.
    """
    name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:24]
    try:
        path = Path(tempfile.gettempdir()) / f"synthflow-{os.getuid()}-{name}.claims"
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        return None


def _place(rollout: str) -> int:
    return int.from_bytes(hashlib.sha256(rollout.encode()).digest()[:7], "big")


def _lock(file: int, place: int) -> None:
    """Wait for one place.

    The kernel takes two processes that wait for each other for a circle, though it may be two pairs of their threads;
    in our order there are no circles, so one asks again.
    """
    while True:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX, 1, place)
        except OSError as error:
            if error.errno != errno.EDEADLK:
                return  # no locks here: then the record that was journaled first counts
            time.sleep(ASK_AGAIN_S)
        else:
            return


def _unlock(file: int, place: int) -> None:
    with contextlib.suppress(OSError):
        fcntl.lockf(file, fcntl.LOCK_UN, 1, place)


def journaled_first(
    folder: Path,
    problem_ids: Collection[str],
    rollouts: Collection[str],
    own: Path,
    since: float,
    standing: Standing | None = None,
) -> dict[str, bytes]:
    """The line of each rollout's first record, where another process may have journaled some; empty where none did.

    Args:
        own: the segment that this task wrote.
        since: Unix time at which it began: segments that nobody has written to since hold nothing new.
    """
    overlapping = segments(folder, problem_ids)
    others = [p for p in overlapping if p != own and p.stat().st_mtime >= since - CLOCKS_DIFFER_S]
    return find([own, *others], rollouts, standing) if others else {}
