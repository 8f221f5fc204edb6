"""A run whose small files were put together is as sound as before, and its faults are found as before."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from support.sound_run import World
from synthflow.check import CheckReport, check_run
from synthflow.stores.compaction import compact, remove_uncounted
from synthflow.stores.files import sha256_of
from synthflow.stores.manifest import Manifest

Kinds = Callable[[CheckReport], Mapping[str, str]]


def compacted(world: World) -> Manifest:
    """The run, its summary left out, with one file a table and stage."""
    world.summary = False
    manifest = Manifest(world.write())
    compact(world.root, manifest, few=2)
    manifest.append({"kind": "done", "attempt": 1})
    remove_uncounted(world.root, manifest)
    return manifest


def test_it_is_sound(world: World) -> None:
    plain = check_run(World(world.root.with_name("plain")).write())
    manifest = compacted(world)
    world.summarise(manifest)
    report = check_run(world.root)
    assert report.findings == ()
    assert report.counts["shards"] == len(list(world.root.glob("tables/**/*.parquet"))) < plain.counts["shards"]
    assert {k: n for k, n in report.checked.items() if k not in ("hash", "orphan", "manifest", "lineage")} == {
        k: n for k, n in plain.checked.items() if k not in ("hash", "orphan", "manifest", "lineage")
    }
    assert report.counts["rows"] == plain.counts["rows"]


def test_what_was_replaced_and_may_be_in_a_catalog_is_no_orphan(world: World) -> None:
    manifest = Manifest(world.write())
    compact(world.root, manifest, few=2)
    world.summarise(manifest)
    assert check_run(world.root).findings == ()


def test_a_fault_in_a_row_is_found(world: World, kinds: Kinds) -> None:
    world.rows["difficulty", "problem_stats"][3]["n_correct"] = 3
    compacted(world)
    assert {"stats_counts", "pass_rate", "stats_scores"} <= set(kinds(check_run(world.root)))


def test_a_key_that_stands_twice_is_found_once(world: World) -> None:
    row = world.rows["verdicts", "scores"][0]
    world.rows["verdicts", "scores"].append(dict(row))
    compacted(world)
    [twice] = [f for f in check_run(world.root).findings if f.kind == "duplicate_key"]
    assert row["target_id"] in twice.where and "2 times" in twice.what


def test_rows_that_nobody_counts_are_not_seen_and_their_unit_is_owed(world: World, kinds: Kinds) -> None:
    world.rows["difficulty", "problem_stats"][3]["n_correct"] = 3
    manifest = compacted(world)
    unit = world.unit_of(world.rows["difficulty", "problem_stats"][3])
    manifest.withdraw({"difficulty": [unit]})
    assert kinds(check_run(world.root)) == {"incomplete": "warning"}


@pytest.mark.parametrize("change", [b"", b"x"], ids=["shorter", "changed"])
def test_a_damaged_file_is_one_finding(world: World, change: bytes) -> None:
    compacted(world)
    [path] = world.root.glob("tables/scores/verdicts-*/*.parquet")
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + change + content[middle + 1 :])
    [fault] = [f for f in check_run(world.root).findings if f.severity == "error"]
    assert (fault.kind, fault.where) == ("hash", path.relative_to(world.root).as_posix())


def test_a_file_without_some_of_its_rows_is_found(world: World) -> None:
    manifest = compacted(world)
    [path] = world.root.glob("tables/scores/verdicts-*/*.parquet")
    before = path.read_bytes()
    rows = pq.read_table(path)
    pq.write_table(rows.slice(1), path)
    told = manifest.path.read_text()
    changed = sha256_of(path), path.stat().st_size
    path.write_bytes(before)
    told = told.replace(sha256_of(path), changed[0]).replace(f'"bytes":{path.stat().st_size}', f'"bytes":{changed[1]}')
    pq.write_table(rows.slice(1), path)
    manifest.path.write_text(told)
    kinds = {f.kind for f in check_run(world.root).findings if f.severity == "error"}
    assert "rows" in kinds


def test_what_a_killed_check_spilled_goes_with_the_next_one(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    for name in ("synthflow-check-killed", "synthflow-check-living", "of-somebody-else"):
        (temporary / name).mkdir(parents=True)
        (temporary / name / "in-use").touch()
        (temporary / name / "spill").write_bytes(b"x" * 1000)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with (temporary / "synthflow-check-living" / "in-use").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert check_run(world.write()).ok
    assert sorted(path.name for path in temporary.iterdir()) == ["of-somebody-else", "synthflow-check-living"]
