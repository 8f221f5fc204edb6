"""Judging a finished run again: the churn is told before anything is replaced, and nothing is ever sampled."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from support.runs import SMALL, journal_lines, run_ok, synthflow, tables, with_changes, write_spec
from synthflow import registry
from synthflow.contracts import Judgement, Question
from synthflow.errors import Mistakes, UserError
from synthflow.stores.manifest import Manifest
from synthflow.verifiers.math import MathVerifier
from synthflow.workflows.reverify.explain_rollout import explain_rollout
from synthflow.workflows.reverify.reverify import Rejudge, rejudge

pytestmark = pytest.mark.slow

STAGES = ("problems", "rollouts", "verdicts", "difficulty", "sft")


@pytest.fixture(scope="module")
def judged(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run without its spec's inputs: what it replayed is gone."""
    folder = tmp_path_factory.mktemp("judged")
    shutil.copytree(small_run, folder / "recorded")
    policy = {"backend": "replay", "model": str(folder / "recorded"), "tokenizer": "demo"}
    spec = with_changes({**SMALL, "stages": {name: SMALL["stages"][name] for name in STAGES}}, policy=policy)
    spec["stages"]["difficulty"]["of"] = "verdicts"
    spec["stages"]["sft"]["of"] = "difficulty"
    run_ok(write_spec(folder / "spec.yaml", spec), folder / "run")
    (folder / "recorded").rename(folder / "away")
    return folder


@pytest.fixture
def run(judged: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(judged / "run", tmp_path / "run"))


def whole_journal(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run / "journal").iterdir()}


class _Stricter(MathVerifier):
    """A later version that calls no answer below ten correct, and says why."""

    version = "99"

    def judge(self, questions: Sequence[Question]) -> list[Judgement]:
        return [
            Judgement("wrong", 0.0, "too_small", j.detail) if j.verdict == "correct" and len(str(j.detail)) < 2 else j
            for j in super().judge(questions)
        ]


def _upgrade(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if version 99 of `math` had been installed."""
    loaded = registry.load

    def load(kind: Any, name: str) -> Any:
        return _Stricter if (kind, name) == ("verifiers", "math") else loaded(kind, name)

    monkeypatch.setattr(registry, "load", load)
    monkeypatch.setattr("synthflow.verifiers.opening.load", load)


@pytest.mark.extended
def test_a_new_version_tells_what_flips_and_replaces_nothing(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, journal = tables(run), whole_journal(run)
    old = before["scores"].filter(pl.col("kind") == "verdict")
    small = old.filter(pl.col("verdict") == "correct", pl.col("detail").str.len_chars() < 2)
    assert 0 < small.height < old.height
    _upgrade(monkeypatch)
    told = rejudge(Rejudge(run))
    [found] = told.stages
    assert (found.churn.rows, found.churn.flipped, found.churn.changed) == (old.height, small.height, small.height)
    flips = {tuple(cell): n for cell, n in found.churn.cells.items() if cell.flips}
    assert flips == {("correct", None, "wrong", "too_small"): small.height}
    flipped = pl.read_parquet(run / found.flips)
    assert sorted(flipped["target_id"]) == sorted(small["target_id"])
    assert set(flipped["scorer_version_now"]) == {
        f"99{MathVerifier().full_version().removeprefix(MathVerifier.version)}"
    }
    assert {e["target_id"] for e in found.churn.examples} <= set(small["target_id"])
    assert all(e["completion"] and e["gold"] for e in found.churn.examples)
    assert told.redone == ("difficulty", "sft") and not told.samplers and not found.changes
    for name, rows in tables(run).items():
        assert rows.equals(before[name], null_equal=True), name
    assert whole_journal(run) == journal
    lines = (run / "manifest.jsonl").read_bytes()
    [again] = rejudge(Rejudge(run)).stages
    assert again.churn.cells == found.churn.cells
    assert (run / "manifest.jsonl").read_bytes() == lines, "what was judged once is not judged again"


@pytest.mark.extended
def test_it_is_applied_without_sampling_and_changes_back(judged: Path, run: Path) -> None:
    journal, first = whole_journal(run), tables(run)
    done = synthflow("verify", run, "--set", "extract=boxed", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    [told] = document["stages"]
    assert not document["applied"] and told["changes"] == {"extract": "boxed"}
    assert sum(cell["rows"] for cell in told["cells"]) == told["rows"] == 24 * 6
    done = synthflow("verify", run, "--verifier", "math", "--set", "extract=boxed", "--apply")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.index("churn: ") < done.stdout.index("replaced, in attempt 2")
    assert "stages.verdicts.extract=boxed" in done.stdout
    assert whole_journal(run) == journal, "nothing was sampled"
    after = tables(run)
    assert set(after["scores"]["config_hash"]).isdisjoint(first["scores"]["config_hash"])
    counts = after["scores"].group_by("verdict").len().sort("verdict").rows()
    now: dict[str, int] = {}
    for cell in told["cells"]:
        now[cell["verdict_now"]] = now.get(cell["verdict_now"], 0) + cell["rows"]
    assert dict(counts) == now
    for column, verdict in (("n_correct", "correct"), ("n_wrong", "wrong"), ("n_unknown", "unknown")):
        assert after["problem_stats"][column].sum() == now.get(verdict, 0)
    query = "SELECT scorer, scorer_version, config_hash, count(*) AS n FROM scores GROUP BY ALL"
    rows = [json.loads(line) for line in synthflow("sql", run, query, "--format", "json").stdout.splitlines()]
    assert [(r["scorer"], r["scorer_version"], r["n"]) for r in rows] == [
        ("math", MathVerifier().full_version(), 24 * 6)
    ]
    checked = synthflow("check", run)
    assert checked.returncode == 0, checked.stdout
    (judged / "away").rename(judged / "recorded")
    try:
        back = run_ok(judged / "spec.yaml", run)
    finally:
        (judged / "recorded").rename(judged / "away")
    assert "attempt 3 done" in back.stdout
    assert whole_journal(run) == journal
    for name, table in tables(run).items():
        assert table.equals(first[name], null_equal=True), name
    assert journal_lines(run)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"stage": "verdict"}, "no verify stage is called 'verdict'; did you mean 'verdicts'"),
        ({"settings": {"timeout": 3}}, "timeout_s"),
        ({"settings": {"timeout_s": -1, "workers": "many"}}, "2 mistakes"),
        ({"verifier": "maths"}, "math"),
        ({"settings": {"of": "rollouts"}}, "not a field of the verifier"),
    ],
)
def test_mistakes(judged: Path, asked: dict[str, Any], text: str) -> None:
    with pytest.raises((UserError, Mistakes), match=text):
        rejudge(Rejudge(judged / "run", **asked))


def test_a_rollout_is_explained_by_the_beginning_of_its_id(judged: Path) -> None:
    run = judged / "run"
    lines = (run / "manifest.jsonl").read_bytes()
    scores = tables(run)["scores"].filter(pl.col("kind") == "verdict", pl.col("verdict") != "unknown")
    ids = sorted(tables(run)["rollouts"]["rollout_id"])
    for verdict in ("correct", "wrong"):
        row = scores.filter(verdict=verdict).row(0, named=True)
        found = explain_rollout(Rejudge(run), row["target_id"][:12])
        told = found.to_json()
        assert (told["verdict"], told["recorded"]["verdict"], told["detail"]) == (verdict, verdict, row["detail"])
        assert told["where"].endswith(row["target_id"]) and told["candidates"][0]["rule"] == told["rule"] == "box"
        assert [reading["of"] for reading in told["readings"]] == ["gold", "answer"] and told["asked"]
        exact = explain_rollout(Rejudge(run, verifier="exact", settings={"extract": "last_line"}), row["target_id"])
        assert exact.scorer == "exact" and exact.explanation.judgement.rule == "last_line"
    shared = ids[0][:3]
    for wanted, text in (("r_", "rollouts begin so; give more"), ("r_zz", "no rollout has this id"), (shared, "")):
        if text or sum(one.startswith(wanted) for one in ids) > 1:
            with pytest.raises(UserError, match=text or "begin so"):
                explain_rollout(Rejudge(run), wanted)
    with pytest.raises(UserError, match="did you mean 'verdicts'"):
        explain_rollout(Rejudge(run, stage="verdict"), ids[0])
    assert (run / "manifest.jsonl").read_bytes() == lines


def test_nothing_to_judge_again(judged: Path) -> None:
    lines = (judged / "run" / "manifest.jsonl").read_bytes()
    done = synthflow("verify", judged / "run", "--apply")
    assert done.returncode == 0 and "nothing to judge again" in done.stdout
    assert (judged / "run" / "manifest.jsonl").read_bytes() == lines
    assert Manifest(judged / "run").attempt == 1


@pytest.mark.extended
def test_a_demand_that_is_not_met_stops_before_anything_labels(replay_spec: dict[str, Any], tmp_path: Path) -> None:
    stages = {name: replay_spec["stages"][name] for name in ("problems", "rollouts", "verdicts")}
    stages |= {
        "second": {"use": "verify.exact", "of": "verdicts"},
        "calibration": {"use": "measure.calibration", "of": "second", "truth": "verdicts", "require": {"n": 10_000}},
        "sft": {"use": "export.sft", "of": "calibration", "verdicts": "second"},
    }
    spec, out = write_spec(tmp_path / "spec.yaml", {**replay_spec, "stages": stages}), tmp_path / "run"
    done = synthflow("run", spec, "--out", out)
    assert done.returncode == 4 and "Traceback" not in done.stderr
    assert "stage 'calibration': not calibrated against verdicts" in done.stderr
    assert "at least 10000 are required" in done.stderr
    assert not (out / "exports").exists()
    journal = journal_lines(out)
    run_ok(spec, out, "-o", "stages.calibration.require=null")
    assert journal_lines(out) == journal
    again = {c["stage"] for line in (out / "manifest.jsonl").open() if (c := json.loads(line)).get("attempt") == 2
             and c["kind"] == "commit"}  # fmt: skip
    assert again == {"calibration", "sft"}
    query = (
        "SELECT scorer, n + n_unknown + n_reference_unknown AS n FROM calibration WHERE slice_key = 'all' ORDER BY 1"
    )
    rows = [json.loads(line) for line in synthflow("sql", out, query, "--format", "json").stdout.splitlines()]
    assert rows == [{"scorer": "second", "n": 24 * 6}, {"scorer": "verdicts", "n": 24 * 6}]
    assert synthflow("check", out).returncode == 0


@pytest.mark.extended
def test_stages_that_may_owe_samples_are_told(small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Path(shutil.copytree(small_run, tmp_path / "run"))
    _upgrade(monkeypatch)
    told = rejudge(Rejudge(run))
    assert [one.stage for one in told.stages] == ["verdicts"] and told.samplers == ("steps",)
    assert set(told.redone) == set(SMALL["stages"]) - {"problems", "rollouts", "verdicts"}
