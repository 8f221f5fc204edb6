"""What a pilot runs, and what it makes of its numbers, from fabricated measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthflow.cli.pilot import print_pilot
from synthflow.contracts import PolicyIdentity
from synthflow.errors import RunLocked, UserError
from synthflow.execute.cluster import ClusterSize
from synthflow.plan.records import stage_records
from synthflow.spec import Pipeline
from synthflow.stages.source.base import Source
from synthflow.stores.journal import JournalWriter
from synthflow.stores.lock import RunLock
from synthflow.workflows.pilot.choose import Chosen, ChosenProblems, choose_problems
from synthflow.workflows.pilot.measured import Measured
from synthflow.workflows.pilot.pilot import Pilot, _folder, _small, _stages, run_pilot
from synthflow.workflows.pilot.projection import Projection
from synthflow.workflows.pilot.speed import Answer, speed_of

STAGES: dict[str, Any] = {
    "problems": {"use": "source.demo", "limit": 40},
    "rollouts": {"use": "sample", "of": "problems", "n": 4},
    "verdicts": {"use": "verify.math", "of": "rollouts"},
    "difficulty": {"use": "curriculum.pass_rate", "of": "verdicts"},
    "order": {"use": "curriculum.order", "of": "difficulty"},
    "steps": {"use": "label.monte_carlo", "of": "order", "n": 2},
    "sft": {"use": "export.sft", "of": "verdicts"},
}
POLICY = {"backend": "transformers", "model": "demo"}
IDENTITY = PolicyIdentity("p_1", "w", "t", "c")


@pytest.fixture
def pipeline() -> Pipeline:
    execution = {"partition_size": 10, "price_per_million_tokens": 2.0, "prometheus_port": 9464}
    return Pipeline.build("p", STAGES, POLICY, execution=execution)


def test_it_runs_what_comes_before_a_release_on_the_chosen_problems(pipeline: Pipeline) -> None:
    stages = _stages(pipeline)
    # `order` is of whole scope, but what samples below it needs it; a release is nobody's input.
    assert [node.name for node in stages] == ["problems", "rollouts", "verdicts", "difficulty", "order", "steps"]
    chosen = choose_problems({n.name: n.stage for n in stages if isinstance(n.stage, Source)}, 16)
    small = _small(pipeline, stages, chosen)
    assert isinstance(small["problems"].stage, ChosenProblems)
    assert sum(b.num_rows for b in small["problems"].stage.batches()) == 16
    assert (small.execution.partition_size, small.execution.prometheus_port) == (2, None)
    # Stages are what they are in the real run: the same fingerprints, so the same ids.
    mine = {r.name: r.fingerprint for r in stage_records(small, {"default": IDENTITY})}
    real = {r.name: r.fingerprint for r in stage_records(pipeline, {"default": IDENTITY})}
    assert mine.items() <= real.items()
    assert set(small.resolved()["stages"]) == set(mine)


def test_a_pipeline_that_samples_nothing_is_refused(tmp_path: Path) -> None:
    pipeline = Pipeline.build("still", {"problems": {"use": "source.demo", "limit": 4}})
    with pytest.raises(UserError, match="no stage samples"):
        run_pilot(pipeline, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_going_on_is_left_alone(pipeline: Pipeline, tmp_path: Path) -> None:
    with RunLock(tmp_path), pytest.raises(RunLocked, match="is held by process"):
        run_pilot(pipeline, tmp_path)
    assert not (tmp_path / ".pilot").exists()


def test_its_journal_is_that_of_the_run_wherever_both_go(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    pilot = _folder(tmp_path / "run")
    assert _folder(tmp_path / "run") == pilot
    JournalWriter(pilot / "journal", ["p_00"], 1)
    (pilot / "journal" / "x").touch()
    moved = (tmp_path / "run").rename(tmp_path / "elsewhere")
    assert (moved / "journal" / "x").exists() and (moved / ".pilot" / "journal" / "x").exists()


def _pilot(pipeline: Pipeline, answers: list[Answer], cpu_s: float = 0.0) -> Pilot:
    ids = [f"p_{i}" for i in range(4)]
    columns = {
        "requests/rollouts": [4, 4, 4, 4], "tokens/rollouts": [400, 800, 400, 800], "truncated/rollouts": [0, 1, 0, 1],
        "requests/steps": [0, 10, 0, 10], "tokens/steps": [0, 100, 0, 100], "truncated/steps": [0, 0, 0, 0],
        "mixed/verdicts": [0, 1, 0, 1], "groups/verdicts": [1, 1, 1, 1], "steps": [0, 6, 0, 6],
        "pairs/response": [0, 0, 0, 0], "bytes": [1000, 3000, 1000, 3000],
    }  # fmt: skip
    by_problem = {name: dict(zip(ids, map(float, values), strict=True)) for name, values in columns.items()}
    measured = Measured(by_problem, answers, fixed_bytes=500.0, cpu_s={"verdicts": cpu_s})
    projection = Projection([measured.of(Chosen(tuple(ids), 40))])
    size = ClusterSize(cpu=2, engines=2, partitions=8)
    return Pilot(pipeline, Path("runs/p/.pilot"), measured, projection, speed_of(answers), size, 30.0, 5.0, 36)


def test_projections_by_hand(pipeline: Pipeline) -> None:
    # 2,600 tokens in 13 s of busy time: 200 a second. Ten times as many problems.
    answers = [Answer(float(t), 1.0, 200) for t in range(1, 14)]
    found = _pilot(pipeline, answers).to_json()
    total, said = found["total"], found["measured"]
    assert (said["tokens"], said["rollouts"], said["tokens_per_s"]) == (2600, 36, 200)
    assert total["requests"]["value"] == 360 and total["tokens"]["value"] == 26_000
    assert found["stages"][0]["requests"] == {"value": 160, "low": 160, "high": 160}
    assert found["stages"][0]["truncated_share"] == 2 / 16
    assert total["engine_s"]["value"] == pytest.approx(26_000 / 200 * 2)  # of both engines
    assert total["engine_hours"]["value"] == pytest.approx(260 / 3600)
    assert total["wall_s"]["value"] == pytest.approx(130 + 5)
    assert total["disk_bytes"]["value"] == pytest.approx(10 * 8000 + 500 * 4)  # four partitions of ten problems
    assert total["mixed_groups"]["verdicts"]["value"] == 20
    assert total["labelled_steps"]["value"] == 120
    assert total["pairs"]["response"] == {"value": 0, "low": 0, "high": None}
    assert total["cost"]["value"] == pytest.approx(0.052)
    for name in ("tokens", "engine_s", "wall_s", "disk_bytes", "labelled_steps", "cost"):
        assert total[name]["low"] < total[name]["value"] < total[name]["high"], name


def test_slow_cpu_work_decides_the_wall_time(pipeline: Pipeline) -> None:
    answers = [Answer(float(t), 1.0, 200) for t in range(1, 14)]
    found = _pilot(pipeline, answers, cpu_s=100.0).to_json()["total"]
    assert found["wall_s"]["value"] == pytest.approx(100 * 10 / 2 + 5)


def test_without_a_measured_time_no_hours_are_made_up(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    found = _pilot(pipeline, []).to_json()
    assert found["total"]["engine_s"] is None and found["total"]["wall_s"] is None
    assert found["total"]["tokens"]["value"] == 26_000
    print_pilot(found)
    assert "no time was measured" in capsys.readouterr().out


def test_people_read_the_numbers_with_their_ranges(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    print_pilot(_pilot(pipeline, [Answer(float(t), 1.0, 200) for t in range(1, 14)]).to_json())
    said = capsys.readouterr().out
    for text in ("4 of 40 problems", "200 tokens/s", "90% range", "engine time", "mixed groups", "50% of the pilot",
                 "response pairs", "0 – ?", "150 a rollout, 12% truncated"):  # fmt: skip
        assert text in said, text


def test_rows_without_a_problem_are_booked_on_all() -> None:
    from synthflow.workflows.pilot.measured import _Book

    book = _Book(["p_a", "p_b"])
    book.add("x", "p_a", 3)
    book.add("x", "p_made_of_nothing", 4)
    book.add("x", None, 2)
    assert dict(book.columns["x"]) == {"p_a": 6.0, "p_b": 3.0}
    assert np.isclose(sum(book.columns["x"].values()), 9)
