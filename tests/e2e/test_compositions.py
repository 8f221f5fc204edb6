"""Composed verdicts in a whole run: every component's score in a row of its own, and nothing counts it twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from support.classifier import write_classifier
from support.runs import SMALL, run_ok, synthflow, tables, with_changes, write_spec

pytestmark = [pytest.mark.slow, pytest.mark.extended]

LIMIT = 6
LINES = {"use": "exact", "extract": "last_line"}
SPEC: dict[str, Any] = {
    "name": "composed",
    "seed": SMALL["seed"],
    "stages": {
        "problems": {"use": "source.demo", "limit": LIMIT},
        "rollouts": {"use": "sample", "of": "problems", "n": 6, "max_tokens": 200},
        "alone": {"use": "verify.math", "of": "rollouts"},
        "quick": {"use": "verify.exact", "of": "rollouts"},
        "cascade": {"use": "verify.cascade", "of": "rollouts", "steps": [LINES, "math"]},
        "agreed": {"use": "verify.consensus", "of": "rollouts", "components": ["math", "exact"]},
        "formed": {
            "use": "verify.veto", "of": "rollouts", "main": "math", "truncated": "judge",
            "vetoes": [{"use": "format", "exactly_one_box": True}],
        },
        "blended": {
            "use": "verify.blend", "of": "rollouts", "weights": [3, 1], "correct_from": 0.6, "wrong_below": 0.4,
            "components": ["math", {"use": "reward_model", "model": "./reward", "threshold": 0.0}],
        },
        "routed": {
            "use": "verify.route", "of": "rollouts", "by": "source", "default": "exact",
            "routes": {"synthflow-demo": {"use": "cascade", "steps": ["exact", "math"]}},
        },
        "both": {
            "use": "verify.combine", "of": ["alone", "formed"], "rule": "consensus", "verdicts": ["alone", "formed"],
        },
        "scored": {"use": "verify.reward_model", "of": "rollouts", "model": "./reward"},
        "difficulty": {"use": "curriculum.pass_rate", "of": "routed"},
        "steps": {"use": "label.monte_carlo", "of": "difficulty", "n": 3, "rollouts_per_problem": 2, "max_tokens": 200},
        "report": {"use": "measure.qdc", "of": ["steps", "both", "scored", "quick"], "verdicts": "routed"},
        "sft": {"use": "export.sft", "of": "agreed"},
    },
    "execution": {"partition_size": 3},
}  # fmt: skip


@pytest.fixture(scope="module")
def composed(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("composed")
    write_classifier(folder / "reward")
    policy = {"backend": "replay", "model": str(small_run), "tokenizer": "demo"}
    run_ok(write_spec(folder / "spec.yaml", {**SPEC, "policy": policy}), folder / "run", "--quiet")
    return folder / "run"


@pytest.fixture(scope="module")
def scores(composed: Path) -> dict[str, pl.DataFrame]:
    found = tables(composed)
    done = synthflow("sql", composed, "SELECT stage_id, name FROM stages", "--format", "csv")
    named = found["scores"].join(pl.read_csv(done.stdout.encode()), on="stage_id")
    firsts = found["rollouts"].filter(pl.col("condition") == "none").select(target_id="rollout_id")
    return {
        str(name): rows.join(firsts, on="target_id", how="semi") if name != "steps" else rows
        for (name,), rows in named.group_by("name")
    }


def verdicts(scores: dict[str, pl.DataFrame], stage: str) -> dict[str, tuple[str, str | None]]:
    rows = scores[stage].filter(pl.col("kind") == "verdict")
    assert rows["target_id"].n_unique() == rows.height == 6 * LIMIT
    return {row["target_id"]: (row["verdict"], row["reason"]) for row in rows.to_dicts()}


def parts(scores: dict[str, pl.DataFrame], stage: str, scorer: str) -> dict[str, str]:
    rows = scores[stage].filter(pl.col("kind") == "component", pl.col("scorer") == scorer)
    assert rows["target_id"].n_unique() == rows.height
    return {row["target_id"]: row["verdict"] for row in rows.to_dicts()}


def test_check_finds_the_run_sound(composed: Path) -> None:
    done = synthflow("check", composed)
    assert done.returncode == 0, done.stdout + done.stderr


def test_components_stand_beside_the_verdict_as_if_alone(scores: dict[str, pl.DataFrame]) -> None:
    alone, quick = verdicts(scores, "alone"), verdicts(scores, "quick")
    exact, math = parts(scores, "routed", "exact"), parts(scores, "routed", "math")
    asked = {rollout for rollout, (_, reason) in alone.items() if reason != "truncated"}
    assert set(exact) == asked and all(exact[r] == quick[r][0] for r in asked)
    assert set(math) == {r for r in asked if quick[r][0] == "unknown"} and all(math[r] == alone[r][0] for r in math)
    assert parts(scores, "routed", "cascade").keys() == asked
    hashes = {
        stage: set(scores[stage].filter(pl.col("scorer") == "exact")["config_hash"]) for stage in ("routed", "quick")
    }
    assert hashes["routed"] == hashes["quick"]


def test_rules_hold_row_by_row(scores: dict[str, pl.DataFrame]) -> None:
    alone = verdicts(scores, "alone")
    assert {verdict for verdict, _ in alone.values()} >= {"correct", "wrong"}
    lines, math = parts(scores, "cascade", "exact"), parts(scores, "cascade", "math")
    for rollout, (verdict, reason) in verdicts(scores, "cascade").items():
        if reason != "truncated":
            assert verdict == (lines[rollout] if lines[rollout] != "unknown" else math[rollout])
    for rollout, (verdict, _) in verdicts(scores, "agreed").items():
        said = {parts(scores, "agreed", who).get(rollout, "unknown") for who in ("math", "exact")}
        assert verdict == (said.pop() if len(said) == 1 else "unknown")
    form, main = parts(scores, "formed", "format"), parts(scores, "formed", "math")
    formed = verdicts(scores, "formed")
    assert set(form) == set(formed) and set(main) == {r for r, verdict in form.items() if verdict != "wrong"}
    for rollout, (verdict, _) in verdicts(scores, "both").items():
        assert verdict == (alone[rollout][0] if alone[rollout][0] == formed[rollout][0] else "unknown")


def test_a_reward_models_score_is_a_measurement(scores: dict[str, pl.DataFrame]) -> None:
    measured = scores["scored"].filter(pl.col("kind") == "measure")
    blended = scores["blended"].filter(pl.col("kind") == "measure")
    assert measured.height > 0 and measured["verdict"].null_count() == measured.height
    assert set(scores["scored"].filter(pl.col("kind") == "verdict")["reason"]) <= {"no_threshold", "truncated"}
    both = measured.join(blended, on="target_id")
    assert both.height == blended.height and (both["value"] - both["value_right"]).abs().max() < 1e-4


def test_what_counts_verdicts_counts_each_rollout_once(composed: Path, scores: dict[str, pl.DataFrame]) -> None:
    stats = tables(composed)["problem_stats"]
    said = [verdict for verdict, _ in verdicts(scores, "routed").values()]
    assert (stats["n"].sum(), stats["n_correct"].sum(), stats["n_wrong"].sum()) == (
        6 * LIMIT, said.count("correct"), said.count("wrong"),
    )  # fmt: skip
    query = "SELECT stage, count(*) AS n FROM verdicts WHERE condition = 'none' GROUP BY 1"
    done = synthflow("sql", composed, query, "--format", "csv")
    assert set(pl.read_csv(done.stdout.encode())["n"]) == {6 * LIMIT}
    continued = scores["steps"].filter(pl.col("kind") == "component")
    assert continued.height > 0 and set(continued["scorer"]) == {"cascade", "exact", "math"}


def test_a_judge_by_rule_is_not_asked_about_continuations(tmp_path: Path) -> None:
    write_classifier(tmp_path / "reward")
    stages = {"steps": {"of": "both", "verdicts": "both"}, "report": {"verdicts": "both"}}
    done = synthflow(
        "plan", write_spec(tmp_path / "spec.yaml", with_changes(SPEC, stages=stages, policy=SMALL["policy"]))
    )
    assert done.returncode == 2
    assert "verify.combine ('both') judges rollouts, and no continuation of one" in done.stderr
