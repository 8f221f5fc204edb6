"""The manifest: which work is done, by whom, from what. Append-only lines; the only proof of completion.

Seven kinds of lines. `attempt` opens an attempt with its plan (stages, fingerprints, parents). `partitions` says which
partitions of problems a source has in that attempt, and what its files held (`content`, where that is known). `commit`
says that a stage has finished a unit of work and lists its shards. `withdrawn` takes a commit back: that unit is owed
again. `done` says that an attempt has written everything, the catalog included. `set_aside` says that the release of a
stage that is gone was moved. `forgotten` lists commits that count no more, since their files were removed. A commit is
found again by (stage, fingerprint, key), so the commits of an earlier spec stay and count again when the spec changes
back. Only the process that holds the run's lock appends. A torn last line is work that is owed again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthflow.errors import InvariantBroken
from synthflow.stores.files import no_space_is_clear
from synthflow.stores.graph import ALL, Graph, StageRecord
from synthflow.stores.shards import Shard

KINDS = ("attempt", "partitions", "commit", "withdrawn", "done", "set_aside", "forgotten")
SAMPLED = ("rollouts", "artifacts")
"""Tables whose rows policies write."""


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


class Manifest:
    """The manifest of a run directory, read once and appended to.

    Attributes:
        again: by policy, the latest attempt that asked again for what had no answer, by finish_reason.
        withdrawn: commits that were taken back; their files say what is no longer so.
    """

    def __init__(self, root: Path) -> None:
        self.path = root / "manifest.jsonl"
        self.attempt = 0
        self.done_attempt = 0
        self.latest_attempt: Mapping[str, Any] = {}
        self.graph = Graph([], {})
        self.torn = 0
        self.set_aside: list[tuple[str, str]] = []
        self._commits: dict[tuple[str, str, str], Commit] = {}
        self._partitions: dict[str, tuple[str, ...]] = {}
        self._left_out: dict[str, str] = {}
        self._contents: dict[str, str] = {}
        self._held: dict[tuple[str, str], tuple[tuple[str, ...], str | None]] = {}
        self._published: dict[str, Commit] = {}
        self._lineage: dict[str, tuple[str, tuple[str, ...]]] = {}  # fingerprint -> scope, fingerprints of parents
        self._work: set[tuple[str, str]] | None = None
        self.again: dict[str, dict[str, int]] = {}
        self.withdrawn: list[Commit] = []
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
            for policy, endings in record.get("again", {}).items():
                self.again.setdefault(policy, {}).update(dict.fromkeys(endings, self.attempt))
            stages = [StageRecord.from_json(s) for s in record["stages"]]
            of = {s.name: s.fingerprint for s in stages}
            self._lineage |= {s.fingerprint: (s.scope, tuple(of[p] for p in s.parents)) for s in stages}
            sources = {s.name for s in stages if s.scope == "source"}
            self._partitions = {k: v for k, v in self._partitions.items() if k in sources}
            self._left_out = {k: v for k, v in self._left_out.items() if k in sources}
            self._contents = {k: v for k, v in self._contents.items() if k in sources}
            self.graph = Graph(stages, self._partitions, self._left_out)
        elif record["kind"] == "partitions":
            source = record["source"]
            self._partitions[source] = tuple(record["partitions"])
            self._left_out.pop(source, None)
            if record["left_out"]:
                self._left_out[source] = record["left_out"]
            self._contents.pop(source, None)
            if record.get("content"):  # version 0.1 wrote none
                self._contents[source] = record["content"]
                self._held[source, record["content"]] = (self._partitions[source], self._left_out.get(source))
            self.graph = Graph(list(self.graph.stages.values()), self._partitions, self._left_out)
        elif record["kind"] == "done":
            self.done_attempt = int(record["attempt"])
        elif record["kind"] == "set_aside":
            self._published.pop(record["stage"], None)
            self.set_aside.append((str(record["stage"]), str(record["to"])))
        elif record["kind"] == "forgotten":
            for stage, fingerprint, key in record["commits"]:
                self._take_back(stage, fingerprint, key)
        elif record["kind"] == "withdrawn":
            taken_back = self._take_back(record["stage"], record["fingerprint"], record["key"])
            self.withdrawn.extend([taken_back] if taken_back is not None else [])
        elif record["kind"] == "commit":
            commit = Commit.from_json(record)
            self._commits[commit.stage, commit.fingerprint, commit.key] = commit
            self._work = None
            if commit.files:
                self._published[commit.stage] = commit

    def _take_back(self, stage: str, fingerprint: str, key: str) -> Commit | None:
        self._work = None
        return self._commits.pop((stage, fingerprint, key), None)

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

    def set_partitions(
        self, source: str, partitions: Sequence[str], left_out: str | None, content: str | None = None
    ) -> None:
        """Record which units a source has now; nothing is written if they are the same."""
        known = (self._partitions.get(source), self._left_out.get(source), self._contents.get(source))
        if known != (tuple(partitions), left_out, content):
            record = {"partitions": list(partitions), "left_out": left_out, "content": content}
            self.append({"kind": "partitions", "source": source, **record})

    def units_of(self, source: str, content: str) -> tuple[tuple[str, ...], str | None] | None:
        """(partitions, left_out) of a source when it held this; None if it never did."""
        return self._held.get((source, content))

    def commit(self, commit: Commit) -> None:
        self.append(commit.to_json())

    def made_of(self, graph: Graph, units: Mapping[str, Collection[str]]) -> list[Commit]:
        """The commits of units of a plan (stage -> units), and of all that was made of them under any plan and name."""
        taken: dict[str, set[str]] = {}
        for name, each in units.items():
            taken.setdefault(graph.stages[name].fingerprint, set()).update(each)
        for fingerprint, (scope, parents) in self._lineage.items():
            read = {unit for parent in parents for unit in taken.get(parent, ())}
            if read:
                taken.setdefault(fingerprint, set()).update({ALL} if ALL in read or scope == "whole" else read)
        return [c for c in self._commits.values() if not {ALL, c.unit}.isdisjoint(taken.get(c.fingerprint, ()))]

    def withdraw(self, units: Mapping[str, Collection[str]]) -> None:
        """Take back the commits of units (stage -> units) of the latest plan, and of all that was made of them."""
        for commit in self.made_of(self.graph, units):
            fields = {name: getattr(commit, name) for name in ("stage", "fingerprint", "key")}
            self.append({"kind": "withdrawn", **fields})

    def find(self, stage: str, unit: str, graph: Graph | None = None) -> Commit | None:
        """The commit of a unit of work, if it is done.

        An export has one place for all its fingerprints, so only the release published last is there.
        """
        graph = graph or self.graph
        commit = self._commits.get((stage, graph.stages[stage].fingerprint, graph.key(stage, unit)))
        if commit is not None and commit.files and self._published.get(stage) is not commit:
            return None
        return commit

    def was_done(self, fingerprint: str, key: str) -> bool:
        """Whether some attempt did this work, under whatever name of the stage, and all that it asked was answered:
        then nothing of it is sampled again.
        """
        if self._work is None:
            self._work = {(c.fingerprint, c.key) for c in self._commits.values() if not c.unanswered}
        return (fingerprint, key) in self._work

    def released(self, stage: str) -> Commit | None:
        """The commit of the release that lies in `exports/` under a stage's name, though it may have been withdrawn."""
        return self._published.get(stage)

    def forget_lost(self) -> None:
        """Take units for owed whose files are not here: of a run that went on while it was copied, some are not."""
        releases = {id(commit) for commit in self._published.values()}
        for commit in [c for c in self._commits.values() if not self._is_here(c, id(c) in releases)]:
            self._take_back(commit.stage, commit.fingerprint, commit.key)
            if id(commit) in releases:
                del self._published[commit.stage]

    def _is_here(self, commit: Commit, is_published: bool) -> bool:
        """Whether a commit's shards are as long as they were written, and the files of a release in its place there."""
        root = self.path.parent
        try:
            return all((root / s.path).stat().st_size == s.bytes for s in commit.shards) and all(
                (root / name).is_file() for name in (commit.files if is_published else ())
            )
        except FileNotFoundError:
            return False

    def earlier(self, stage: str, fingerprint: str) -> list[Commit]:
        """All commits of a stage under a fingerprint, whatever their units."""
        return [c for (s, f, _), c in self._commits.items() if s == stage and f == fingerprint]

    def published(self) -> list[Commit]:
        """The releases that lie in `exports/` now, one a stage."""
        return list(self._published.values())

    def all_commits(self) -> list[Commit]:
        """Every commit that counts for some plan: the last one of each (stage, fingerprint, key)."""
        return list(self._commits.values())

    def forget(self, commits: Iterable[Commit]) -> None:
        """From here on these count for no plan, so that their files may go."""
        keys = [[c.stage, c.fingerprint, c.key] for c in commits]
        if keys:
            self.append({"kind": "forgotten", "commits": keys})

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


def shards_by_table(commits: Iterable[Commit]) -> dict[str, list[Shard]]:
    """Shards of some commits, grouped by table."""
    grouped: dict[str, list[Shard]] = {}
    for commit in commits:
        for shard in commit.shards:
            grouped.setdefault(shard.table, []).append(shard)
    return grouped
