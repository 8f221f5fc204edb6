"""`plan --pilot` on the demo policy: it changes nothing of the real run, which then samples none of it again."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from support.runs import SMALL, run_ok, synthflow, tables, with_changes, write_spec
from synthflow.stores.journal import decode

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

N, ALL = 6, 14


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = ("problems", "rollouts", "verdicts", "difficulty", "steps", "pairs", "sft")
    stages = {name: dict(SMALL["stages"][name]) for name in names}
    stages["difficulty"]["of"] = stages["sft"]["of"] = "verdicts"
    stages["steps"]["n"] = 2
    small = {**SMALL, "name": "piloted", "stages": stages}
    changes = {"problems": {"limit": ALL}, "rollouts": {"n": 4}}
    execution = {"price_per_million_tokens": 3.0, "engines": 1}
    path = tmp_path_factory.mktemp("pilot") / "spec.yaml"
    return write_spec(path, with_changes(small, stages=changes, execution=execution))


def _plan(spec: Path, out: Path, n: int) -> dict[str, Any]:
    done = synthflow("plan", spec, "--out", out, "--pilot", n, "--json", timeout=600)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _journaled(run: Path) -> Counter[str]:
    lines = (line for p in (run / "journal").glob("*.jsonl") for line in p.read_bytes().splitlines())
    return Counter(record[1].rollout_id for record in map(decode, lines) if record is not None)


@pytest.mark.extended
def test_a_pilot_projects_and_its_rollouts_are_not_sampled_twice(spec: Path) -> None:
    out = spec.parent / "run"
    planned = _plan(spec, out, N)
    pilot, total = planned["pilot"], planned["pilot"]["total"]
    assert planned["total"]["problems"] == pilot["problems"] == ALL
    assert {p.name for p in out.iterdir()} == {".pilot", "journal"}

    said = pilot["measured"]
    assert (said["problems"], pilot["interval"]) == (N, 0.9)
    own = tables(out / ".pilot")
    assert own["problems"].height == N and "pairs" in own
    assert said["rollouts"] == said["sampled_now"] == own["rollouts"].height
    assert said["tokens"] == own["rollouts"]["n_tokens"].sum()
    assert said["tokens_per_s"] > 0 and said["start_s"] > 0
    first = next(s for s in pilot["stages"] if s["stage"] == "rollouts")
    assert first["requests"] == {"value": ALL * 4, "low": ALL * 4, "high": ALL * 4}
    for name in ("requests", "tokens", "engine_s", "wall_s", "disk_bytes", "cost"):
        value = total[name]
        assert 0 < value["low"] <= value["value"] <= value["high"], name
    assert total["tokens"]["value"] == pytest.approx(said["tokens"] * ALL / N)
    assert total["cost"]["value"] == pytest.approx(total["tokens"]["value"] * 3 / 1e6)
    assert total["labelled_steps"]["value"] == pytest.approx(own["step_values"].height * ALL / N)
    assert not (out / ".pilot" / "exports").exists()

    before = _journaled(out)
    again = _plan(spec, out, N)["pilot"]
    assert _journaled(out) == before
    assert again["measured"]["sampled_now"] == 0
    assert again["total"]["tokens"] == total["tokens"] and again["measured"]["tokens_per_s"] == said["tokens_per_s"]

    run_ok(spec, out, "--quiet", timeout=600)
    after = _journaled(out)
    assert before.keys() <= after.keys() and max(after.values()) == 1
    real = tables(out)
    assert real["problems"].height == ALL
    kept = real["rollouts"].join(own["rollouts"], on="rollout_id", how="semi").sort("rollout_id")
    assert kept.height == own["rollouts"].height
    assert kept["completion_hash"].equals(own["rollouts"].sort("rollout_id")["completion_hash"])
    assert synthflow("check", out).returncode == 0
    status = json.loads(synthflow("status", out, "--json").stdout)
    counts = {s["stage"]: s["counts"] for s in status["progress"]["stages"]}
    assert sum(c.get("from_journal", 0) for c in counts.values()) == len(before)
    assert sum(c.get("sampled", 0) for c in counts.values()) == len(after) - len(before)
    assert status["progress"]["total"]["cost"] > 0 and status["progress_age_s"] >= 0

    # A pilot of everything has nothing left to guess: its totals are those of the run.
    whole = _plan(spec, out, ALL)["pilot"]
    assert _journaled(out) == after and whole["measured"]["sampled_now"] == 0
    assert whole["measured"]["tokens_per_s"] == said["tokens_per_s"]  # what the real run sampled is no measurement
    truth = {
        "requests": real["rollouts"].height,
        "tokens": real["rollouts"]["n_tokens"].sum(),
        "labelled_steps": real["step_values"].height,
    }
    for name, value in truth.items():
        assert whole["total"][name] == {"value": value, "low": value, "high": value}, name
    assert whole["total"]["pairs"]["response"]["value"] == pytest.approx(real["pairs"].height)
    mixed = real["problem_stats"].filter(pl.col("group_state") == "mixed").height
    assert whole["total"]["mixed_groups"]["verdicts"] == {"value": mixed, "low": mixed, "high": mixed}
    disk = sum(p.stat().st_size for folder in ("journal", "tables") for p in (out / folder).rglob("*.*"))
    assert whole["total"]["disk_bytes"]["value"] == pytest.approx(disk, rel=0.25)


def test_a_pipeline_without_sampling_is_refused_in_one_line(tmp_path: Path) -> None:
    still = {"name": "still", "stages": {"problems": {"use": "source.demo", "limit": 3}}}
    done = synthflow("plan", write_spec(tmp_path / "spec.yaml", still), "--out", tmp_path / "run", "--pilot")
    assert done.returncode == 2
    assert "error: still: no stage samples, so a pilot has nothing to measure" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "run").exists()
