"""What had no answer is asked again, and a plan counts it to the last request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.paper_runs import POLICY, PaperRun, write_problems
from synthflow.plan.again import asked_again, units_without_answers
from synthflow.plan.costs import Change

Stages = dict[str, dict[str, Any]]
REFUSED = 3


@pytest.fixture
def stages(tmp_path: Path) -> Stages:
    path = write_problems(tmp_path / "problems.jsonl", {f"What is {i} + 1?": str(i + 1) for i in range(20)})
    return {
        "problems": {"use": "source.jsonl", "path": str(path)},
        "rollouts": {"use": "sample", "of": "problems", "n": 4},
        "verdicts": {"use": "verify.exact", "of": "rollouts"},
        "sft": {"use": "export.sft", "of": "verdicts"},
    }


@pytest.fixture
def run(stages: Stages, tmp_path: Path) -> PaperRun:
    """Finished, with 4 rollouts of 20 problems in 10 partitions; of three problems the first is refused."""
    run = PaperRun(tmp_path / "run")
    run.finish(stages, refused=REFUSED)
    return run


def told(change: Change) -> dict[str, tuple[int, int, str]]:
    return {s.stage: (s.owed, s.requests, s.why) for s in change.stages if s.owed}


AGAIN = {
    "rollouts": (2, REFUSED, "no answer, asked again"),
    "verdicts": (2, 0, "follows rollouts"),
    "sft": (1, 0, "follows rollouts"),
}


def test_what_is_asked_again_is_what_was_wanted_or_all_of_a_changed_policy(run: PaperRun, stages: Stages) -> None:
    same, changed = run.planned(stages), run.planned(stages, {**POLICY, "batch_size": 7})
    assert asked_again(same) == {}
    assert asked_again(same, ["failed", "refused"]) == {"default": ["failed", "refused"]}
    assert asked_again(changed) == asked_again(changed, ["failed"]) == {"default": ["failed", "poison", "refused"]}
    assert units_without_answers(same, {}) == units_without_answers(same, {"default": ["failed"]}) == {}
    [found] = units_without_answers(same, {"default": ["refused"]}).values()
    assert len(found) == 2


def test_a_plan_counts_what_is_asked_again(run: PaperRun, stages: Stages) -> None:
    assert told(run.change(stages)) == told(run.change(stages, retry=["failed"])) == {}
    assert told(run.change(stages, retry=["refused"])) == AGAIN
    assert told(run.change(stages, {**POLICY, "batch_size": 7})) == AGAIN


def test_other_work_asks_for_it_only_if_it_is_wanted(run: PaperRun, stages: Stages) -> None:
    stages["rollouts"]["n"] = 5
    assert told(run.change(stages))["rollouts"][1] == 20
    assert told(run.change(stages, retry=["refused"]))["rollouts"][1] == 20 + REFUSED


def test_what_a_run_that_did_not_end_was_refused_will_be_asked(stages: Stages, tmp_path: Path) -> None:
    run = PaperRun(tmp_path / "run")
    run.finish(stages, but=["rollouts", "verdicts", "sft"], refused=REFUSED)
    assert told(run.change(stages))["rollouts"] == (10, REFUSED, "not finished")


def test_a_renamed_stage_asks_again_what_its_run_did_not_end_with(stages: Stages, tmp_path: Path) -> None:
    """The units that were answered whole ask for nothing."""
    run = PaperRun(tmp_path / "run")
    run.finish(stages, but=["sft"], refused=REFUSED)
    stages["drawn"] = stages.pop("rollouts")
    stages["verdicts"]["of"] = "drawn"
    change = run.change(stages)
    assert told(change)["drawn"] == (10, REFUSED, "renamed, was rollouts")
