"""Stages that run after each other on one worker have the rows that each has by itself."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.made_up_run import made_up_world
from synthflow.errors import InfrastructureError, UserError
from synthflow.execute import segment
from synthflow.execute.held import Held
from synthflow.execute.segment import Done, run_segment
from synthflow.execute.shard_inputs import ShardInputs
from synthflow.execute.tasks import RunContext, UnitTask
from synthflow.execute.unit import run_unit
from synthflow.stages.adapters import stage_class
from synthflow.stores.graph import StageRecord
from synthflow.stores.manifest import Commit
from synthflow.stores.shards import write_shard

CONFIGS: dict[str, dict[str, Any]] = {
    "verdicts": {"use": "verify.exact", "of": ["rollouts"]},
    "difficulty": {"use": "curriculum.pass_rate", "of": ["verdicts"]},
    "pairs": {"use": "mine.pairs", "of": ["difficulty"], "level": "response"},
    "report": {"use": "measure.qdc", "of": ["verdicts", "pairs"]},
}


@pytest.fixture
def tasks(tmp_path: Path) -> list[UnitTask]:
    """One partition of a made-up run, sampled, and the stages that are left to do."""
    rows = made_up_world().tables()
    records = {
        name: StageRecord(name, use, "1", f"f_{name}", scope, parents, (name,), {})  # type: ignore[arg-type]
        for name, use, scope, parents in (
            ("problems", "source.x", "source", ()),
            ("rollouts", "sample", "partition", ("problems",)),
        )
    }
    done = {name: {"q_1": _sampled(tmp_path, records[name], rows[name])} for name in records}
    made: list[UnitTask] = []
    for name, config in CONFIGS.items():
        stage = stage_class(config["use"])
        records[name] = StageRecord(
            name, config["use"], "1", f"f_{name}", "partition", tuple(config["of"]), tuple(stage.writes),
            stage.Config.model_validate(config).model_dump(mode="json"),
            capabilities=tuple(sorted(stage.capabilities())),
        )  # fmt: skip
        above = tuple(record.info() for record in list(records.values())[:-1])
        context = RunContext(tmp_path, 1, 0, 0, {}, {}, journal_only=True)
        made.append(UnitTask(context, records[name], above, ("problems",), "q_1", f"k_{name}", done))
    return made


def _sampled(root: Path, record: StageRecord, rows: Mapping[str, Any]) -> Commit:
    written = tuple(write_shard(root, table, part, record.folder, "part") for table, part in rows.items())
    return Commit(record.name, record.fingerprint, record.stage_id, "q_1", f"k_{record.name}", 1, written, {})


def _hashes(commits: Sequence[Commit]) -> dict[str, dict[str, str]]:
    return {c.stage: {s.table: s.sha256 for s in c.shards if s.table != "telemetry"} for c in commits}


def test_rows_are_those_of_each_stage_by_itself(tasks: list[UnitTask]) -> None:
    alone: list[Commit] = []
    for task in tasks:
        alone.append(run_unit(task, *alone))
    together = run_segment(tasks)
    assert _hashes(together.commits) == _hashes(alone) and all(_hashes(alone).values())
    first, second = run_segment(tasks[:2]), run_segment(tasks[2:], Done(together.commits[:2]))
    assert _hashes((*first.commits, *second.commits)) == _hashes(alone)


def test_a_column_is_read_once(tasks: list[UnitTask], monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[str, str, str]] = []
    of_stage = ShardInputs.of_stage

    def counted(inputs: ShardInputs, stage: str, table: str, columns: Sequence[str] | None = None) -> Any:
        rows = of_stage(inputs, stage, table, columns)
        read.extend((stage, table, name) for name in rows.column_names)
        return rows

    monkeypatch.setattr(ShardInputs, "of_stage", counted)
    run_segment(tasks)
    assert read and len(read) == len(set(read))


def test_what_does_not_fit_is_read_whenever_it_is_asked_for() -> None:
    rows = made_up_world().tables()["rollouts"]["rollouts"]
    held = Held(rows.select(["rollout_id"]).nbytes)
    held.add("rollouts", "rollouts", rows)
    assert not held.of("rollouts", "rollouts")
    held.add("rollouts", "rollouts", rows.select(["rollout_id"]))
    held.add("rollouts", "rollouts", rows.select(["index"]))
    assert list(held.of("rollouts", "rollouts")) == ["rollout_id"]


def test_what_was_finished_before_a_mistake_is_told_with_it(tasks: list[UnitTask]) -> None:
    broken = replace(tasks[2], record=replace(tasks[2].record, use="no.such"))
    done = run_segment([*tasks[:2], broken, tasks[3]])
    assert [commit.stage for commit in done.commits] == ["verdicts", "difficulty"]
    assert list(done.failures) == ["pairs"] and isinstance(done.failures["pairs"], UserError)
    assert run_segment([tasks[3]], done) == Done(()), "it stands below one that failed"
    with pytest.raises(UserError, match=r"no\.such"):
        run_segment([broken], Done(done.commits))


@pytest.mark.parametrize("error", [InfrastructureError("the machine"), ZeroDivisionError("a mistake of ours")])
def test_a_machine_that_fails_costs_what_stands_below(
    error: Exception, tasks: list[UnitTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(task: UnitTask, *finished: Commit, held: Held) -> Commit:
        if task.record.name == "difficulty":
            raise error
        return run_unit(task, *finished, held=held)

    monkeypatch.setattr(segment, "run_unit", failing)
    beside = replace(tasks[3], ancestors=(*tasks[0].ancestors, tasks[0].record.info()))
    done = run_segment([*tasks[:3], beside])
    goes_on = isinstance(error, InfrastructureError)
    assert [commit.stage for commit in done.commits] == ["verdicts", *["report"][: int(goes_on)]]
    assert list(done.failures) == ["difficulty"]
    travelled = pickle.loads(pickle.dumps(done)).failures["difficulty"]
    assert "in failing" in "".join(traceback.format_exception(travelled)), "the log of a driver says where"
