"""Are the files that the manifest names there, whole, and of the declared shape?

Invariant: a shard is intact only if its file exists, has the recorded size, hash and rows, and its columns are those
its table declares; only intact shards are read by the checks that follow, so that one damaged file is one finding and
not a thousand. Files are hashed side by side, and nothing but footers is held in memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from synthflow.check.report import Finding, Findings, Severity
from synthflow.schema import SCHEMA_VERSION, TABLES
from synthflow.stores.files import sha256_of
from synthflow.stores.shards import Shard

AGAIN = "restore the file from a copy, or take its line out of manifest.jsonl and run again: it is made anew"


@dataclass(frozen=True, slots=True)
class Placed:
    """A shard and whose it is. `active` says that it belongs to the latest plan."""

    shard: Shard
    stage: str
    unit: str
    stage_id: str
    active: bool = True


def check_shards(
    root: Path,
    placed: Sequence[Placed],
    rows_of: Callable[[str], int | None],
    deep: bool,
    found: Findings,
    progress: Callable[[str], None],
) -> list[Placed]:
    """Check every file; the active shards that are intact.

    Args:
        rows_of: rows of a file that units share; None for a file of one unit.
    """
    files: dict[str, list[Placed]] = {}
    for place in placed:
        files.setdefault(place.shard.path, []).append(place)
    total = sum(shards[0].shard.bytes for shards in files.values())
    progress(f"{'hashing' if deep else 'looking at'} {len(files)} shards, {total / 1e6:.1f} MB")

    def findings_of(shards: Sequence[Placed]) -> list[Finding]:
        first = next((place for place in shards if place.active), shards[0])
        return shard_findings(root, first, rows_of(first.shard.path), deep)

    intact: list[Placed] = []
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        for shards, findings in zip(files.values(), pool.map(findings_of, files.values()), strict=True):
            found.counts["shards"] += 1
            found.counts["bytes"] += shards[0].shard.bytes
            found.checked["hash"] += deep
            found.extend(findings)
            whole = [place for place in shards if place.active and not findings]
            found.counts["rows"] += sum(place.shard.rows for place in whole)
            intact += whole
    return intact


def shard_findings(root: Path, place: Placed, shared_rows: int | None, deep: bool) -> list[Finding]:
    """What is wrong with the file of a shard; nothing if it is intact."""
    shard, severity = place.shard, severity_of(place.active)
    wrong = file_finding(root, shard.path, shard.sha256 if deep else None, severity, shard.bytes)
    if wrong is not None:
        return [wrong]
    spec = TABLES.get(shard.table)
    if spec is None:
        what = f"of a table {shard.table!r} that nothing declares"
        return [Finding(severity, "schema", shard.path, what, "check with the version of Synthflow that wrote it")]
    try:
        with pq.ParquetFile(root / shard.path) as parquet:
            rows, schema = parquet.metadata.num_rows, parquet.schema_arrow
    except (OSError, pa.ArrowException) as error:
        return [Finding(severity, "unreadable", shard.path, f"not a Parquet file ({_brief(error)})", AGAIN)]
    findings = []
    told = shard.rows if shared_rows is None else shared_rows
    if rows != told:
        what = f"it holds {rows} rows, the manifest says {told}"
        findings.append(Finding(severity, "rows", shard.path, what, AGAIN))
    fix = "take its line out of manifest.jsonl and run again with this version: it is made anew"
    findings += [Finding(severity, "schema", shard.path, what, fix) for what in schema_faults(spec.schema, schema)]
    return findings


def schema_faults(declared: pa.Schema, found: pa.Schema) -> list[str]:
    """How a file's columns differ from the declared ones, one sentence a field."""
    version = (found.metadata or {}).get(b"synthflow.schema_version", b"").decode("ascii", "replace")
    faults = [] if version == str(SCHEMA_VERSION) else [f"of schema version {version or '?'}, not {SCHEMA_VERSION}"]
    there = {f.name: f for f in found}
    for want in declared:
        have = there.get(want.name)
        if have is None:
            faults.append(f"column {want.name!r} is missing; expected {want.type}")
        elif have.type != want.type:
            faults.append(f"column {want.name!r}: expected {want.type}, found {have.type}")
        elif have.nullable and not want.nullable:
            faults.append(f"column {want.name!r} may hold nulls, and is declared without")
    faults += [f"column {f.name!r} is not declared" for f in found if f.name not in declared.names]
    return faults


def file_finding(
    root: Path, relative: str, sha256: str | None, severity: Severity, size: int | None = None
) -> Finding | None:
    """What is wrong with one file that the manifest names, if anything. `sha256` None: it is not read."""
    if PurePosixPath(relative).is_absolute() or ".." in PurePosixPath(relative).parts:
        what = "the manifest names a path outside of the run directory, which is not followed"
        return Finding(severity, "path", relative, what, "restore manifest.jsonl from a copy")
    path = root / relative
    try:
        if not path.is_file():
            return Finding(severity, "missing", relative, "the manifest names this file, and it is not there", AGAIN)
        there = path.stat().st_size
        if size is not None and there != size:
            return Finding(severity, "hash", relative, f"it has {there} bytes, the manifest says {size}", AGAIN)
        if sha256 is not None and (now := sha256_of(path)) != sha256:
            what = f"its sha256 is {now[:12]}…, the manifest says {sha256[:12]}…: its content has changed"
            return Finding(severity, "hash", relative, what, AGAIN)
    except OSError as error:
        return Finding(severity, "unreadable", relative, f"cannot be read ({_brief(error)})", AGAIN)
    return None


def decode_faults(root: Path, paths: Iterable[str]) -> list[Finding]:
    """Files of which some page does not decode, though hash and footer are as they were written."""
    broken = []
    for path in paths:
        try:
            with pq.ParquetFile(root / path) as parquet:
                for _ in parquet.iter_batches(batch_size=8192):
                    pass
        except (OSError, pa.ArrowException) as error:
            what = f"its pages do not decode ({_brief(error)})"
            broken.append(Finding("error", "unreadable", path, what, AGAIN))
    return broken


def severity_of(active: bool) -> Severity:
    """What belongs to an earlier plan is missed only if the spec changes back."""
    return "error" if active else "warning"


def _brief(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
