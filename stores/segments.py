"""Which segments of a journal may hold the rollouts of some problems: their names say it.

A segment is named by the range of problem ids that it was opened for, the attempt, the time and a chance number. What
lies beside one has its name and another suffix. Nothing is renamed, and no attempt but the last makes new ones.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Iterable
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

import numpy as np

SUFFIX = ".jsonl"
NOTES = ".open"
"""What lies beside a segment that is written to: see `in_flight`."""


def _range(problem_ids: Iterable[str]) -> tuple[str, str]:
    ids = [p.partition("_")[2][:8] for p in problem_ids]
    return min(ids), max(ids)


def new_name(problem_ids: Collection[str], attempt: int) -> str:
    """A name that no segment has."""
    low, high = _range(problem_ids)
    return f"{low}-{high}.{attempt:04d}-{time.time_ns():020d}-{uuid4().hex[:6]}{SUFFIX}"


def attempt_of(segment: str) -> int:
    """The attempt that wrote a segment, from its name."""
    return int(segment.split(".")[1].partition("-")[0])


class Names:
    """Names of segments with their ranges as columns: a question costs no loop over the names."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names: list[str] = []
        self._low, self._high = np.empty(64, "U8"), np.empty(64, "U8")
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        at = len(self._names)
        if at == len(self._low):
            self._low, self._high = (np.concatenate([ends, np.empty_like(ends)]) for ends in (self._low, self._high))
        self._low[at], _, self._high[at] = name.partition(".")[0].partition("-")
        self._names.append(name)

    def of(self, problem_ids: Collection[str]) -> list[str]:
        """Those whose range overlaps that of `problem_ids`, sorted."""
        if not problem_ids or not self._names:
            return []
        (low, high), n = _range(problem_ids), len(self._names)
        return sorted(self._names[at] for at in np.flatnonzero((self._low[:n] <= high) & (self._high[:n] >= low)))


def segments(folder: Path, problem_ids: Collection[str]) -> list[Path]:
    """Segments whose range overlaps that of `problem_ids`, oldest name first."""
    return [folder / name for name in Names(_listed(folder, SUFFIX)).of(problem_ids)]


def _listed(folder: Path, suffix: str) -> list[str]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:  # no Path is made of any
        return [entry.name for entry in entries if entry.name.endswith(suffix)]


class Listing:
    """A journal's folder as this process knows it: every name is read once. Thread-safe.

    Args:
        alone: nobody else writes into the folder from now on, so that it is listed once.
    """

    def __init__(self, folder: Path, *, alone: bool) -> None:
        self._folder, self._alone = folder, alone
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._segments, self._notes = Names(), Names()
        self._listed = False

    def look(self) -> None:
        """See what others have written."""
        with self._lock:
            if self._listed and self._alone:
                return
            self._listed = True
            for name in _listed(self._folder, SUFFIX):
                self._add(name)
            self._notes = Names(_listed(self._folder, NOTES))

    def wrote(self, segment: Path) -> None:
        """A segment of this process."""
        with self._lock:
            self._add(segment.name)

    def _add(self, name: str) -> None:
        if name not in self._known:
            self._known.add(name)
            self._segments.add(name)

    def segments(self, problem_ids: Collection[str]) -> list[Path]:
        with self._lock:
            return [self._folder / name for name in self._segments.of(problem_ids)]

    def notes(self, problem_ids: Collection[str]) -> list[Path]:
        """Notes that were there at the last look."""
        with self._lock:
            return [self._folder / name for name in self._notes.of(problem_ids)]


@lru_cache(maxsize=4)
def _kept(folder: Path, token: str, alone: bool) -> Listing:
    return Listing(folder, alone=alone)


def listing(folder: Path, token: str, *, alone: bool = False) -> Listing:
    """This process's listing of a journal in an attempt; without the attempt's token one of its own."""
    return _kept(folder, token, alone) if token else Listing(folder, alone=alone)
