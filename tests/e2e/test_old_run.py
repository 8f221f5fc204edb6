"""A run that version 0.1.0 wrote opens, resumes, is topped up and judged again: ids, fingerprints and rows stay.

Stages whose version was raised since (`RAISED`) are made again with what lies below them, from the journal, and their
rows are those of old, but for who made them and what the raise is about. `tests/data/run-0.1.0` says how it was made.
Every test works on a copy.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
import yaml

from support.runs import run_ok, synthflow, tables, write_spec
from synthflow.stores.graph import StageRecord
from synthflow.stores.journal import decode
from synthflow.stores.manifest import Manifest

pytestmark = pytest.mark.slow

OLD = Path(__file__).parents[1] / "data" / "run-0.1.0" / "run"
SPEC = OLD / "spec.yaml"
OLD_WORD, NEW_WORD = "all_right", "all_correct"
"""The state of a group whose rollouts are all correct: a shard keeps the word that it was written with."""
WITH_STATES = {"group_state", "sf_group_state", "reason"}
RAISED = {
    "verify.math", "verify.judge", "sample.tree", "label.judge", "measure.qdc", "measure.calibration",
    "export.stepwise",
}  # fmt: skip
MENDED = {"calibration", "stepwise"}
"""Stages with other rows: intervals were over rollouts, and labels came from one continuation."""
MADE_BY = {"stage_id", "scorer_version", "labeler_version", "config_hash"}
ADDED = {"sf_verdict_stage"}
RECOUNTED = ("answer_entropy", "distinct_answers")
"""Metrics that took what is told of an unknown verdict for an answer."""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OLD, tmp_path / "run"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The old run after a `run` of its own spec, which makes the catalog that is not kept."""
    run = Path(shutil.copytree(OLD, tmp_path_factory.mktemp("finished") / "run"))
    run_ok(SPEC, run)
    return run


def in_todays_words(rows: pl.DataFrame) -> pl.DataFrame:
    found = WITH_STATES & set(rows.columns)
    return rows.with_columns(pl.col(name).str.replace_all(OLD_WORD, NEW_WORD, literal=True) for name in found)


def as_compared(rows: pl.DataFrame) -> list[str]:
    """Rows without who made them, what a verdict is told with, and what is counted otherwise since."""
    if "metric" in rows.columns:
        rows = rows.filter(~pl.col("metric").is_in(RECOUNTED))
    if "verdict" in rows.columns and "detail" in rows.columns:
        rows = rows.with_columns(detail=pl.when(pl.col("verdict").is_null()).then("detail"))
    return sorted(map(repr, in_todays_words(rows.drop((MADE_BY | ADDED) & set(rows.columns))).rows()))


def but_mended(run: Path) -> dict[str, pl.DataFrame]:
    """Rows by table, without those of the stages that were mended."""
    mended = [plan(run)[name].stage_id for name in MENDED]
    return {
        name: rows.filter(~pl.col("stage_id").is_in(mended)) if "stage_id" in rows.columns else rows
        for name, rows in tables(run).items()
    }


def assert_rows_of_old(run: Path) -> None:
    old, new = but_mended(OLD), but_mended(run)
    assert set(old) == set(new)
    for name, rows in old.items():
        assert as_compared(rows) == as_compared(new[name]), f"{name} differs"
    for release in sorted((OLD / "exports").rglob("*.parquet")):
        if release.relative_to(OLD / "exports").parts[0] in MENDED:
            continue
        made, kept = (pl.read_parquet(folder / release.relative_to(OLD)) for folder in (run, OLD))
        assert as_compared(made) == as_compared(kept), release.name


def made_again(run: Path) -> set[str]:
    """The stages whose version was raised, and all below them."""
    graph = Manifest(run).graph
    raised = {name for name, record in graph.stages.items() if record.use in RAISED}
    return {name for name in graph.stages if raised & {name, *graph.ancestors_of(name)}}


def assert_planned_as_old(run: Path) -> None:
    old, new, again = plan(OLD), plan(run), made_again(OLD)
    assert list(old) == list(new) and {old[name].use for name in again} >= RAISED
    for name, record in old.items():
        now = new[name]
        assert (now == record) == (name not in again), name
        config = {field: value for field, value in now.config.items() if field in record.config}
        version = record.version if record.use in RAISED else now.version
        assert replace(now, fingerprint=record.fingerprint, version=version, config=config) == record, name


def plan(run: Path) -> Mapping[str, StageRecord]:
    """The stages of the latest attempt, with their fingerprints and configurations."""
    return Manifest(run).graph.stages


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def segments(run: Path) -> dict[str, bytes]:
    """The journal. Notes of what was handed to engines go with their attempt."""
    return {name: held for name, held in files(run / "journal").items() if name.endswith(".jsonl")}


def journaled(run: Path) -> list[str]:
    """Ids of all whole records, of each as often as it was journaled."""
    read = [decode(line) for path in (run / "journal").glob("*.jsonl") for line in path.read_bytes().splitlines()]
    return [record[1].rollout_id for record in read if record is not None]


def rollouts_of(run: Path, stage: str) -> pl.DataFrame:
    return tables(run)["rollouts"].filter(pl.col("stage_id") == plan(run)[stage].stage_id)


def last_id(segment: Path) -> str | None:
    record = decode(segment.read_bytes().splitlines()[-1])
    return None if record is None else record[1].rollout_id


def without_tables(run: Path) -> None:
    """Leave the journal and nothing else."""
    for path in run.iterdir():
        if path.is_dir() and path.name != "journal":
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()


def part_of_spec(path: Path, left_out: Collection[str]) -> Path:
    """The old run's spec without stages of some kinds, to be quick."""
    spec = yaml.safe_load(SPEC.read_text())
    kept = {name: s for name, s in spec["stages"].items() if s["use"].partition(".")[0] not in left_out}
    return write_spec(path, {**spec, "stages": kept})


def query(run: Path, sql: str) -> list[dict[str, object]]:
    done = synthflow("sql", run, sql, "--format", "json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_it_holds_what_a_run_can_hold() -> None:
    """Otherwise the tests below would say little."""
    found = tables(OLD)
    assert set(found["rollouts"]["condition"]) == {"none", "prefix", "tree", "spliced"}
    assert set(found["problem_stats"]["group_state"]) == {NEW_WORD, "mixed", "all_wrong"}, "as they are read now"
    shards = [shard for commit in Manifest(OLD).active() for shard in commit.shards if shard.table == "problem_stats"]
    written = pl.concat([pl.read_parquet(OLD / shard.path) for shard in shards])
    assert set(written["group_state"]) == {OLD_WORD, "mixed", "all_wrong"}
    assert {"pairs", "artifacts", "steps", "step_values", "stats", "agreement", "rejects"} <= set(found)
    assert sorted(path.name for path in (OLD / "exports").iterdir()) == ["graph", "preference", "rl", "sft", "stepwise"]


def test_it_is_sound_as_it_is(run: Path) -> None:
    done = synthflow("check", run, "--json")
    assert done.returncode == 0, done.stdout
    told = json.loads(done.stdout)
    assert told["findings"] == []
    assert (told["counts"]["shards"], told["counts"]["journal_records"]) == (82, 143)
    assert synthflow("status", run).returncode == 0


def test_it_owes_what_raised_versions_make_again(finished: Path) -> None:
    assert_planned_as_old(finished)
    assert segments(finished) == segments(OLD), "nothing was sampled"
    assert_rows_of_old(finished)
    commits = [json.loads(line) for line in (finished / "manifest.jsonl").read_text().splitlines()]
    assert {c["stage"] for c in commits if c["kind"] == "commit" and c["attempt"] > 1} == made_again(OLD)
    assert synthflow("check", finished).returncode == 0


def test_before_that_verify_tells_what_flips(run: Path) -> None:
    before = files(run / "tables")
    done = synthflow("verify", run, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert not told["applied"]
    stages = {stage["stage"]: stage for stage in told["stages"]}
    assert stages["verdicts"]["version_before"] != stages["verdicts"]["version_now"]
    assert (stages["verdicts"]["rows"], stages["verdicts"]["flipped"], stages["verdicts"]["changes"]) == (25, 0, {})
    after = files(run / "tables")
    assert {name: after[name] for name in before} == before, "what was judged then is there"


def test_the_commands_for_people_read_it(finished: Path) -> None:
    for command in ("status", "stats", "agreement"):
        done = synthflow(command, finished, "--json")
        assert done.returncode == 0 and json.loads(done.stdout), f"{command}: {done.stderr}"
    page = finished.parent / "page.html"
    assert synthflow("agreement", finished, "--html", page).returncode == 0
    assert "<td>steps</td>" in page.read_text()
    states = query(finished, "SELECT group_state, count(*) AS n FROM problem_stats GROUP BY 1 ORDER BY 1")
    assert [(s["group_state"], s["n"]) for s in states] == [(NEW_WORD, 4), ("all_wrong", 4), ("mixed", 2)]
    [mixed] = query(finished, "SELECT count(*) AS n FROM groups WHERE stage = 'verdicts' AND group_state = 'mixed'")
    assert mixed["n"] == 1


def test_it_is_made_again_from_its_journal(run: Path) -> None:
    before = segments(run)
    without_tables(run)
    run_ok(SPEC, run)
    assert segments(run) == before, "nothing was sampled"
    assert_planned_as_old(run)
    assert_rows_of_old(run)
    assert synthflow("check", run).returncode == 0


@pytest.mark.parametrize("word", [OLD_WORD, pytest.param(NEW_WORD, marks=pytest.mark.extended)])
def test_a_changed_export_reads_the_word_that_its_shards_have(word: str, run: Path) -> None:
    before = segments(run)
    run_ok(SPEC, run, "-o", f"stages.rl.groups=[{word}]")
    assert segments(run) == before
    rows = pq.read_table(run / "exports" / "rl" / "rl").to_pylist()
    solved = tables(OLD)["problem_stats"].filter(pl.col("group_state") == NEW_WORD)
    assert {row["sf_problem_id"] for row in rows} == set(solved["problem_id"]) and len(rows) == 2


@pytest.mark.extended
def test_a_top_up_samples_what_is_new_and_nothing_else(run: Path) -> None:
    before, old_ids = segments(run), journaled(run)
    part = part_of_spec(run.parent / "part.yaml", {"mine", "measure", "export"})
    run_ok(part, run, "-o", "stages.rollouts.n=6", "-o", "stages.problems.limit=6")
    after, ids = segments(run), journaled(run)
    assert {name: after[name] for name in before} == before, "what was written stays"
    assert len(ids) == len(set(ids)) > len(old_ids), "nothing is sampled twice"
    first = rollouts_of(run, "rollouts")
    assert first.height == 6 * 6
    assert set(rollouts_of(OLD, "rollouts")["rollout_id"]) < set(first["rollout_id"])
    taken = rollouts_of(OLD, "more").filter(pl.col("index") < 6)["rollout_id"]
    assert len(taken) and set(taken) <= set(first["rollout_id"]), "the second wave's rollouts are the first wave's now"
    old, now = tables(OLD)["rollouts"], tables(run)["rollouts"]
    kept = now.join(old, on="rollout_id", suffix="_before")
    assert kept.height and (kept["completion"] == kept["completion_before"]).all()
    assert synthflow("check", run).returncode == 0


def test_it_is_judged_again(finished: Path) -> None:
    before = segments(finished)
    done = synthflow("verify", finished)
    assert done.returncode == 0 and "nothing to judge again" in done.stdout, done.stdout + done.stderr
    done = synthflow("verify", finished, "--stage", "verdicts", "--set", "extract=boxed", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    [stage] = told["stages"]
    assert not told["applied"] and (stage["rows"], stage["changes"]) == (25, {"extract": "boxed"})
    assert segments(finished) == before


@pytest.mark.extended
def test_a_torn_line_is_owed_again(run: Path) -> None:
    branches = set(rollouts_of(OLD, "branches")["rollout_id"])
    ids = journaled(run)
    [(segment, torn)] = [
        (path, last) for path in (run / "journal").glob("*.jsonl") if (last := last_id(path)) in branches
    ]
    segment.write_bytes(segment.read_bytes()[:-40])
    assert sorted(set(ids) - set(journaled(run))) == [torn]
    checked = synthflow("check", run)
    assert checked.returncode == 0 and "journal_torn" in checked.stdout, checked.stdout
    without_tables(run)
    run_ok(part_of_spec(run.parent / "part.yaml", {"label", "mine", "measure", "export"}), run)
    assert sorted(journaled(run)) == sorted(ids)
