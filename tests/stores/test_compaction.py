"""Small files of units become one with the same rows; a kill at any moment loses and doubles nothing."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.schema import TABLES
from synthflow.stores import compaction
from synthflow.stores.compaction import compact, merged, pending_merges, remove_uncounted
from synthflow.stores.graph import StageRecord
from synthflow.stores.manifest import Commit, Manifest
from synthflow.stores.shards import read_shard, read_shards, write_shard

REJECTS = TABLES["rejects"]
RECORDS = [
    StageRecord("problems", "source.jsonl", "1", "f_source", "source", (), (), {}),
    StageRecord("judged", "verify.x", "1", "f_judged000000", "partition", ("problems",), (), {}),
]


def rejects(unit: int, rows: int) -> pa.Table:
    return REJECTS.from_rows(
        [
            {"problem_id": f"p_{unit:03d}", "target_kind": "rollout", "target_id": f"r_{unit:03d}_{i:03d}",
             "stage_id": "e_1", "reason": "because", "score": float(i)}
            for i in range(rows)
        ]
    )  # fmt: skip


class Units:
    """A run directory with a stage whose units reject so many rows each."""

    def __init__(self, root: Path, rows: Sequence[int]) -> None:
        self.root, self.names = root, [f"q_{number:03d}" for number in range(len(rows))]
        self.manifest = Manifest(root)
        if rows:
            self.open(self.names)
        for number, n in enumerate(rows):
            self.write(number, n)

    def open(self, units: Sequence[str]) -> None:
        self.manifest.open_attempt(RECORDS, {})
        self.manifest.set_partitions("problems", units, None)

    def write(self, number: int, rows: int) -> None:
        record, unit = RECORDS[1], self.names[number]
        name = f"part-{number:010x}-{self.manifest.attempt:04x}"
        shard = write_shard(self.root, "rejects", rejects(number, rows), record.folder, name)
        key = self.manifest.graph.key("judged", unit)
        self.manifest.commit(
            Commit("judged", record.fingerprint, record.stage_id, unit, key, self.manifest.attempt, (shard,), {})
        )

    def read(self, manifest: Manifest | None = None) -> dict[str, list[str]]:
        """What each unit rejected."""
        found = {}
        for commit in (manifest or self.manifest).active():
            rows = read_shards(self.root, commit.shards)
            found[commit.unit] = rows["target_id"].to_pylist()
        return found

    def files(self) -> list[Path]:
        return sorted((self.root / "tables" / "rejects" / RECORDS[1].folder).glob("*.parquet"))

    def globbed(self) -> list[str]:
        """What somebody reads who takes every file of the folder."""
        return sorted(row for path in self.files() for row in pq.read_table(path)["target_id"].to_pylist())


def flat(units: dict[str, list[str]]) -> list[str]:
    return sorted(row for rows in units.values() for row in rows)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row groups of ten rows, so that a few units fill several."""
    monkeypatch.setattr(compaction, "_GROUP_ROWS", 10)


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(1, 25), min_size=1, max_size=12), again=st.integers(0, 3))
def test_units_keep_their_rows_and_stand_whole_in_row_groups(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], again: int
) -> None:
    run = Units(tmp_path_factory.mktemp("run"), sizes)
    before = run.read()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compaction, "_GROUP_ROWS", 10)
        compact(run.root, run.manifest, few=2)
        remove_uncounted(run.root, run.manifest)
        for _ in range(again):
            compact(run.root, run.manifest, few=1)
    assert run.read() == run.read(Manifest(run.root)) == before
    if len(sizes) > 1:
        newest = max(run.files(), key=lambda path: path.stat().st_mtime_ns)
        file = pq.ParquetFile(newest)
        groups = [set(file.read_row_group(g)["problem_id"].to_pylist()) for g in range(file.num_row_groups)]
        assert sum(map(len, groups)) == len(sizes), "a unit stands in two row groups"


def test_a_few_files_stay_and_large_ones_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Units(tmp_path, [3] * (compaction.FEW - 1))
    assert pending_merges(run.manifest) == []
    assert len(pending_merges(run.manifest, few=2)) == 1
    monkeypatch.setattr(compaction, "FILE_BYTES", 1)
    assert pending_merges(run.manifest, few=2) == []


def test_files_are_closed_at_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Units(tmp_path, [5] * 12)
    size = run.files()[0].stat().st_size
    monkeypatch.setattr(compaction, "FILE_BYTES", 4 * size)
    assert [len(merge.parts) for merge in pending_merges(run.manifest)] == [4, 4, 4]


def test_killed_before_the_swap_the_old_files_count_and_after_it_the_new_one(tmp_path: Path) -> None:
    run = Units(tmp_path, [3] * 6)
    run.manifest.append({"kind": "done", "attempt": 1})
    before = run.read()
    [merge] = pending_merges(run.manifest, few=2)
    file = merged(run.root, merge)
    assert file is not None and len(run.globbed()) == 36

    killed = Path(shutil.copytree(tmp_path, tmp_path.with_name("killed-before")))
    manifest = Manifest(killed)
    assert remove_uncounted(killed, manifest) == [file.path]
    there = Units(killed, [])
    assert there.read(manifest) == before and there.globbed() == flat(before)

    run.manifest.compacted(file)
    again = Manifest(tmp_path)
    assert remove_uncounted(tmp_path, again) == [], "the catalog of the attempt that ended names the old files"
    assert run.read(again) == before
    again.append({"kind": "done", "attempt": 1})
    assert len(remove_uncounted(tmp_path, Manifest(tmp_path))) == 6
    assert run.read(Manifest(tmp_path)) == before and run.globbed() == flat(before)


def test_what_was_taken_back_is_rewritten_out(tmp_path: Path) -> None:
    run = Units(tmp_path, [3] * 6)
    compact(run.root, run.manifest, few=2)
    run.manifest.withdraw({"judged": ["q_002"]})
    run.write(2, 1)
    compact(run.root, run.manifest, few=2)
    run.manifest.append({"kind": "done", "attempt": 1})
    remove_uncounted(run.root, run.manifest)
    assert run.read(Manifest(tmp_path))["q_002"] == ["r_002_000"]
    assert run.globbed() == flat(run.read())
    assert pending_merges(run.manifest) == []


def test_units_of_an_earlier_plan_leave_the_file_and_come_back(tmp_path: Path) -> None:
    run = Units(tmp_path, [3] * 6)
    before = run.read()
    compact(run.root, run.manifest, few=2)
    run.open(run.names[:4])
    compact(run.root, run.manifest, few=2)
    paths = {s.path for c in run.manifest.active() for s in c.shards}
    counted = sum(pq.read_metadata(run.root / path).num_rows for path in paths)
    assert counted == len(flat(run.read())) == 12, "a catalog of these files would count what the plan does not"
    run.open(run.names)
    assert run.read(Manifest(tmp_path)) == before


def test_a_file_that_has_changed_is_left_for_check(tmp_path: Path) -> None:
    run = Units(tmp_path, [3] * 6)
    shutil.copy(run.files()[1], run.files()[0])
    [merge] = pending_merges(run.manifest, few=2)
    assert merged(run.root, merge) is None and len(run.files()) == 6


def test_a_commit_made_anew_is_not_moved_into_the_file_of_the_old_one(tmp_path: Path) -> None:
    run = Units(tmp_path, [3] * 6)
    compact(run.root, run.manifest, few=2)
    run.write(1, 2)
    assert run.read(Manifest(tmp_path))["q_001"] == ["r_001_000", "r_001_001"]


def test_files_that_are_not_ours_stay(tmp_path: Path) -> None:
    run = Units(tmp_path, [3])
    mine = run.files()[0].with_name("part-of-my-own.parquet")
    reference = tmp_path / "tables" / "runs" / "run" / "part-0001.parquet"
    reference.parent.mkdir(parents=True)
    for path in (mine, reference):
        shutil.copy(run.files()[0], path)
    orphan = Path(shutil.copy(run.files()[0], mine.with_name("part-0123456789-abcd.parquet")))
    assert remove_uncounted(tmp_path, run.manifest) == [orphan.relative_to(tmp_path).as_posix()]
    assert mine.exists() and reference.exists()


def test_one_shard_is_read_out_of_a_shared_file(tmp_path: Path, small: None) -> None:
    run = Units(tmp_path, [4, 7, 12, 1, 9, 3])
    before = {c.unit: read_shard(run.root, c.shards[0]) for c in run.manifest.active()}
    compact(run.root, run.manifest, few=2)
    commits = run.manifest.active()
    assert len({c.shards[0].path for c in commits}) == 1
    for commit in commits:
        assert read_shard(run.root, commit.shards[0]).equals(before[commit.unit])
        one = read_shard(run.root, commit.shards[0], ["target_id"], (f"p_{commit.unit[2:]}", f"p_{commit.unit[2:]}"))
        assert one["target_id"].to_pylist() == before[commit.unit]["target_id"].to_pylist()
    together = read_shards(run.root, [c.shards[0] for c in commits])
    assert together.equals(pa.concat_tables(before[c.unit] for c in commits))
