"""Commits as the lines of a manifest hold them, and where their shards stand once files were put together.

Invariant: what is held of a commit is its line, so that a manifest of ten million rollouts is read in under a second
and takes little more memory than the file; a `Commit` is made of it for whoever asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

import orjson

from synthflow.stores.shards import Shard

SAMPLED = ("rollouts", "artifacts")
"""Tables whose rows policies write."""

Key = tuple[str, str, str]
"""Stage, fingerprint, key of a unit of work."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A finished unit of work: one stage over one partition (`unit`), or over everything (`unit` is `all`).

    `files` are those of an export: relative path -> sha256. `unanswered` counts what was asked and has no answer, by
    finish_reason.
    """

    stage: str
    fingerprint: str
    stage_id: str
    unit: str
    key: str
    attempt: int
    shards: tuple[Shard, ...]
    files: Mapping[str, str]
    unanswered: Mapping[str, int] = field(default_factory=dict)

    @property
    def sampled(self) -> int:
        """Rows of this unit that a policy was asked for."""
        return sum(shard.rows for shard in self.shards if shard.table in SAMPLED)

    def to_json(self) -> dict[str, Any]:
        record: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        record["shards"] = [shard.to_json() for shard in self.shards]
        if not self.unanswered:
            del record["unanswered"]
        return {"kind": "commit", **record}

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> Commit:
        fields = {name: record[name] for name in Commit.__slots__ if name not in ("shards", "unanswered")}
        shards = tuple(Shard.from_json(s) for s in record["shards"])
        return Commit(**fields, shards=shards, unanswered=record.get("unanswered", {}))


@dataclass(frozen=True, slots=True)
class Compacted:
    """One file in which shards of one stage and table stand, one after the other.

    Attributes:
        sources: the files that they came from.
        parts: (key of the commit, number of the source, rows) of each shard, in order.
    """

    stage: str
    fingerprint: str
    table: str
    path: str
    bytes: int
    sha256: str
    sources: tuple[str, ...]
    parts: tuple[tuple[str, int, int], ...]

    @property
    def rows(self) -> int:
        return sum(rows for _, _, rows in self.parts)

    def to_json(self) -> dict[str, Any]:
        record = {name: getattr(self, name) for name in self.__slots__}
        return {"kind": "compacted", **record, "sources": list(self.sources), "parts": [list(p) for p in self.parts]}

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> Compacted:
        fields = {name: record[name] for name in Compacted.__slots__ if name not in ("sources", "parts")}
        parts = tuple((str(key), int(source), int(rows)) for key, source, rows in record["parts"])
        return Compacted(**fields, sources=tuple(record["sources"]), parts=parts)


class Commits:
    """The commits that count, by stage, fingerprint and key; of two of one key the later counts."""

    def __init__(self) -> None:
        self._held: dict[Key, Commit | bytes] = {}
        self._moves: dict[Key, list[tuple[Compacted, int, int]]] = {}
        self._rows: dict[str, int] = {}

    def add(self, commit: Commit) -> None:
        self._put((commit.stage, commit.fingerprint, commit.key), commit)

    def add_line(self, record: Mapping[str, Any], line: bytes) -> None:
        """Add the commit of a line whose JSON is `record`."""
        self._put((record["stage"], record["fingerprint"], record["key"]), line)

    def _put(self, key: Key, held: Commit | bytes) -> None:
        self._held[key] = held
        self._moves.pop(key, None)

    def __contains__(self, key: Key) -> bool:
        return key in self._held

    def get(self, key: Key) -> Commit | None:
        held = self._held.get(key)
        if held is None:
            return None
        commit = held if isinstance(held, Commit) else Commit.from_json(orjson.loads(held))
        for to, part, start in self._moves.get(key, ()):
            commit = _moved(commit, to, part, start)
        return commit

    def pop(self, key: Key) -> Commit | None:
        commit = self.get(key)
        self._held.pop(key, None)
        self._moves.pop(key, None)
        return commit

    def known(self) -> list[Key]:
        return list(self._held)

    def __iter__(self) -> Iterator[Commit]:
        for key in list(self._held):
            commit = self.get(key)
            if commit is not None:
                yield commit

    def move(self, to: Compacted) -> None:
        """From here on the shards of these commits stand in this file."""
        starts = accumulate((rows for _, _, rows in to.parts), initial=0)
        for number, ((key, _, _), start) in enumerate(zip(to.parts, starts, strict=False)):
            of = (to.stage, to.fingerprint, key)
            if of in self._held:
                self._moves.setdefault(of, []).append((to, number, start))
        self._rows[to.path] = to.rows

    def rows_of(self, path: str) -> int | None:
        """Rows of a file that units share, whether or not they count still; None for a file of one unit."""
        return self._rows.get(path)


def _moved(commit: Commit, to: Compacted, part: int, start: int) -> Commit:
    _, source, rows = to.parts[part]
    shards = list(commit.shards)
    for number, shard in enumerate(shards):
        if (shard.table, shard.path, shard.rows) == (to.table, to.sources[source], rows):
            shards[number] = Shard(to.table, to.path, rows, to.bytes, to.sha256, start)
            break
    return replace(commit, shards=tuple(shards))


def shards_by_table(commits: Iterable[Commit]) -> dict[str, list[Shard]]:
    """Shards of some commits, grouped by table."""
    grouped: dict[str, list[Shard]] = {}
    for commit in commits:
        for shard in commit.shards:
            grouped.setdefault(shard.table, []).append(shard)
    return grouped
