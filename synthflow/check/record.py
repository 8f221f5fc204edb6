"""What the manifest says, read so that a damaged line is a finding and not an end.

Invariants: every line that can be understood counts, in order, as `Manifest` would count it; a commit of the latest
plan stands on commits of everything above it; `manifest.json` says what `manifest.jsonl` says. A line without its
newline at the end of the file was written while the process was killed: its work is owed again, and nothing is lost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthflow.check.report import Findings
from synthflow.stores.graph import ALL, StageRecord
from synthflow.stores.lock import is_stale, read_lock
from synthflow.stores.manifest import KINDS, Manifest
from synthflow.stores.shards import Shard

_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, RecursionError)
_RESTORE = "restore manifest.jsonl from a copy of the run; what the line said is unknown, and run again makes it anew"


class CheckedManifest(Manifest):
    """A manifest that notes what it cannot read, and goes on. Never appended to."""

    def __init__(self, root: Path, found: Findings) -> None:
        self._found = found
        super().__init__(root)

    def _read(self) -> None:
        with self.path.open("rb") as handle:
            for number, line in enumerate(handle, 1):
                where = f"{self.path.name}:{number}"
                if not line.endswith(b"\n"):
                    self.torn += 1
                    what = "the last line is torn: the run was killed while it wrote it"
                    self._found.warning("manifest_torn", where, what, "run again; that unit of work is owed again")
                elif line.strip():
                    self._read_line(where, line)
        self._found.checked["manifest"] += self.path.stat().st_size

    def _read_line(self, where: str, line: bytes) -> None:
        try:
            record = json.loads(line)
            if record["kind"] not in KINDS:
                raise ValueError(f"unknown kind of line {record['kind']!r}")
            if record["kind"] == "attempt":
                _check_plan(record)
            self._apply(record)
        except _UNREADABLE as error:
            what = f"not a manifest line ({type(error).__name__}: {error})"
            self._found.error("manifest_line", where, what, _RESTORE)


def _check_plan(record: Mapping[str, Any]) -> None:
    known: set[str] = set()
    for stage in record["stages"]:
        strange = set(stage["parents"]) - known
        if strange:
            raise ValueError(f"stage {stage['name']!r} reads {sorted(strange)[0]!r}, which does not come before it")
        known.add(stage["name"])


def check_lineage(manifest: Manifest, found: Findings) -> None:
    """Owed work is a warning; a commit above which something is not committed is an error."""
    graph = manifest.graph
    if not graph.stages:
        what = "no attempt was opened: the run stopped before its first stage"
        found.warning("incomplete", manifest.path.name, what, "run again")
    for name, owed in manifest.owed().items():
        what = f"{owed} of {len(graph.units(name))} units of work are owed"
        found.warning("incomplete", f"stage {name}", what, "run again: it resumes")
    for commit in manifest.active():
        found.checked["lineage"] += 1
        if commit.stage_id != graph.stages[commit.stage].stage_id:
            what = f"its commit names the stage_id {commit.stage_id}, the plan {graph.stages[commit.stage].stage_id}"
            found.error("lineage", _unit(commit.stage, commit.unit), what, _RESTORE)
        for ancestor in graph.ancestors_of(commit.stage):
            above = graph.units(ancestor)
            needed = [unit for unit in above if commit.unit in (ALL, unit) or unit == ALL]
            missing = [unit for unit in needed if manifest.find(ancestor, unit) is None]
            if missing:
                what = f"it is committed, but {_unit(ancestor, missing[0])} above it is not ({len(missing)} missing)"
                fix = "restore the lost manifest line from a copy, or run again: it makes what is missing anew"
                found.error("lineage", _unit(commit.stage, commit.unit), what, fix)


def _unit(stage: str, unit: str) -> str:
    return f"stage {stage}, unit {unit}"


def check_summary(root: Path, manifest: Manifest, found: Findings) -> tuple[list[Shard], bool]:
    """Compare `manifest.json` with `manifest.jsonl`.

    Returns:
        The shards of the reference tables it names, and whether they are those of the latest attempt.
    """
    path = root / "manifest.json"
    fix = "remove stats.duckdb and run again: both are made anew from manifest.jsonl"
    if not path.is_file():
        if manifest.graph.stages and not manifest.owed():
            found.warning("summary_stale", path.name, "missing, though no work is owed: the run was not finished", fix)
        return [], False
    try:
        summary = json.loads(path.read_bytes())
        reference = [Shard.from_json(record) for record in summary["reference"]]
        attempt = int(summary["attempt"])
        told = {**summary, "stages": [StageRecord.from_json(record).to_json() for record in summary["stages"]]}
        own = json.loads(manifest.compact({}))
    except (OSError, *_UNREADABLE) as error:
        found.error("unreadable", path.name, f"not a summary of a run ({type(error).__name__}: {error})", fix)
        return [], False
    found.checked["manifest_summary"] += 1
    if attempt < manifest.attempt:
        what = f"it is of attempt {attempt}, but attempt {manifest.attempt} was opened since and did not finish"
        found.warning("summary_stale", path.name, what, fix)
        return reference, False
    for part, ours in own.items():
        if told.get(part) != ours:
            found.error("manifest_summary", path.name, _difference(part, told.get(part), ours), fix)
    return reference, True


def _difference(part: str, theirs: Any, ours: Any) -> str:
    if part != "commits" or not isinstance(theirs, list):
        return f"its {part!r} differ from those of manifest.jsonl"
    lines = [{json.dumps(record, sort_keys=True) for record in side} for side in (theirs, ours)]
    odd = json.loads(min(lines[0] ^ lines[1], default="{}"))
    which = "it lacks or changes" if odd in ours else "it alone has"
    return f"{which} the commit of {_unit(odd.get('stage', '?'), odd.get('unit', '?'))}"


def check_lock(root: Path, found: Findings) -> None:
    """A run that is going on now is looked at half-way."""
    try:
        holder = read_lock(root)
        if holder is None or is_stale(holder, root):
            return
        who = f"process {holder['pid']} on {holder['host']}"
    except (OSError, *_UNREADABLE):
        return  # a lock nobody can read holds nothing: the next run clears it
    what = f"held by {who}: the run goes on while it is checked"
    found.warning("running", "lock", what, "check again when it has ended")
