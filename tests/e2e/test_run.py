"""The main job on a real model, and what a run directory holds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from support.runs import SMALL, assert_same_rows, journal_lines, run_ok, synthflow, tables, with_changes, write_spec
from synthflow.stores.lock import RunLock

pytestmark = pytest.mark.slow


def test_the_run_directory_holds_what_the_design_says(small_run: Path) -> None:
    for name in ("spec.yaml", "resolved.yaml", "manifest.jsonl", "manifest.json", "stats.duckdb", "journal", "tables"):
        assert (small_run / name).exists(), name
    assert not (small_run / "lock").exists()
    assert {p.name for p in (small_run / "exports").iterdir()} == {"sft", "dpo", "rl", "stepwise", "graph"}
    for export in (small_run / "exports").iterdir():
        assert (export / "README.md").is_file()
    assert (small_run / "logs" / "attempt-1" / "progress.json").is_file()


def test_it_is_sound(small_run: Path) -> None:
    done = synthflow("check", small_run)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sound" in done.stdout


def test_every_table_has_rows_and_counts_reconcile(small_run: Path) -> None:
    found = tables(small_run)
    assert found["problems"].height == 24
    first = found["rollouts"].filter(pl.col("condition") == "none")
    assert first.height == 24 * 6
    assert found["problem_stats"]["n"].sum() == first.height
    assert found["steps"].height == found["step_values"].height > 0
    assert found["pairs"]["level"].unique().sort().to_list() == ["response", "step"]
    labelled = found["step_values"]["rollout_id"].n_unique()
    left_out = found["rejects"].filter(
        pl.col("target_kind") == "rollout", pl.col("target_id").is_in(first["rollout_id"].to_list())
    )
    by_label_stage = left_out.filter(
        pl.col("reason").is_in(["group_all_correct", "group_all_wrong", "group_undecided", "not_selected", "filtered"])
    )
    assert labelled + by_label_stage["target_id"].n_unique() == first.height


def test_stages_run_where_no_engine_is(small_run: Path) -> None:
    parts = sorted((small_run / "tables" / "telemetry").glob("*/*.parquet"))
    elapsed = pl.concat([pl.read_parquet(p) for p in parts]).filter(pl.col("target_kind") == "task")
    assert elapsed.filter(pl.col("target_id").str.starts_with("rollouts/")).height == 4  # sampled on an engine's worker
    kind = pl.col("worker").str.split("/").list.last().str.slice(0, 4)
    stages = elapsed.group_by(kind).agg(pl.col("target_id").str.split("/").list.first())
    of = {worker: set(names) for worker, names in stages.rows()}
    assert of.keys() <= {"cpu-", "engi"}
    assert of["cpu-"] >= {"rollouts", "verdicts", "difficulty", "steps"}
    # the engines' workers are lent to stages once nothing is sampled any more
    assert of.get("engi", set()).isdisjoint({"problems", "rollouts", "verdicts", "difficulty", "steps"})


def test_running_again_does_nothing_and_says_so(small_run: Path) -> None:
    before = sorted((p, p.stat().st_mtime_ns) for p in small_run.rglob("*") if p.is_file())
    done = run_ok(small_run / "spec.yaml", small_run)
    assert "nothing to do" in done.stdout
    after = sorted((p, p.stat().st_mtime_ns) for p in small_run.rglob("*") if p.is_file())
    assert [p for p in after if "lock" not in p[0].name] == before


def test_a_moved_run_is_the_same_run(small_run: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "run"
    shutil.copytree(small_run, moved)
    query = "SELECT count(*) AS n FROM step_advantages"
    here, there = (synthflow("sql", run, query, "--format", "json") for run in (small_run, moved))
    assert here.returncode == there.returncode == 0, there.stderr
    assert here.stdout == there.stdout != ""
    assert synthflow("check", moved).returncode == 0


@pytest.mark.extended
def test_a_copy_of_a_run_that_goes_on_can_be_opened(
    replay_spec: dict[str, object], replay_run: Path, tmp_path: Path
) -> None:
    """The copy has the lock of the run, and commits whose files were not there yet when their folder was copied."""
    live = Path(shutil.copytree(replay_run, tmp_path / "live"))
    with RunLock(live):
        copy = Path(shutil.copytree(live, tmp_path / "copy"))
        assert json.loads(synthflow("status", live, "--json").stdout)["state"] == "running"
        assert json.loads(synthflow("status", copy, "--json").stdout)["state"] == "complete"
        for table in ("rollouts", "scores", "step_values", "pairs"):
            shards = sorted((copy / "tables" / table).glob("*/*.parquet"))
            shards[0].unlink()
            shards[-1].write_bytes(shards[-1].read_bytes()[:100])
        (copy / "exports" / "rl" / "README.md").unlink()
        run_ok(write_spec(tmp_path / "spec.yaml", replay_spec), copy)
    assert_same_rows(replay_run, copy)
    assert journal_lines(copy) == journal_lines(replay_run), "what was journaled is not sampled again"
    assert synthflow("check", copy).returncode == 0


def test_a_changed_spec_runs_again_only_what_changed_and_changes_back_for_free(
    replay_spec: dict[str, object], replay_run: Path, tmp_path: Path
) -> None:
    spec, out = tmp_path / "spec.yaml", Path(shutil.copytree(replay_run, tmp_path / "run"))
    first = tables(out)
    journal = sorted(p.name for p in (out / "journal").iterdir())
    changed = with_changes(replay_spec, stages={"pairs": {"max_length_ratio": 1.2}})
    run_ok(write_spec(spec, changed), out)
    commits = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    again = {c["stage"] for c in commits if c["kind"] == "commit" and c["attempt"] == 2}
    assert again == {"pairs", "report", "dpo", "graph"}
    assert sorted(p.name for p in (out / "journal").iterdir()) == journal
    run_ok(write_spec(spec, replay_spec), out)
    commits = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    back = {c["stage"] for c in commits if c["kind"] == "commit" and c["attempt"] == 3}
    assert back <= {"dpo", "graph"}  # one place for all releases of a stage: it is written again
    for name, rows in tables(out).items():
        assert rows.equals(first[name], null_equal=True), name
    assert synthflow("check", out).returncode == 0


@pytest.mark.extended
def test_more_rollouts_sample_only_the_new_ones(tmp_path: Path) -> None:
    spec, out = tmp_path / "spec.yaml", tmp_path / "run"
    stages = {name: SMALL["stages"][name] for name in ("problems", "rollouts", "verdicts")}
    stages["problems"] = {"use": "source.demo", "limit": 8}
    stages["rollouts"] = {**SMALL["stages"]["rollouts"], "n": 8}
    stages["difficulty"] = {"use": "curriculum.pass_rate", "of": "verdicts"}
    stages["pairs"] = {"use": "mine.pairs", "of": "difficulty", "level": "response"}
    stages["rl"] = {"use": "export.rl", "of": "difficulty"}
    few = {**SMALL, "stages": stages}
    run_ok(write_spec(spec, few), out)
    old, journal = tables(out)["rollouts"], journal_lines(out)
    told = run_ok(write_spec(spec, with_changes(few, stages={"rollouts": {"n": 24}})), out).stdout
    assert "since attempt 1: rollouts (n: 8 → 24); " in told and "; 128 requests, about " in told
    new = tables(out)["rollouts"]
    assert old.height == 8 * 8 and new.height == 8 * 24
    assert set(new["problem_id"].value_counts()["count"]) == {24}, "16 new ones of each problem"
    kept = new.filter(pl.col("rollout_id").is_in(old["rollout_id"].to_list())).sort("rollout_id")
    same = [c for c in old.columns if c != "stage_id"]
    assert kept.select(same).equals(old.sort("rollout_id").select(same), null_equal=True)
    assert journal < journal_lines(out) and len(journal_lines(out)) == 8 * 24, "exactly 16 more were sampled"
    assert tables(out)["problem_stats"]["n"].unique().to_list() == [24], "what is derived is up to date"
    commits = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert {c["stage"] for c in commits if c["kind"] == "commit" and c["attempt"] == 2} == set(stages) - {"problems"}
    assert synthflow("check", out).returncode == 0
