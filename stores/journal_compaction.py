"""The journal of a finished run, in fewer files, or dropped.

Invariants: a segment is made of segments of one attempt, since which records count depends on the attempt that wrote
them, and of neighbouring ranges of problems; every whole line stands in it as it was, in the order of the segments that
it is made of, so that the same record counts. It has its name before the old ones go: a kill in between leaves lines
twice, and of two records of one rollout the earlier counts, so that nothing is lost or doubled.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from uuid import uuid4

from synthflow.stores.files import fsync_dir, written_aside
from synthflow.stores.journal import is_whole
from synthflow.stores.segments import attempt_of

SEGMENT_BYTES = 256 << 20


def compact_journal(folder: Path) -> None:
    """Put small segments together. Only for whoever holds the lock, while nobody samples."""
    for segments in _together(sorted(folder.glob("*.jsonl"))):
        low = min(path.name.split("-")[0] for path in segments)
        high = max(path.name.partition(".")[0].partition("-")[2] for path in segments)
        name = f"{low}-{high}.{attempt_of(segments[0].name):04d}-{time.time_ns():020d}-{uuid4().hex[:6]}.jsonl"
        with written_aside(folder / name) as aside, aside.open("wb") as out:
            for path in segments:
                with path.open("rb") as handle:
                    out.writelines(line for line in handle if is_whole(line.rstrip(b"\n")))
        for path in segments:
            path.unlink()
        fsync_dir(folder)


def drop_journal(folder: Path) -> None:
    """Remove all that was sampled from the journal: it stands in the tables alone from here on."""
    for path in folder.glob("*.jsonl"):
        path.unlink()


def _together(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Segments of one attempt that follow one another, some of `SEGMENT_BYTES` at a time; one alone is left out."""
    by_attempt = sorted(paths, key=lambda path: (attempt_of(path.name), path.name))
    for _, segments in groupby(by_attempt, key=lambda path: attempt_of(path.name)):
        held: list[Path] = []
        size = 0
        for path in segments:
            held.append(path)
            size += path.stat().st_size
            if size >= SEGMENT_BYTES:
                yield from [held] if len(held) > 1 else []
                held, size = [], 0
        if len(held) > 1:
            yield held
