"""What is done and what is still to be done, by the manifest alone."""

from __future__ import annotations

from pathlib import Path

from synthflow.contracts import PolicyIdentity
from synthflow.plan.planned import PlannedRun, SourceUnits, plan_run
from synthflow.spec import Pipeline
from synthflow.stores.manifest import Commit, Manifest

STAGES = {
    "problems": {"use": "source.demo", "limit": 4},
    "rollouts": {"use": "sample", "of": "problems", "n": 2},
    "verdicts": {"use": "verify.math", "of": "rollouts"},
}
PARTITIONS = ("q_1", "q_2")


def planned_over(root: Path) -> PlannedRun:
    """A plan over two partitions, of which the latest attempt is told."""
    pipeline = Pipeline.build("p", STAGES, {"backend": "transformers", "model": "demo"})
    identities = {"default": PolicyIdentity("m_1", "w", "t", "c")}
    planned = plan_run(pipeline, Manifest(root), identities).with_sources({"problems": SourceUnits(PARTITIONS, None)})
    planned.manifest.open_attempt(planned.records, {})
    planned.manifest.set_partitions("problems", PARTITIONS, None)
    return planned


def commit(planned: PlannedRun, stage: str, unit: str) -> None:
    record, key = planned.graph.stages[stage], planned.graph.key(stage, unit)
    planned.manifest.commit(Commit(stage, record.fingerprint, record.stage_id, unit, key, 1, (), {}))


def test_a_unit_is_done_by_its_commit_and_not_by_its_files(tmp_path: Path) -> None:
    planned = planned_over(tmp_path)
    everything = dict.fromkeys(STAGES, 2)
    for record in planned.records:
        folder = tmp_path / "tables" / record.writes[0] / record.folder
        folder.mkdir(parents=True)
        (folder / "part-1.parquet").touch()
    assert planned.pending() == everything
    commit(planned, "rollouts", "q_1")
    assert planned.pending() == {**everything, "rollouts": 1}
    assert planned.units_done("rollouts") == 1


def test_a_plan_is_the_latest_while_its_stages_and_its_partitions_are(tmp_path: Path) -> None:
    planned = planned_over(tmp_path)
    assert planned.is_latest()
    assert not planned.with_sources({"problems": SourceUnits(("q_1",), None)}).is_latest()
    planned.manifest.open_attempt(planned.records[:2], {})
    assert not planned.is_latest()
