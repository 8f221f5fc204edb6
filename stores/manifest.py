"""The manifest: which work is done, by whom, from what. Append-only lines; the only proof of completion.

Eight kinds of lines. `attempt` opens an attempt with its plan (stages, fingerprints, parents). `partitions` says which
partitions of problems a source has in that attempt, and what its files held (`content`, where that is known). `commit`
says that a stage has finished a unit of work and lists its shards. `withdrawn` takes a commit back: that unit is owed
again. `done` says that an attempt has written everything, the catalog included. `set_aside` says that the release of a
stage that is gone was moved. `forgotten` lists commits that count no more, since their files were removed. `compacted`
says that shards of commits stand in one file from here on; until that line, in those that it was made of. A commit is
found again by (stage, fingerprint, key), so the commits of an earlier spec stay and count again when the spec changes
back. Only the process that holds the run's lock appends. A torn last line is work that is owed again.
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from synthflow.errors import InvariantBroken
from synthflow.stores.commits import SAMPLED, Commit, Commits, Compacted, shards_by_table
from synthflow.stores.files import no_space_is_clear
from synthflow.stores.graph import ALL, Graph, StageRecord

__all__ = ["KINDS", "SAMPLED", "Commit", "Compacted", "Manifest", "shards_by_table"]

KINDS = ("attempt", "partitions", "commit", "withdrawn", "done", "set_aside", "forgotten", "compacted")


class Manifest:
    """The manifest of a run directory, read once and appended to.

    Attributes:
        again: by policy, the latest attempt that asked again for what had no answer, by finish_reason.
        withdrawn: commits that were taken back; their files say what is no longer so.
        replaced: files that count no more, and that the catalog of the last attempt that ended may name.
    """

    def __init__(self, root: Path) -> None:
        self.path = root / "manifest.jsonl"
        self.attempt = 0
        self.done_attempt = 0
        self.latest_attempt: Mapping[str, Any] = {}
        self.graph = Graph([], {})
        self.torn = 0
        self.set_aside: list[tuple[str, str]] = []
        self._commits = Commits()
        self._partitions: dict[str, tuple[str, ...]] = {}
        self._left_out: dict[str, str] = {}
        self._contents: dict[str, str] = {}
        self._held: dict[tuple[str, str], tuple[tuple[str, ...], str | None]] = {}
        self._published: dict[str, Commit] = {}
        self._lineage: dict[str, tuple[str, tuple[str, ...]]] = {}  # fingerprint -> scope, fingerprints of parents
        self._work: set[tuple[str, str]] | None = None
        self.again: dict[str, dict[str, int]] = {}
        self.withdrawn: list[Commit] = []
        self.replaced: set[str] = set()
        self._read()

    def _read(self) -> None:
        if not self.path.exists():
            return
        with _no_collection(), self.path.open("rb") as handle:
            for number, line in enumerate(handle, 1):
                if not line.endswith(b"\n"):
                    self.torn += 1  # written while the process was killed, so owed again
                elif line.strip():
                    try:
                        record = orjson.loads(line)
                    except ValueError as error:
                        raise InvariantBroken(f"{self.path}:{number}: not a manifest line ({error})") from error
                    self._apply(record, line)

    def _apply(self, record: Mapping[str, Any], line: bytes | None = None) -> None:
        """Take a line into account; `line` is its text, if it is known."""
        kind = record["kind"]
        if kind == "commit":
            self._apply_commit(record, line)
        elif kind == "compacted":
            file = Compacted.from_json(record)
            self._commits.move(file)
            self.replaced.update(file.sources)
        elif kind == "attempt":
            self._apply_attempt(record)
        elif kind == "partitions":
            self._apply_partitions(record)
        elif kind == "done":
            self.done_attempt = int(record["attempt"])
            self.replaced.clear()
        elif kind == "set_aside":
            self._published.pop(record["stage"], None)
            self.set_aside.append((str(record["stage"]), str(record["to"])))
        elif kind == "forgotten":
            for stage, fingerprint, key in record["commits"]:
                self._take_back(stage, fingerprint, key)
        elif kind == "withdrawn":
            taken_back = self._take_back(record["stage"], record["fingerprint"], record["key"])
            if taken_back is not None:
                self.withdrawn.append(taken_back)
                self.replaced.update(shard.path for shard in taken_back.shards)

    def _apply_commit(self, record: Mapping[str, Any], line: bytes | None) -> None:
        self._work = None
        if line is not None and not record["files"]:
            self._commits.add_line(record, line)
            return
        commit = Commit.from_json(record)
        self._commits.add(commit)
        if commit.files:
            self._published[commit.stage] = commit

    def _apply_attempt(self, record: Mapping[str, Any]) -> None:
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

    def _apply_partitions(self, record: Mapping[str, Any]) -> None:
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

    def _take_back(self, stage: str, fingerprint: str, key: str) -> Commit | None:
        self._work = None
        taken = self._commits.pop((stage, fingerprint, key))
        if taken is not None and self._is_published(taken):
            self._published[stage] = taken
        return taken

    def _is_published(self, commit: Commit) -> bool:
        """Whether it is the one of its stage that was published last."""
        last = self._published.get(commit.stage)
        return last is not None and (last.fingerprint, last.key) == (commit.fingerprint, commit.key)

    def append(self, record: Mapping[str, Any]) -> None:
        """Append a line and flush it to the disk before returning."""
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        with no_space_is_clear(self.path), self.path.open("ab") as handle:
            if self.torn:
                handle.truncate(self._last_newline())
                handle.seek(0, os.SEEK_END)
                self.torn = 0
            handle.write(line)
            handle.flush()
            os.fsync(handle.fileno())
        self._apply(record, line)

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

    def compacted(self, file: Compacted) -> None:
        """Put the shards of some commits into one file; those they came from count no more."""
        self.append(file.to_json())

    def rows_of(self, path: str) -> int | None:
        """Rows of a file that units share, those that count no more included; None for a file of one unit."""
        return self._commits.rows_of(path)

    def made_of(self, graph: Graph, units: Mapping[str, Collection[str]]) -> list[Commit]:
        """The commits of units of a plan (stage -> units), and of all that was made of them under any plan and name."""
        taken: dict[str, set[str]] = {}
        for name, each in units.items():
            taken.setdefault(graph.stages[name].fingerprint, set()).update(each)
        for fingerprint, (scope, parents) in self._lineage.items():
            read = {unit for parent in parents for unit in taken.get(parent, ())}
            if read:
                taken.setdefault(fingerprint, set()).update({ALL} if ALL in read or scope == "whole" else read)
        return [c for c in self._commits if not {ALL, c.unit}.isdisjoint(taken.get(c.fingerprint, ()))]

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
        return None if commit is not None and commit.files and not self._is_published(commit) else commit

    def is_done(self, stage: str, unit: str) -> bool:
        """Whether `find` finds a unit of the latest plan, at less cost."""
        key = (stage, self.graph.stages[stage].fingerprint, self.graph.key(stage, unit))
        return key in self._commits and (unit != ALL or self.find(stage, unit) is not None)

    def was_done(self, fingerprint: str, key: str) -> bool:
        """Whether some attempt did this work, under whatever name of the stage, and all that it asked was answered:
        then nothing of it is sampled again.
        """
        if self._work is None:
            self._work = {(c.fingerprint, c.key) for c in self._commits if not c.unanswered}
        return (fingerprint, key) in self._work

    def released(self, stage: str) -> Commit | None:
        """The commit of the release that lies in `exports/` under a stage's name, though it may have been withdrawn."""
        commit = self._published.get(stage)
        return None if commit is None else self._commits.get((stage, commit.fingerprint, commit.key)) or commit

    def forget_lost(self) -> None:
        """Take units for owed whose files are not here: of a run that went on while it was copied, some are not."""
        sizes: dict[str, int | None] = {}
        for commit in [c for c in self._commits if not self._is_here(c, sizes)]:
            is_published = self._is_published(commit)
            self._take_back(commit.stage, commit.fingerprint, commit.key)
            if is_published:
                del self._published[commit.stage]

    def _is_here(self, commit: Commit, sizes: dict[str, int | None]) -> bool:
        """Whether a commit's shards are as long as they were written, and the files of a release in its place there.

        `sizes` keeps what was found of each file.
        """
        root = self.path.parent
        for path in {s.path for s in commit.shards} - set(sizes):
            try:
                sizes[path] = (root / path).stat().st_size
            except FileNotFoundError:
                sizes[path] = None
        return all(sizes[s.path] == s.bytes for s in commit.shards) and (
            not self._is_published(commit) or all((root / name).is_file() for name in commit.files)
        )

    def earlier(self, stage: str, fingerprint: str) -> list[Commit]:
        """All commits of a stage under a fingerprint, whatever their units."""
        found = (self._commits.get(key) for key in self._commits.known() if key[:2] == (stage, fingerprint))
        return [commit for commit in found if commit is not None]

    def published(self) -> list[Commit]:
        """The releases that lie in `exports/` now, one a stage."""
        found = (self.released(stage) for stage in self._published)
        return [commit for commit in found if commit is not None]

    def all_commits(self) -> list[Commit]:
        """Every commit that counts for some plan: the last one of each (stage, fingerprint, key)."""
        return list(self._commits)

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
            name: sum(not self.is_done(name, unit) for unit in self.graph.units(name)) for name in self.graph.stages
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


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without looking for rings of objects, which takes longer than making them, where many are made and kept."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
