"""The sampling journal: a finished rollout is on disk before it is anything else.

Append-only segments, one a writer, each named by the range of problem ids it was opened for, so that whoever needs
the rollouts of some problems reads only the segments whose range overlaps theirs: no index, no memory-mapped
database, and partitions may be regrouped between attempts. A line is a CRC-32 of its JSON, a space, the JSON. A line
that does not check is owed again, never an error. Records are matched by rollout_id; of two records of one rollout
the earlier in time counts, so what was read once is read again. Only what was asked again after a refusal has two that
differ: there an answer counts before what is none.

A record reaches the kernel before `append` returns, which survives `kill -9`; it reaches the disk within a second,
or when the segment is closed.
"""

from __future__ import annotations

import base64
import os
import threading
import time
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import numpy as np
import orjson
from numpy.typing import NDArray

from synthflow.contracts import UNANSWERED, SampleResult
from synthflow.stores.files import no_space_is_clear

_FSYNC_EVERY_S = 1.0


def _pack(values: Sequence[int] | Sequence[float] | None, dtype: str) -> str | None:
    return None if values is None else base64.b64encode(np.asarray(values, dtype).tobytes()).decode("ascii")


def _unpack(text: str | None, dtype: str) -> tuple[int, ...] | tuple[float, ...] | None:
    return None if text is None else tuple(np.frombuffer(base64.b64decode(text), dtype).tolist())


def encode(result: SampleResult, problem_id: str, at_ns: int) -> bytes:
    """One journal line. Token ids are little-endian int32 and logprobs float32, in base64: exact and short.

    What few results have (entropies of scored tokens, notes, where the answer begins) stands in lines that have it.
    """
    entropies = {"entropies": _pack(result.entropies, "<f4"), "exact": result.entropies_exact}
    body = orjson.dumps(
        {
            "id": result.rollout_id,
            "problem": problem_id,
            "t": at_ns,
            # orjson refuses lone surrogates; hostile text keeps its content through surrogatepass
            "text": base64.b64encode(result.text.encode("utf-8", "surrogatepass")).decode("ascii"),
            "finish": result.finish_reason,
            "tokens": _pack(result.token_ids, "<i4"),
            "logprobs": _pack(result.logprobs, "<f4"),
            "sampling_logprobs": _pack(result.sampling_logprobs, "<f4"),
            "n_tokens": result.n_tokens,
            "prompt_tokens": result.prompt_tokens,
            "reason": result.reason,
            "elapsed_s": result.elapsed_s,
            **(entropies if result.entropies is not None else {}),
            **({"notes": result.notes} if result.notes else {}),
            **({"answer": result.answer_start} if result.answer_start is not None else {}),
        }
    )
    return b"%08x %s\n" % (zlib.crc32(body), body)


def decode(line: bytes) -> tuple[int, SampleResult] | None:
    """(time in ns, result) of a journal line, or None for a torn or damaged one."""
    if not is_whole(line):
        return None
    try:
        record = orjson.loads(line[9:])
    except ValueError:
        return None
    return int(record["t"]), SampleResult(
        rollout_id=record["id"],
        text=base64.b64decode(record["text"]).decode("utf-8", "surrogatepass"),
        finish_reason=record["finish"],
        token_ids=_unpack(record["tokens"], "<i4"),  # type: ignore[arg-type]
        logprobs=_unpack(record["logprobs"], "<f4"),
        sampling_logprobs=_unpack(record["sampling_logprobs"], "<f4"),
        n_tokens=record["n_tokens"],
        prompt_tokens=record["prompt_tokens"],
        reason=record["reason"],
        elapsed_s=record["elapsed_s"],
        entropies=_unpack(record.get("entropies"), "<f4"),
        entropies_exact=record.get("exact"),
        notes=tuple(record.get("notes", ())),
        answer_start=record.get("answer"),
    )


def _range(problem_ids: Iterable[str]) -> tuple[str, str]:
    ids = [p.partition("_")[2][:8] for p in problem_ids]
    return min(ids), max(ids)


def segments(folder: Path, problem_ids: Collection[str], suffix: str = ".jsonl") -> list[Path]:
    """Segments (or what lies beside them) whose range overlaps that of `problem_ids`, oldest name first."""
    if not problem_ids or not folder.is_dir():
        return []
    low, high = _range(problem_ids)
    found = []
    with os.scandir(folder) as entries:  # every lookup of every partition comes here: no Path is made of the others
        for entry in entries:
            first, _, last = entry.name.partition(".")[0].partition("-")
            if first <= high and last >= low and entry.name.endswith(suffix):
                found.append(entry.name)
    return [folder / name for name in sorted(found)]


def attempt_of(segment: str) -> int:
    """The attempt that wrote a segment, from its name."""
    return int(segment.split(".")[1].partition("-")[0])


def _is_anothers(line: bytes, want: Collection[str]) -> bool:
    """Whether a line is, by its head as `encode` writes it, of a rollout nobody wants: not worth decoding."""
    return line[9:16] == b'{"id":"' and line[16 : line.find(b'"', 16)].decode("ascii", "replace") not in want


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as handle:
        for line in handle:
            yield line.rstrip(b"\n")


@dataclass(frozen=True, slots=True)
class Standing:
    """Which records without an answer (`UNANSWERED`) count for an attempt, and which are asked again.

    What an earlier attempt recorded counts if that attempt has ended, and nobody asked for it again since.

    Attributes:
        attempt: the one that looks.
        ended: the last one before it that ended.
        again: the latest one that asked again for what ended so, by finish_reason.
    """

    attempt: int
    ended: int
    again: Mapping[str, int] = field(default_factory=dict)

    def counts(self, finish_reason: str, attempt: int) -> bool:
        """Whether the record of an attempt counts."""
        if finish_reason not in UNANSWERED or attempt >= self.attempt:
            return True
        return self.again.get(finish_reason, 0) <= attempt <= self.ended


def lookup(
    folder: Path,
    problem_ids: Collection[str],
    wanted: Collection[str],
    skip: Collection[str] = (),
    standing: Standing | None = None,
) -> tuple[dict[str, SampleResult], list[str]]:
    """Journaled results of the `wanted` rollouts, and the names of the segments that were read.

    Args:
        skip: names of segments known to hold nothing new.
        standing: which records without an answer count; None counts all.
    """
    want = set(wanted)
    best: dict[str, tuple[tuple[bool, int], SampleResult]] = {}
    read = []
    for path in segments(folder, problem_ids):
        if path.name in skip:
            continue
        read.append(path.name)
        for line in _lines(path):
            if _is_anothers(line, want):
                continue
            found = decode(line)
            if found is None or found[1].rollout_id not in want:
                continue
            at, result = found
            if standing is not None and not standing.counts(result.finish_reason, attempt_of(path.name)):
                continue
            known, order = best.get(result.rollout_id), (result.finish_reason in UNANSWERED, at)
            if known is None or order < known[0]:
                best[result.rollout_id] = (order, result)
    return {rollout: result for rollout, (_, result) in best.items()}, read


def answered(folder: Path, problem_ids: Collection[str], standing: Standing) -> NDArray[np.uint64]:
    """Places (`place`) of all ids that have a whole record that counts in the segments of some problems, sorted."""
    found: list[int] = []
    for path in segments(folder, problem_ids):
        attempt = attempt_of(path.name)
        found += [
            place(line[16:42].decode("ascii", "replace"))
            for line in _lines(path)
            if line[9:16] == b'{"id":"' and line[42:43] == b'"' and is_whole(line)
            and standing.counts(_finish_of(line), attempt)
        ]  # fmt: skip
    return np.unique(np.asarray(found, np.uint64))


def _finish_of(line: bytes) -> str:
    """The finish_reason of a line as `encode` writes it: no field before it holds a quotation mark."""
    start = line.find(b'"finish":"') + 10
    return line[start : line.find(b'"', start)].decode("ascii", "replace")


def tokens_spent(folder: Path) -> int:
    """Tokens of all whole records: what was ever sampled into this journal. Bytes, where nobody counted the tokens."""
    total = 0
    for path in sorted(folder.glob("*.jsonl")):
        for line in _lines(path):
            if is_whole(line):
                record = orjson.loads(line[9:])
                n = record["n_tokens"]
                total += len(base64.b64decode(record["text"])) if n is None else n
    return total


def place(rollout_id: str) -> int:
    """The first 64 bits of an id: two of a billion rollouts share them with a chance of one in forty."""
    return int(rollout_id[2:18], 16)


def is_whole(line: bytes) -> bool:
    """Whether a line, without its newline, is as it was written."""
    try:
        return line[8:9] == b" " and int(line[:8], 16) == zlib.crc32(line[9:])
    except ValueError:
        return False


class JournalWriter:
    """One segment, opened for the problems of one sampling task. Thread-safe."""

    def __init__(self, folder: Path, problem_ids: Collection[str], attempt: int) -> None:
        low, high = _range(problem_ids)
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{low}-{high}.{attempt:04d}-{time.time_ns():020d}-{uuid4().hex[:6]}.jsonl"
        self._lock = threading.Lock()
        self._fd: int | None = None
        self._synced_at = 0.0

    def append(self, result: SampleResult, problem_id: str) -> None:
        """Journal one result. On return it survives the death of this process.

        Raises:
            NoSpace: if the disk is full; a partial line is cut off again.
        """
        with self._lock, no_space_is_clear(self.path):
            if self._fd is None:
                self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            line = encode(result, problem_id, time.time_ns())
            size = os.fstat(self._fd).st_size
            try:
                written = os.write(self._fd, line)
                while written < len(line):
                    written += os.write(self._fd, line[written:])
            except OSError:
                os.ftruncate(self._fd, size)
                raise
            now = time.monotonic()
            if now - self._synced_at > _FSYNC_EVERY_S:
                os.fsync(self._fd)
                self._synced_at = now

    def close(self) -> None:
        with self._lock:
            if self._fd is not None:
                os.fsync(self._fd)
                os.close(self._fd)
                self._fd = None
