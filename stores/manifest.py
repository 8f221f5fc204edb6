"""The manifest: which work is done, by whom, from what. Append-only lines; the only proof of completion.

Four kinds of lines. `attempt` opens an attempt with its plan (stages, fingerprints, parents). `partitions` says
which partitions of problems a source has in that attempt. `commit` says that a stage has finished a unit of work
and lists its shards. `done` says that an attempt has written everything, the catalog included. A commit is found again
by (stage, fingerprint, key), so the commits of an earlier spec stay and count again when the spec changes back. Only
the process that holds the run's lock appends. A torn last line is work that is owed again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from synthflow.errors import InvariantBroken
from synthflow.ids import content_id
from synthflow.stores.files import no_space_is_clear
from synthflow.stores.old_records import told
from synthflow.stores.shards import Shard

if TYPE_CHECKING:
    from synthflow.contracts.stage_info import Capability, StageInfo

ALL = "all"
"""The unit of a stage of whole scope."""
_LISTS = ("parents", "writes", "capabilities")


@dataclass(frozen=True, slots=True)
class StageRecord:
    """A stage as an attempt planned it."""

    name: str
    use: str
    version: str
    fingerprint: str
    scope: Literal["source", "partition", "whole"]
    parents: tuple[str, ...]
    writes: tuple[str, ...]
    config: Mapping[str, Any]
    covers: Mapping[str, Any] | None = None
    capabilities: tuple[str, ...] = ()
    account: Mapping[str, Any] | None = None

    def has(self, capability: Capability) -> bool:
        return capability in self.capabilities

    def info(self) -> StageInfo:
        """What other stages may know of it."""
        from synthflow.contracts import StageInfo  # contracts load pydantic, which readers of a manifest need not

        return StageInfo(self.name, self.use, self.writes, self.parents, self.config, frozenset(self.capabilities))

    @property
    def stage_id(self) -> str:
        return content_id("e", self.name, self.fingerprint)

    @property
    def folder(self) -> str:
        return f"{self.name}-{self.fingerprint[2:14]}"

    def to_json(self) -> dict[str, Any]:
        record = {name: getattr(self, name) for name in self.__slots__}
        return {**record, **{name: list(record[name]) for name in _LISTS}}

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> StageRecord:
        record = told(record)
        return StageRecord(**{**record, **{name: tuple(record[name]) for name in _LISTS}})


@dataclass(frozen=True, slots=True)
class Commit:
    """A finished unit of work: one stage over one partition (`unit`), or over everything (`unit` is `all`).

    `files` are those of an export: relative path -> sha256.
    """

    stage: str
    fingerprint: str
    stage_id: str
    unit: str
    key: str
    attempt: int
    shards: tuple[Shard, ...]
    files: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        record: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        record["shards"] = [shard.to_json() for shard in self.shards]
        return {"kind": "commit", **record}

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> Commit:
        fields = {name: record[name] for name in Commit.__slots__ if name != "shards"}
        return Commit(**fields, shards=tuple(Shard.from_json(s) for s in record["shards"]))


class Graph:
    """The stages of an attempt and the partitions of its sources: what should exist, by key."""

    def __init__(
        self,
        stages: Sequence[StageRecord],
        partitions: Mapping[str, Sequence[str]],
        left_out: Mapping[str, str] | None = None,
    ) -> None:
        self.stages = {s.name: s for s in stages}
        self.partitions = {name: tuple(pids) for name, pids in partitions.items()}
        self.left_out = dict(left_out or {})
        self._keys: dict[tuple[str, str], str] = {}

    def sources_of(self, stage: str) -> list[str]:
        """The sources above a stage (itself, for a source), sorted."""
        record = self.stages[stage]
        if record.scope == "source":
            return [stage]
        return sorted({s for parent in record.parents for s in self.sources_of(parent)})

    def ancestors_of(self, stage: str) -> list[str]:
        """All stages above a stage, in topological order."""
        above: set[str] = set()
        todo = list(self.stages[stage].parents)
        while todo:
            name = todo.pop()
            if name not in above:
                above.add(name)
                todo.extend(self.stages[name].parents)
        return [name for name in self.stages if name in above]

    def units(self, stage: str) -> list[str]:
        """Units of work of a stage: the partitions of its sources, or `all`.

        A source has one more, if it left rows out: the unit that holds its `rejects`.
        """
        scope = self.stages[stage].scope
        if scope == "whole":
            return [ALL]
        if scope == "source":
            left_out = self.left_out.get(stage)
            return [*self.partitions.get(stage, ()), *([left_out] if left_out else [])]
        return [pid for source in self.sources_of(stage) for pid in self.partitions.get(source, ())]

    def key(self, stage: str, unit: str) -> str:
        """H(fingerprint, what the unit is made of): equal keys mean equal rows."""
        if (stage, unit) not in self._keys:
            self._keys[stage, unit] = self._key(stage, unit)
        return self._keys[stage, unit]

    def _key(self, stage: str, unit: str) -> str:
        record = self.stages[stage]
        if record.scope == "source":
            return content_id("k", record.fingerprint, unit)
        if record.scope == "whole":
            pids = sorted(pid for source in self.sources_of(stage) for pid in self.partitions.get(source, ()))
            return content_id("k", record.fingerprint, pids)
        wholes = [self.key(a, ALL) for a in self.ancestors_of(stage) if self.stages[a].scope == "whole"]
        return content_id("k", record.fingerprint, unit, wholes)


class Manifest:
    """The manifest of a run directory, read once and appended to."""

    def __init__(self, root: Path) -> None:
        self.path = root / "manifest.jsonl"
        self.attempt = 0
        self.done_attempt = 0
        self.latest_attempt: Mapping[str, Any] = {}
        self.graph = Graph([], {})
        self.torn = 0
        self._commits: dict[tuple[str, str, str], Commit] = {}
        self._partitions: dict[str, tuple[str, ...]] = {}
        self._left_out: dict[str, str] = {}
        self._published: dict[str, tuple[str, str]] = {}
        self._read()

    def _read(self) -> None:
        if not self.path.exists():
            return
        lines = self.path.read_bytes().split(b"\n")
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            if number == len(lines):
                self.torn += 1  # no newline: written while the process was killed, so owed again
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                raise InvariantBroken(f"{self.path}:{number}: not a manifest line ({error})") from error
            self._apply(record)

    def _apply(self, record: Mapping[str, Any]) -> None:
        if record["kind"] == "attempt":
            self.attempt = int(record["attempt"])
            self.latest_attempt = record
            stages = [StageRecord.from_json(s) for s in record["stages"]]
            sources = {s.name for s in stages if s.scope == "source"}
            self._partitions = {k: v for k, v in self._partitions.items() if k in sources}
            self._left_out = {k: v for k, v in self._left_out.items() if k in sources}
            self.graph = Graph(stages, self._partitions, self._left_out)
        elif record["kind"] == "partitions":
            source = record["source"]
            self._partitions[source] = tuple(record["partitions"])
            self._left_out.pop(source, None)
            if record["left_out"]:
                self._left_out[source] = record["left_out"]
            self.graph = Graph(list(self.graph.stages.values()), self._partitions, self._left_out)
        elif record["kind"] == "done":
            self.done_attempt = int(record["attempt"])
        elif record["kind"] == "commit":
            commit = Commit.from_json(record)
            self._commits[commit.stage, commit.fingerprint, commit.key] = commit
            if commit.files:
                self._published[commit.stage] = (commit.fingerprint, commit.key)

    def append(self, record: Mapping[str, Any]) -> None:
        """Append a line and flush it to the disk before returning."""
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"
        with no_space_is_clear(self.path), self.path.open("ab") as handle:
            if self.torn:
                handle.truncate(self._last_newline())
                handle.seek(0, os.SEEK_END)
                self.torn = 0
            handle.write(line.encode())
            handle.flush()
            os.fsync(handle.fileno())
        self._apply(record)

    def _last_newline(self) -> int:
        return self.path.read_bytes().rfind(b"\n") + 1

    def open_attempt(self, stages: Sequence[StageRecord], details: Mapping[str, Any]) -> int:
        """Open the next attempt with its plan; returns its number, from 1."""
        self.append(
            {
                "kind": "attempt",
                "attempt": self.attempt + 1,
                **details,
                "stages": [s.to_json() for s in stages],
            }
        )
        return self.attempt

    def set_partitions(self, source: str, partitions: Sequence[str], left_out: str | None) -> None:
        """Record which units a source has now; nothing is written if they are the same."""
        if (self._partitions.get(source), self._left_out.get(source)) != (tuple(partitions), left_out):
            record = {"partitions": list(partitions), "left_out": left_out}
            self.append({"kind": "partitions", "source": source, **record})

    def commit(self, commit: Commit) -> None:
        self.append(commit.to_json())

    def find(self, stage: str, unit: str, graph: Graph | None = None) -> Commit | None:
        """The commit of a unit of work, if it is done.

        An export has one place for all its fingerprints, so only the release published last is there.
        """
        graph = graph or self.graph
        fingerprint, key = graph.stages[stage].fingerprint, graph.key(stage, unit)
        commit = self._commits.get((stage, fingerprint, key))
        if commit is not None and commit.files and self._published[stage] != (fingerprint, key):
            return None
        return commit

    def forget_lost(self) -> None:
        """Take units for owed whose files are not here: of a run that went on while it was copied, some are not."""
        root = self.path.parent
        lost = [key for key, commit in self._commits.items() if not _is_here(root, commit)]
        for key in lost:
            del self._commits[key]

    def earlier(self, stage: str, fingerprint: str) -> list[Commit]:
        """All commits of a stage under a fingerprint, whatever their units."""
        return [c for (s, f, _), c in self._commits.items() if s == stage and f == fingerprint]

    def active(self) -> list[Commit]:
        """Commits that belong to the latest plan and partitions, in stage order."""
        found = (self.find(name, unit) for name in self.graph.stages for unit in self.graph.units(name))
        return [commit for commit in found if commit is not None]

    def owed(self) -> dict[str, int]:
        """Units of work still owed, by stage; empty when the run is complete."""
        counts = {
            name: sum(self.find(name, unit) is None for unit in self.graph.units(name)) for name in self.graph.stages
        }
        return {name: n for name, n in counts.items() if n}

    def compact(self, extra: Mapping[str, Any]) -> str:
        """`manifest.json`: the active part of the manifest as one document, for readers of whole runs."""
        return json.dumps(
            {
                **extra,
                "attempt": self.attempt,
                "stages": [s.to_json() for s in self.graph.stages.values()],
                "partitions": {k: list(v) for k, v in self.graph.partitions.items()},
                "left_out": self.graph.left_out,
                "commits": [c.to_json() for c in self.active()],
            },
            ensure_ascii=False,
            indent=1,
        )


def _is_here(root: Path, commit: Commit) -> bool:
    """Whether a commit's files are there, and its shards as long as they were written."""
    try:
        return all((root / s.path).stat().st_size == s.bytes for s in commit.shards) and all(
            (root / name).is_file() for name in commit.files
        )
    except FileNotFoundError:
        return False


def shards_by_table(commits: Iterable[Commit]) -> dict[str, list[Shard]]:
    """Shards of some commits, grouped by table."""
    grouped: dict[str, list[Shard]] = {}
    for commit in commits:
        for shard in commit.shards:
            grouped.setdefault(shard.table, []).append(shard)
    return grouped
