"""What a change costs is told before it is paid: requests to the last one, what is kept and what is stale, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.paper_runs import PaperRun, write_problems
from synthflow.plan.costs import Change, StageCost

PROBLEMS = {f"What is {i} + 1?": str(i + 1) for i in range(20)}


@pytest.fixture
def stages(tmp_path: Path) -> dict[str, dict[str, Any]]:
    path = write_problems(tmp_path / "problems.jsonl", PROBLEMS)
    return {
        "problems": {"use": "source.jsonl", "path": str(path)},
        "rollouts": {"use": "sample", "of": "problems", "n": 16},
        "verdicts": {"use": "verify.exact", "of": "rollouts"},
        "steps": {"use": "label.monte_carlo", "of": "verdicts", "n": 2, "max_steps": 4},
        "sft": {"use": "export.sft", "of": "verdicts"},
    }


@pytest.fixture
def run(stages: dict[str, dict[str, Any]], tmp_path: Path) -> PaperRun:
    """Finished, with 16 rollouts of 20 problems in 10 partitions."""
    run = PaperRun(tmp_path / "run")
    run.finish(stages)
    return run


def cost(change: Change, stage: str) -> StageCost:
    return next(s for s in change.stages if s.stage == stage)


def asked(change: Change) -> dict[str, tuple[int, bool]]:
    return {s.stage: (s.requests, s.at_most) for s in change.stages if s.requests}


def test_nothing_is_owed_of_a_finished_run(run: PaperRun, stages: dict[str, dict[str, Any]]) -> None:
    change = run.change(stages)
    assert (change.owed, change.problems) == (0, {"total": 20, "added": 0, "edited": 0, "removed": 0})
    assert change.to_json()["total"]["requests"] == change.to_json()["total"]["stale"] == 0
    assert cost(change, "rollouts").kept == 10


def test_a_first_run_asks_for_all(stages: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    change = PaperRun(tmp_path / "new").change(stages)
    assert (change.attempt, change.problems["added"], change.gone) == (0, 20, ())
    # Each of 320 rollouts has at most 4 steps; what follows a step but the last is continued twice.
    assert asked(change) == {"rollouts": (320, False), "steps": (320 * 3 * 2, True)}
    assert cost(change, "rollouts").tokens == 320 * 1024
    assert not any(s.why for s in change.stages)


@pytest.mark.parametrize(("n", "requests", "journaled"), [(24, 160, 320), (8, 0, 160), (17, 20, 320)])
def test_a_larger_n_asks_for_the_new_ones_and_a_smaller_for_none(
    n: int, requests: int, journaled: int, run: PaperRun, stages: dict[str, dict[str, Any]]
) -> None:
    stages["rollouts"]["n"] = n
    change = run.change(stages)
    rollouts = cost(change, "rollouts")
    assert (rollouts.requests, rollouts.at_most, rollouts.journaled) == (requests, False, journaled)
    assert (rollouts.kept, rollouts.owed, rollouts.stale, rollouts.why) == (0, 10, 10, f"n: 16 → {n}")
    assert cost(change, "verdicts").why == "follows rollouts"
    assert cost(change, "steps").requests == 20 * n * 3 * 2 and cost(change, "steps").at_most


def test_added_edited_and_removed_problems(run: PaperRun, stages: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    edited = {**PROBLEMS, "What is 0 + 1?": "one", "New?": "1", "And new?": "2"}
    del edited["What is 5 + 1?"]
    write_problems(tmp_path / "problems.jsonl", edited)
    change = run.change(stages)
    assert change.problems == {"total": 21, "added": 2, "edited": 1, "removed": 1}
    assert asked(change)["rollouts"] == (32, False), "16 of each of two new problems: the edited one keeps its own"
    rollouts = cost(change, "rollouts")
    assert rollouts.owed == 3 and rollouts.kept == 8 and rollouts.stale == 2 and rollouts.why == "other problems"
    assert cost(change, "problems").stale == 2
    assert cost(change, "sft").owed == cost(change, "sft").stale == 1


def test_a_renamed_stage_asks_for_nothing_and_a_removed_one_is_gone(
    run: PaperRun, stages: dict[str, dict[str, Any]]
) -> None:
    stages["drawn"] = stages.pop("rollouts")
    stages["verdicts"]["of"] = "drawn"
    stages["values"] = stages.pop("steps")
    del stages["sft"]
    change = run.change(stages)
    assert asked(change) == {}
    assert cost(change, "drawn").why == "renamed, was rollouts"
    assert cost(change, "verdicts").kept == 10
    assert {g["stage"]: g["units"] for g in change.gone} == {"rollouts": 10, "steps": 10, "sft": 1}


def test_work_that_was_not_finished_is_counted_to_the_last_request(
    stages: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    run = PaperRun(tmp_path / "run")
    planned, now = run.cut(stages)
    some = now["problems"].fresh["problem_id"].to_list()[:3]
    run.journal(planned, "rollouts", 16, some)
    run.journal(planned, "rollouts", 16, some[:1])  # a second record of the same rollouts
    [segment, *_] = sorted((run.root / "journal").iterdir())
    whole = segment.read_bytes()
    segment.write_bytes(whole[:-5])  # and a torn one
    change = run.change(stages)
    rollouts = cost(change, "rollouts")
    assert rollouts.requests in (320 - 48, 320 - 47) and rollouts.why == "not finished"
    assert rollouts.requests + rollouts.journaled == 320


def test_two_stages_that_ask_for_the_same_pay_once(run: PaperRun, stages: dict[str, dict[str, Any]]) -> None:
    stages["rollouts"]["n"] = 20
    stages["also"] = {"use": "sample", "of": "problems", "n": 24}
    change = run.change(stages)
    assert sum(cost(change, s).requests for s in ("rollouts", "also")) == 20 * 8
    assert cost(change, "also").why == "new"


def test_expected_tokens_and_seconds_are_those_of_the_last_attempt_that_sampled(
    run: PaperRun, stages: dict[str, dict[str, Any]]
) -> None:
    for number, mean in ((1, 100.0), (2, None)):
        log = run.root / "logs" / f"attempt-{number}"
        log.mkdir(parents=True)
        said = {"stage": "rollouts", "mean_tokens": mean, "tokens_per_s": 50.0 if mean else None}
        (log / "progress.json").write_text(json.dumps({"stages": [said]}))
    run.finish({**stages, "rollouts": {**stages["rollouts"], "n": 17}})
    del stages["steps"]
    stages["rollouts"]["n"] = 18
    total = run.change(stages).to_json()["total"]
    assert (total["requests"], total["expected_tokens"], total["expected_s"]) == (20, 2000.0, 40.0)
