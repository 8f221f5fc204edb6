"""`check_run`: everything a run promises that can be seen from outside, in one pass.

Invariants: nothing is written into the run; every fault is a finding and none ends the check; memory does not grow
with the run. First the record (manifest, lineage), then the files (hashes, shape), then, of the files that are
intact, the rows. A check that reads rows and meets a page that does not decode looks for the shard it stands in,
reports that, and goes on without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from synthflow.check import (
    coverage,
    exports,
    folders,
    journal,
    keys,
    pairs,
    record,
    rollouts,
    scores,
    shards,
    statistics,
    steps,
    tokens,
    values,
)
from synthflow.check.database import Rows
from synthflow.check.recompute import recompute
from synthflow.check.record import CheckedManifest
from synthflow.check.report import CheckReport, Findings
from synthflow.check.scratch import scratch_folder
from synthflow.check.shards import Placed, decode_faults
from synthflow.stores.graph import ALL
from synthflow.stores.rundir import RunDirectory

REFERENCE_STAGE = "run"
"""Whose the reference tables are: the run's own, no stage's."""

RowCheck = Callable[[Rows], None]

ROW_CHECKS: tuple[tuple[str, RowCheck], ...] = (
    ("keys and references", keys.check_keys),
    ("references", keys.check_references),
    ("coverage", coverage.check_coverage),
    ("verdicts", scores.check_scores),
    ("problem statistics", statistics.check_statistics),
    ("rollouts", rollouts.check_rollouts),
    ("tokens and texts", tokens.check_tokens),
    ("steps", steps.check_steps),
    ("step values", values.check_values),
    ("pairs", pairs.check_pairs),
    ("exported rows", exports.check_exports),
)


def check_run(root: Path, *, deep: bool = True, progress: Callable[[str], None] | None = None) -> CheckReport:
    """Check a run directory.

    Args:
        deep: re-hash every file and read every row; False looks at the manifest, the presence and size of files,
            and the footers of shards.
        progress: is told in a few words what is being looked at.

    Raises:
        UserError: if `root` is not a run directory. Whatever is wrong inside of one is in the report.
    """
    tell = progress or (lambda _: None)
    run = RunDirectory.existing(root)
    found = Findings()
    tell("reading the manifest")
    record.check_lock(run.root, found)
    manifest = CheckedManifest(run.root, found)
    record.check_lineage(manifest, found)
    reference, is_current = record.check_summary(run.root, manifest, found)
    placed = _placed(manifest) + [Placed(shard, REFERENCE_STAGE, ALL, "", active=is_current) for shard in reference]
    intact = shards.check_shards(run.root, placed, manifest.rows_of, deep, found, tell)
    of_releases, released = folders.check_releases(run.root, manifest, deep, found)
    folders.check_set_aside(run.root, manifest, found)
    withdrawn = {shard.path for commit in manifest.withdrawn for shard in commit.shards}
    named = {p.shard.path for p in placed} | of_releases | withdrawn | manifest.replaced
    folders.check_orphans(run.root, named, manifest.attempt, found)
    if deep:
        missing = _missing(manifest, placed, intact, is_current)
        with scratch_folder() as scratch:
            rows = Rows(run.root, scratch, intact, manifest.rows_of, missing, manifest.graph, found, released)
            try:
                _check_rows(run, rows, manifest, tell)
            finally:
                rows.close()
    tell("done")
    return found.report()


def _placed(manifest: CheckedManifest) -> list[Placed]:
    active = {(c.stage, c.fingerprint, c.key) for c in manifest.active()}
    return [
        Placed(shard, c.stage, c.unit, c.stage_id, (c.stage, c.fingerprint, c.key) in active)
        for c in manifest.all_commits()
        for shard in c.shards
    ]


def _missing(
    manifest: CheckedManifest, placed: Sequence[Placed], intact: Sequence[Placed], has_reference: bool
) -> set[tuple[str, str, str]]:
    """(table, stage, unit) of rows that cannot be read: damaged shards, and units that are owed."""
    good = {p.shard.path for p in intact}
    missing = {(p.shard.table, p.stage, p.unit) for p in placed if p.active and p.shard.path not in good}
    graph = manifest.graph
    for name, stage in graph.stages.items():
        owed = [unit for unit in graph.units(name) if manifest.find(name, unit) is None]
        missing |= {(table, name, unit) for unit in owed for table in (*stage.writes, "rejects")}
    if not has_reference:
        missing |= {(table, REFERENCE_STAGE, ALL) for table in ("policies", "samplings", "stages", "runs")}
    return missing


def _check_rows(run: RunDirectory, rows: Rows, manifest: CheckedManifest, tell: Callable[[str], None]) -> None:
    spec = manifest.latest_attempt.get("spec")
    seed = spec.get("seed") if isinstance(spec, dict) else None

    def ids(rows: Rows) -> None:
        recompute(rows, seed if isinstance(seed, int) else None)

    def journaled(rows: Rows) -> None:
        journal.check_journal(run.journal, rows)

    for name, check in (*ROW_CHECKS, ("ids, recomputed", ids), ("the journal", journaled)):
        tell(name)
        error = _attempt(check, rows)
        if error is not None and _without_unreadable(run.root, rows):
            error = _attempt(check, rows)
        if error is not None:
            what = f"this check could not be made ({' '.join(str(error).split())[:300]})"
            rows.found.error("not_checked", name, what, "make room in the folder for temporary files, check again")


def _attempt(check: RowCheck, rows: Rows) -> Exception | None:
    try:
        check(rows)
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        return error
    return None


def _without_unreadable(root: Path, rows: Rows) -> bool:
    broken = decode_faults(root, rows.files())
    rows.found.extend(broken)
    rows.drop({finding.where for finding in broken})
    return bool(broken)
