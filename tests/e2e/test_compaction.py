"""Small files become large ones while a run goes on; kills in the midst of it lose and double nothing."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from support.runs import assert_same_rows, journal_lines, run_ok, synthflow, with_changes, write_spec
from synthflow.stores.compaction import FEW, compact, remove_uncounted
from synthflow.stores.manifest import Manifest
from synthflow.stores.shards import read_shard, write_shard

pytestmark = pytest.mark.slow

_ALL_AT_ONCE = """
import sys
from pathlib import Path
from synthflow.stores import compaction
from synthflow.stores.manifest import Manifest
compaction.FILE_BYTES = int(sys.argv[2])
manifest = Manifest(Path(sys.argv[1]))
compaction.remove_uncounted(Path(sys.argv[1]), manifest)
print("begun", flush=True)
compaction.compact(Path(sys.argv[1]), manifest, few=2)
manifest.append({"kind": "done", "attempt": manifest.attempt})
compaction.remove_uncounted(Path(sys.argv[1]), manifest)
"""
"""What a run does when it ends, in a process that can be killed."""


def globbed(run: Path) -> dict[str, int]:
    """Rows of each table, for whoever reads all files of it."""
    tables = {path.name for path in (run / "tables").iterdir() if path.name not in ("policies", "runs", "samplings")}
    return {
        table: sum(pq.read_metadata(path).num_rows for path in (run / "tables" / table).rglob("*.parquet"))
        for table in tables - {"stages"}
    }


def counted(run: Path) -> dict[str, int]:
    rows: dict[str, int] = {}
    for commit in Manifest(run).active():
        for shard in commit.shards:
            rows[shard.table] = rows.get(shard.table, 0) + shard.rows
    return rows


def scattered(run: Path, to: Path) -> Path:
    """A copy of a run of one attempt in which every unit has files of its own, as before any compaction."""
    shutil.copytree(run, to)
    commits = Manifest(run).active()
    lines = (run / "manifest.jsonl").read_text().splitlines(keepends=True)
    kinds = [json.loads(line)["kind"] for line in lines]
    (to / "manifest.jsonl").write_text(
        "".join(line for line, kind in zip(lines, kinds, strict=True) if kind not in ("commit", "compacted", "done"))
    )
    manifest = Manifest(to)
    for number, commit in enumerate(commits):
        shards = tuple(
            write_shard(to, s.table, read_shard(run, s), s.path.split("/")[2], f"part-{number:010x}-{at:04x}")
            for at, s in enumerate(commit.shards)
        )
        manifest.commit(replace(commit, shards=shards))
    manifest.append({"kind": "done", "attempt": manifest.attempt})
    remove_uncounted(to, manifest)
    return to


@pytest.fixture(scope="module")
def many(replay_spec: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small pipeline in 24 partitions, run to its end."""
    folder = tmp_path_factory.mktemp("many")
    spec = with_changes(replay_spec, execution={"partition_size": 1})
    run_ok(write_spec(folder / "spec.yaml", spec), folder / "run")
    return folder / "run"


def test_a_run_ends_with_few_files_and_the_rows_of_one_in_other_partitions(many: Path, replay_run: Path) -> None:
    assert_same_rows(replay_run, many)
    folders = [folder for folder in many.glob("tables/*/*") if folder.is_dir()]
    files = {f"{f.parent.name}/{f.name.rpartition('-')[0]}": len(list(f.glob("*.parquet"))) for f in folders}
    assert files["rollouts/rollouts"] == files["scores/verdicts"] == files["stats/report"] == 1
    assert max(files.values()) < FEW, "fewer stay as they are"
    assert globbed(many) == counted(many)
    assert synthflow("check", many).returncode == 0


@pytest.mark.extended
def test_more_problems_and_fewer_are_not_mixed_up_in_shared_files(
    many: Path, replay_spec: dict[str, object], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(many, tmp_path / "run"))
    fewer = with_changes(
        replay_spec, execution={"partition_size": 1}, stages={"problems": {"use": "source.demo", "limit": 17}}
    )
    run_ok(write_spec(tmp_path / "fewer.yaml", fewer), run)
    run_ok(tmp_path / "fewer.yaml", tmp_path / "fresh")
    assert_same_rows(tmp_path / "fresh", run)
    said = synthflow("sql", run, "SELECT count(*) FROM rollouts", "--format", "csv").stdout.split()
    assert int(said[-1]) == counted(run)["rollouts"], "the catalog counts what the plan does not"
    assert synthflow("check", run).returncode == 0
    shutil.copy(many.parent / "spec.yaml", tmp_path / "spec.yaml")
    run_ok(tmp_path / "spec.yaml", run)
    assert_same_rows(many, run)


def test_compact_says_what_it_did_and_the_journal_can_go(
    many: Path, replay_spec: dict[str, object], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(many, tmp_path / "run"))
    before = journal_lines(run)
    done = synthflow("compact", run)
    assert done.returncode == 0 and "journal" in done.stdout and "->" in done.stdout, done.stderr
    assert journal_lines(run) == before and len(list((run / "journal").glob("*.jsonl"))) == 1
    assert synthflow("check", run).returncode == 0
    again = run_ok(many.parent / "spec.yaml", run)
    assert "nothing" in (again.stdout + again.stderr).lower()
    dropped = synthflow("compact", run, "--drop-journal", "--yes")
    assert dropped.returncode == 0 and not list((run / "journal").glob("*.jsonl"))
    assert_same_rows(many, run)
    run_ok(many.parent / "spec.yaml", run)
    assert synthflow("check", run).returncode == 0


def test_a_run_that_has_not_ended_is_not_compacted(many: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(many, tmp_path / "run"))
    lines = (run / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    (run / "manifest.jsonl").write_bytes(b"".join(lines[: len(lines) // 2]))
    done = synthflow("compact", run)
    assert done.returncode == 2 and "has not ended" in done.stderr


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.long)])
def test_kills_in_the_midst_of_a_compaction_lose_and_double_nothing(many: Path, tmp_path: Path, kills: int) -> None:
    chance = random.Random(kills)
    rows, killed, took = counted(many), 0, 0.5
    start, run = scattered(many, tmp_path / "scattered"), tmp_path / "run"
    assert_same_rows(many, start)
    for _ in range(10 * kills):
        shutil.copytree(start, run)
        process = subprocess.Popen(
            [sys.executable, "-c", _ALL_AT_ONCE, str(run), str(chance.choice([4_000, 20_000, 1 << 26]))],
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None and process.stdout.readline() == b"begun\n"
        began = time.monotonic()
        try:
            process.wait(timeout=chance.uniform(0, took))
            took = time.monotonic() - began
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
        manifest = Manifest(run)
        assert counted(run) == rows
        assert_same_rows(many, run)
        remove_uncounted(run, manifest)
        compact(run, manifest, few=2)
        manifest.append({"kind": "done", "attempt": manifest.attempt})
        remove_uncounted(run, manifest)
        assert_same_rows(many, run)
        assert globbed(run) == counted(run) == rows
        shutil.rmtree(run)
        if killed == kills:
            return
    pytest.fail(f"only {killed} of {kills} kills came in time")
