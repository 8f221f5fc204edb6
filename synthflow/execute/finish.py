"""What a run writes when its last unit is done: reference tables, the compact manifest, the catalog; and the same
once more when its files were put together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from synthflow.contracts import PolicyIdentity
from synthflow.errors import UserError
from synthflow.schema import POLICIES, RUNS, SAMPLINGS, STAGES
from synthflow.stores import journal_compaction
from synthflow.stores.compaction import compact, remove_uncounted
from synthflow.stores.files import write_text
from synthflow.stores.manifest import Manifest, shards_by_table
from synthflow.stores.rundir import RunDirectory
from synthflow.stores.shards import Shard, write_shard

if TYPE_CHECKING:
    from synthflow.spec.pipeline import Pipeline


def finish_run(
    pipeline: Pipeline,
    run: RunDirectory,
    manifest: Manifest,
    identities: Mapping[str, PolicyIdentity],
    attempt: int,
) -> None:
    """Write the reference tables, `manifest.json` and `stats.duckdb`; each replaces its earlier version at once.

    No file holds rows that the catalog should not count, and files that nobody counts are removed.
    """
    compact(run.root, manifest)
    reference = [
        write_shard(run.root, name, rows, "run", f"part-{attempt:04d}")
        for name, rows in _reference(pipeline, manifest, identities, attempt).items()
    ]
    _settle(run, manifest, reference, attempt)


def _settle(run: RunDirectory, manifest: Manifest, reference: list[Shard], attempt: int) -> None:
    from synthflow.stores.catalog.build import build_catalog

    write_text(run.root / "manifest.json", manifest.compact({"reference": [s.to_json() for s in reference]}))
    build_catalog(run.root, catalog_tables(manifest, reference))
    manifest.append({"kind": "done", "attempt": attempt})
    remove_uncounted(run.root, manifest)


@dataclass(frozen=True, slots=True)
class Compaction:
    """How many files there were of something, and of how many bytes, and how many there are."""

    what: str
    files: int
    bytes: int
    files_after: int
    bytes_after: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def compact_run(run: RunDirectory, *, drop_journal: bool = False) -> list[Compaction]:
    """Put the small files of a run together. Only for whoever holds the lock.

    Raises:
        UserError: if the run has not ended: it does so itself when it does.
    """
    manifest = run.manifest()
    if not manifest.done_attempt or manifest.done_attempt != manifest.attempt or manifest.owed():
        raise UserError(f"{run.root}: has not ended; run it to its end first")
    before = _sizes(run)
    compact(run.root, manifest, few=2)
    summary = json.loads((run.root / "manifest.json").read_bytes())
    _settle(run, manifest, [Shard.from_json(record) for record in summary["reference"]], manifest.attempt)
    if drop_journal:
        journal_compaction.drop_journal(run.journal)
    else:
        journal_compaction.compact_journal(run.journal)
    return [Compaction(what, *before[what], *now) for what, now in _sizes(run).items()]


def _sizes(run: RunDirectory) -> dict[str, tuple[int, int]]:
    found = {"tables": run.root.glob("tables/*/*/*.parquet"), "journal": run.journal.glob("*.jsonl")}
    sizes = {what: [path.stat().st_size for path in paths] for what, paths in found.items()}
    return {what: (len(each), sum(each)) for what, each in sizes.items()}


def catalog_tables(manifest: Manifest, reference: list[Shard]) -> dict[str, list[str]]:
    """Relative paths of the files of active shards, by table."""
    grouped = shards_by_table(manifest.active())
    for shard in reference:
        grouped.setdefault(shard.table, []).append(shard)
    return {name: list(dict.fromkeys(s.path for s in shards)) for name, shards in grouped.items()}


def _reference(
    pipeline: Pipeline, manifest: Manifest, identities: Mapping[str, PolicyIdentity], attempt: int
) -> dict[str, pa.Table]:
    opened = manifest.latest_attempt
    return {
        "policies": POLICIES.from_rows(_policies(pipeline, identities)),
        "samplings": SAMPLINGS.from_rows(_samplings(pipeline)),
        "stages": STAGES.from_rows([_stage(r.to_json(), r.stage_id) for r in manifest.graph.stages.values()]),
        "runs": RUNS.from_rows(
            [
                {
                    "run_id": opened["run_id"],
                    "attempt": attempt,
                    "name": pipeline.name,
                    "started_at": opened["at"],
                    "synthflow_version": opened["synthflow"],
                    "versions": json.dumps(opened["versions"], sort_keys=True),
                    "spec": json.dumps(opened["spec"], sort_keys=True),
                }
            ]
        ),
    }


def _policies(pipeline: Pipeline, identities: Mapping[str, PolicyIdentity]) -> list[dict[str, Any]]:
    """One row a policy; two names of one model are one policy, under the first name."""
    rows: dict[str, dict[str, Any]] = {}
    for name, identity in identities.items():
        rows.setdefault(identity.policy_id, _policy(pipeline, name, identity))
    return list(rows.values())


def _policy(pipeline: Pipeline, name: str, identity: PolicyIdentity) -> dict[str, Any]:
    config = pipeline.policies[name]
    return {
        "policy_id": identity.policy_id,
        "name": name,
        "model": config.model,
        "backend": config.backend,
        "weights_hash": identity.weights_hash,
        "tokenizer_hash": identity.tokenizer_hash,
        "template_hash": identity.template_hash,
        "details": json.dumps({**identity.details, "options": config.options}, sort_keys=True, default=str),
    }


def _samplings(pipeline: Pipeline) -> list[Mapping[str, Any]]:
    rows: dict[str, Mapping[str, Any]] = {}
    for node in pipeline.nodes:
        for described in node.stage.samplings():
            rows[described["sampling_id"]] = described
    return list(rows.values())


def _stage(record: Mapping[str, Any], stage_id: str) -> dict[str, Any]:
    kept = {name: record[name] for name in ("name", "use", "version", "fingerprint", "parents")}
    return {**kept, "stage_id": stage_id, "config": json.dumps(record["config"], sort_keys=True, default=str)}
