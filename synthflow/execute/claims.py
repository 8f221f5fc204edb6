"""Two stages may want the same rollouts at the same time; each is sampled once all the same.

Invariants: of the tasks of one process at most one samples a rollout at a time: the others wait, and find it in the
journal. Where two processes sampled a rollout at the same time, the record that was journaled first counts for both.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from synthflow.contracts import SampleResult
from synthflow.stores.journal import Standing, lookup, segments

CLOCKS_DIFFER_S = 60.0
"""How far the clock of a network disk may be behind ours: our default."""

_changed = threading.Condition()
_claimed: set[tuple[Path, str]] = set()


@contextmanager
def claimed(root: Path, rollouts: Collection[str]) -> Iterator[None]:
    """Hold these rollouts of a run, all at once, when no other task of this process holds one of them."""
    mine = {(root, rollout) for rollout in rollouts}
    with _changed:
        _changed.wait_for(lambda: _claimed.isdisjoint(mine))
        _claimed.update(mine)
    try:
        yield
    finally:
        with _changed:
            _claimed.difference_update(mine)
            _changed.notify_all()


def journaled_first(
    folder: Path,
    problem_ids: Collection[str],
    rollouts: Collection[str],
    own: Path,
    since: float,
    standing: Standing | None = None,
) -> dict[str, SampleResult]:
    """The first record of each rollout, where another process may have journaled some; empty where none did.

    Args:
        own: the segment that this task wrote.
        since: Unix time at which it began: segments that nobody has written to since hold nothing new.
    """
    overlapping = segments(folder, problem_ids)
    others = {p.name for p in overlapping if p != own and p.stat().st_mtime >= since - CLOCKS_DIFFER_S}
    if not others:
        return {}
    unchanged = {p.name for p in overlapping} - others - {own.name}
    return lookup(folder, problem_ids, rollouts, unchanged, standing)[0]
