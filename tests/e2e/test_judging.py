"""Judge, rubric and vote run on a real model, and on a judge that is served elsewhere and knows its trade."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from support.judge_server import Judging, between
from support.runs import assert_same_rows, journal_lines, run_ok, synthflow, tables, with_changes, write_spec
from synthflow.stores.catalog.build import open_catalog
from synthflow.workflows.pilot.measured import measure

pytestmark = [pytest.mark.slow, pytest.mark.extended]

JUDGED: dict[str, Any] = {
    "name": "judged",
    "seed": 3,
    "policies": {
        "default": {"backend": "transformers", "model": "demo"},
        "judge": {"backend": "transformers", "model": "demo"},
    },
    "stages": {
        "problems": {"use": "source.demo", "limit": 4},
        "rollouts": {"use": "sample", "of": "problems", "n": 4, "max_tokens": 200},
        "gold": {"use": "verify.math", "of": "rollouts"},
        "majority": {"use": "verify.vote", "of": "rollouts"},
        "certain": {"use": "verify.vote", "of": "rollouts", "weigh": "borda", "power": 0.5},
        "judged": {"use": "verify.judge", "of": "majority", "policy": "judge", "max_tokens": 24},
        "pairs": {
            "use": "verify.judge", "of": "rollouts", "policy": "judge", "mode": "pairwise", "opponents": 1,
            "max_tokens": 24,
        },
        "rubric": {
            "use": "verify.rubric", "of": "rollouts", "policy": "judge", "max_tokens": 24,
            "criteria": [
                {"name": "one-box", "rule": "filter.format", "options": {"exactly_one_box": True}, "required": True},
                {"name": "right", "rule": "verify.math", "weight": 0.5},
                {"name": "sound", "principle": "Every step follows from the ones before it."},
            ],
        },
        # What follows a judge reads the rollouts that were judged, and never the judge's texts.
        "length": {"use": "filter.length", "of": "judged", "min_tokens": 4},
        "difficulty": {"use": "curriculum.pass_rate", "of": "length", "verdicts": "majority"},
        "report": {"use": "measure.qdc", "of": ["judged", "pairs", "rubric", "certain", "gold"], "verdicts": "gold"},
        "sft": {"use": "export.sft", "of": "length", "verdicts": "majority"},
    },
    "execution": {"partition_size": 2, "cpu_workers": 1, "engines": 1},
}  # fmt: skip


@pytest.fixture(scope="module")
def judged_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pipeline above, run for real on the demo policy."""
    folder = tmp_path_factory.mktemp("judged")
    run_ok(write_spec(folder / "judged.yaml", JUDGED), folder / "run")
    return folder / "run"


def _verdicts(run: Path) -> pl.DataFrame:
    with open_catalog(run) as con:
        rows = con.execute("SELECT stage, rollout_id, verdict, reason FROM verdicts").fetchall()
    return pl.DataFrame(rows, schema=["stage", "rollout_id", "verdict", "reason"], orient="row")


def test_a_judge_that_writes_rubbish_decides_nothing_and_the_run_is_sound(judged_run: Path) -> None:
    rows = _verdicts(judged_run)
    n = 16
    assert dict(rows.group_by("stage").len().iter_rows()) == dict.fromkeys(
        ("gold", "majority", "certain", "judged", "pairs", "rubric"), n
    )
    for stage in ("judged", "pairs"):
        of = rows.filter(pl.col("stage") == stage)
        assert set(of["verdict"]) == {"unknown"}
        assert set(of["reason"]) <= {"parse_failure", "truncated", "too_few"} and "parse_failure" in set(of["reason"])
    voted = rows.filter(pl.col("stage") == "majority")
    assert "correct" in set(voted["verdict"]), "half of a group of the demo policy agrees somewhere"
    artifacts = tables(judged_run)["artifacts"]
    assert set(artifacts["kind"]) == {"critique"} and artifacts["text"].str.len_chars().max() > 0
    assert set(artifacts["finish_reason"]) <= {"stop", "length"}
    sound = synthflow("check", judged_run)
    assert sound.returncode == 0, sound.stdout
    sampled = tables(judged_run)["rollouts"].height + artifacts["sample_id"].n_unique()
    assert len(journal_lines(judged_run)) == sampled, "every completion is journaled once"


def test_a_pilot_would_count_what_judges_write(judged_run: Path) -> None:
    artifacts = tables(judged_run)["artifacts"]
    problems = artifacts["problem_id"].unique().to_list()
    measured = measure(judged_run, problems, ["rollouts", "judged", "pairs", "rubric"])
    asked = sum(sum(measured.columns[f"requests/{stage}"].values()) for stage in ("judged", "pairs", "rubric"))
    tokens = sum(sum(measured.columns[f"tokens/{stage}"].values()) for stage in ("judged", "pairs", "rubric"))
    assert (asked, tokens) == (artifacts.height, artifacts["n_tokens"].sum())


def test_nothing_is_sampled_twice(judged_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(judged_run, run)
    before = journal_lines(run)
    # All that was derived is lost; the journal is not.
    shutil.rmtree(run / "tables")
    for name in ("manifest.jsonl", "manifest.json", "stats.duckdb"):
        (run / name).unlink()
    spec = write_spec(tmp_path / "spec.yaml", JUDGED)
    run_ok(spec, run)
    assert journal_lines(run) == before
    assert_same_rows(judged_run, run)
    # Other thresholds and budgets (which cut nothing here) are derived anew, and nothing is sampled for them.
    changed = with_changes(
        JUDGED,
        stages={
            "judged": {"max_chars": 20_000, "min_agreement": 0.9},
            "majority": {"min_share": 0.3},
            "rubric": {"correct_from": 0.9},
        },
    )
    run_ok(write_spec(spec, changed), run)
    assert journal_lines(run) == before
    assert synthflow("check", run).returncode == 0


@pytest.fixture
def judge_server(judged_run: Path) -> Iterator[Judging]:
    """A judge that compares the box with the reference, and likes the longer of two answers."""

    def write(prompt: str, number: int) -> str:
        if "<answer_A" in prompt:
            a, b = len(between(prompt, "answer_A")), len(between(prompt, "answer_B"))
            return f"The longer one.\nBetter: {'A' if a > b else 'B' if b > a else 'tie'}"
        if "<criterion" in prompt:
            return "Met: yes"
        boxed = re.findall(r"\\boxed\{(.*?)\}", between(prompt, "answer"))
        right = boxed[-1:] == [between(prompt, "reference")]
        return f"I compared.\nVerdict: {'correct' if right else 'wrong'}"

    server = Judging(write)
    yield server
    server.stop()


def test_a_judge_behind_a_server_gives_real_verdicts(judged_run: Path, judge_server: Judging, tmp_path: Path) -> None:
    policies = {
        "default": {"backend": "replay", "model": str(judged_run), "tokenizer": "demo"},
        "judge": {"backend": "openai", "model": "org/judge", "base_url": judge_server.url},
    }
    spec = with_changes(JUDGED, policies=policies, stages={"judged": {"reference": "answer", "temperature": 1.0}})
    run = tmp_path / "run"
    run_ok(write_spec(tmp_path / "spec.yaml", spec), run)
    rows = _verdicts(run)
    of = {
        stage: dict(rows.filter(pl.col("stage") == stage).select("rollout_id", "verdict").iter_rows())
        for stage in ("gold", "judged")
    }
    read = {rollout for rollout, verdict in of["gold"].items() if verdict != "unknown"}
    assert len(read) > 10 and {of["judged"][rollout] == of["gold"][rollout] for rollout in read} == {True}, (
        "it has the gold answer before its eyes"
    )
    assert Counter(of["judged"].values())["correct"] and Counter(of["judged"].values())["wrong"]
    pairs = rows.filter(pl.col("stage") == "pairs")
    assert {"correct", "wrong"} <= set(pairs["verdict"])
    scored = tables(run)["scores"]
    assert set(scored.filter(pl.col("scorer") == "rubric:sound")["value"].drop_nulls()) == {1.0}
    rubric = rows.filter(pl.col("stage") == "rubric")
    assert {"correct"} <= set(rubric["verdict"])
    asked = len(judge_server.seen)
    assert asked == tables(run)["artifacts"].height
    assert synthflow("check", run).returncode == 0
    judged = sum("Take the reference" in prompt for prompt in judge_server.seen)
    three = with_changes(spec, stages={"judged": {"k": 3}})
    run_ok(write_spec(tmp_path / "spec.yaml", three), run)
    assert len(judge_server.seen) == asked + 2 * judged, "two samples more of each verdict, and nothing else"
    with open_catalog(run) as con:
        agreed = con.execute("SELECT value FROM scores WHERE scorer = 'judge:agreement'").fetchall()
    assert {value for (value,) in agreed} == {1.0}
