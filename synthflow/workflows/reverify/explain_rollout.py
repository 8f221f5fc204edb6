"""How the verdict on one rollout of a run came about, with the verifier that is installed now.

Invariant: the run is only read; the question is that which its verify stage asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from synthflow.contracts import Explanation
from synthflow.errors import UserError
from synthflow.registry import names
from synthflow.rollouts.eligibility import verdict_from_finish_reason
from synthflow.rollouts.questions import question
from synthflow.rollouts.verdicts import Judging
from synthflow.stores.manifest import Manifest
from synthflow.stores.rundir import RunDirectory
from synthflow.stores.shards import read_shard
from synthflow.verifiers.opening import open_verifier
from synthflow.workflows.explained import Explained
from synthflow.workflows.reverify.extracted import PROBLEM, ROLLOUT
from synthflow.workflows.reverify.reverify import Rejudge, verify_stage

_SCORE = ("target_id", "kind", "verdict", "reason", "detail", "scorer_version")


def explain_rollout(asked: Rejudge, rollout: str) -> Explained:
    """The explanation of a rollout, whose id may be cut short where no other begins so.

    Raises:
        UserError: if the run has no such stage or rollout, or the stage does not ask a verifier.
        Mistakes: if a field of the verifier is wrong.
    """
    run = RunDirectory.existing(asked.root)
    manifest = run.manifest()
    stage = verify_stage(manifest, asked)
    record = manifest.graph.stages[stage]
    judging = Judging.as_stage(record.info())
    name = asked.verifier or judging.verifier
    if name not in names("verifiers"):
        raise UserError(
            f"{asked.root}: stage {stage!r} ({record.use}) asks no verifier, so there is nothing to explain"
        )
    options = dict(judging.options) if name == judging.verifier else {}
    row = _rollout(run, manifest, stage, rollout)
    problem = next(_rows(run, manifest, stage, "problems", PROBLEM, pl.col("problem_id") == row["problem_id"]))
    scores = _rows(run, manifest, stage, "scores", _SCORE, pl.col("target_id") == row["rollout_id"], own=True)
    recorded = next((score for score in scores if score["kind"] == "verdict"), None)
    where = f"{asked.root}, stage {stage}, rollout {row['rollout_id']}"
    verifier = open_verifier(name, {**options, **(asked.settings or {})})
    try:
        ended = verdict_from_finish_reason(row["finish_reason"], judging.truncated)
        asks = question(row["rollout_id"], row["completion"], problem)
        explanation = Explanation(ended) if ended is not None else verifier.explain(asks)
        return Explained(where, name, verifier.full_version(), explanation, asks, recorded)
    finally:
        verifier.close()


def _rollout(run: RunDirectory, manifest: Manifest, stage: str, wanted: str) -> Mapping[str, Any]:
    found = {
        row["rollout_id"]: row
        for row in _rows(run, manifest, stage, "rollouts", ROLLOUT, pl.col("rollout_id").str.starts_with(wanted))
    }
    if wanted in found:
        return found[wanted]
    if len(found) != 1:
        what = f"{len(found)} rollouts begin so; give more of the id" if found else "no rollout has this id"
        raise UserError(
            f"--explain {wanted}: {what}; `synthflow sql {run.root} 'SELECT rollout_id FROM verdicts'` lists"
        )
    return next(iter(found.values()))


def _rows(
    run: RunDirectory,
    manifest: Manifest,
    stage: str,
    table: str,
    columns: Sequence[str],
    which: pl.Expr,
    own: bool = False,
) -> Iterator[dict[str, Any]]:
    """Rows of a table by the stages above, or by the stage itself."""
    graph = manifest.graph
    for name in [stage] if own else graph.ancestors_of(stage):
        for unit in graph.units(name) if table in graph.stages[name].writes else ():
            commit = manifest.find(name, unit)
            for shard in commit.shards if commit is not None else ():
                if shard.table == table:
                    frame = pl.from_arrow(read_shard(run.root, shard, list(columns)))
                    assert isinstance(frame, pl.DataFrame)
                    yield from frame.filter(which).iter_rows(named=True)
