"""Faults of files, of the manifest and of the journal."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from support.sound_run import World
from synthflow import ids
from synthflow.check import CheckReport, check_run
from synthflow.contracts import SampleResult
from synthflow.errors import UserError
from synthflow.execute.releases import set_aside
from synthflow.schema import TABLES
from synthflow.stores.files import sha256_of
from synthflow.stores.journal import encode
from synthflow.stores.lock import RunLock
from synthflow.stores.manifest import Manifest

Kinds = Callable[[CheckReport], Mapping[str, str]]
FindShard = Callable[[Path, str, str], Path]


def rewrite(root: Path, change: Callable[[list[dict]], list[dict]]) -> None:
    """Change the lines of the manifest; the compact one, which would disagree, goes."""
    path = root / "manifest.jsonl"
    lines = change([json.loads(line) for line in path.read_text().splitlines()])
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (root / "manifest.json").unlink()


def test_a_valid_run_is_clean(world: World, kinds: Kinds) -> None:
    told: list[str] = []
    root = world.write()
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*")}
    report = check_run(root, progress=told.append)
    assert report.findings == ()
    assert report.ok
    assert report.counts["shards"] == len(list(root.glob("tables/**/*.parquet")))
    assert report.counts["rows"] == sum(pq.read_metadata(p).num_rows for p in root.glob("tables/**/*.parquet"))
    assert report.counts["bytes"] == sum(p.stat().st_size for p in root.glob("tables/**/*.parquet"))
    assert report.counts["journal_records"] == len(world.journal)
    assert all(report.checked.values())
    assert told[-1] == "done"
    assert json.loads(json.dumps(report.to_json()))["ok"] is True
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*")} == before, "a check writes nothing"


def test_a_moved_run_is_clean(world: World, tmp_path: Path) -> None:
    moved = world.write().rename(tmp_path / "moved")
    assert check_run(moved).findings == ()


def test_shallow_reads_no_content(world: World, shard: FindShard) -> None:
    root = world.write()
    path = shard(root, "rollouts", "sampled")
    raw = bytearray(path.read_bytes())
    raw[20] ^= 1
    path.write_bytes(raw)
    assert check_run(root, deep=False).findings == ()
    assert not check_run(root).ok


def test_flipped_byte(world: World, kinds: Kinds, shard: FindShard) -> None:
    root = world.write()
    path = shard(root, "rollouts", "sampled")
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    report = check_run(root)
    (finding,) = report.findings
    assert (finding.kind, finding.severity) == ("hash", "error")
    assert finding.where == path.relative_to(root).as_posix()


@pytest.mark.parametrize("table_stage", [("problems", "problems"), ("scores", "verdicts"), ("steps", "labels")])
def test_missing_shard_is_one_finding(world: World, shard: FindShard, table_stage: tuple[str, str]) -> None:
    root = world.write()
    path = shard(root, *table_stage)
    path.unlink()
    (finding,) = check_run(root).findings
    assert (finding.kind, finding.severity, finding.where) == ("missing", "error", path.relative_to(root).as_posix())


def test_truncated_shard(world: World, shard: FindShard) -> None:
    root = world.write()
    path = shard(root, "pairs", "pairs")
    path.write_bytes(path.read_bytes()[:-100])
    (finding,) = check_run(root).findings
    assert (finding.kind, finding.severity) == ("hash", "error")
    assert "bytes" in finding.what


def planted(root: Path, path: Path) -> None:
    """Give the manifest the hash and size that a file has now."""
    relative = path.relative_to(root).as_posix()

    def change(lines: list[dict]) -> list[dict]:
        for line in lines:
            for shard in line.get("shards", ()):
                if shard["path"] == relative:
                    shard |= {"sha256": sha256_of(path), "bytes": path.stat().st_size}
        return lines

    rewrite(root, change)


def test_a_file_that_is_no_parquet(world: World, shard: FindShard, kinds: Kinds) -> None:
    root = world.write()
    path = shard(root, "pairs", "pairs")
    path.write_bytes(b"PAR1 not really PAR1")
    planted(root, path)
    report = check_run(root)
    assert kinds(report) == {"unreadable": "error", "summary_stale": "warning"}
    assert report.errors[0].where == path.relative_to(root).as_posix()


def test_a_page_that_does_not_decode(world: World, shard: FindShard) -> None:
    root = world.write()
    path = shard(root, "rollouts", "sampled")
    group = pq.ParquetFile(path).metadata.row_group(0)
    names = [group.column(i).path_in_schema for i in range(group.num_columns)]
    column = group.column(names.index("completion"))
    at = column.dictionary_page_offset or column.data_page_offset
    raw = bytearray(path.read_bytes())
    raw[at : at + column.total_compressed_size] = os.urandom(column.total_compressed_size)
    path.write_bytes(raw)
    planted(root, path)
    report = check_run(root)
    (finding,) = report.errors
    assert (finding.kind, finding.where) == ("unreadable", path.relative_to(root).as_posix())


def test_wrong_column_type(world: World, shard: FindShard) -> None:
    root = world.write()
    path = shard(root, "scores", "verdicts")
    table = pq.read_table(path)
    at = table.schema.get_field_index("value")
    pq.write_table(table.set_column(at, "value", table["value"].cast(pa.float64())), path)
    planted(root, path)
    (finding,) = check_run(root).errors
    assert (finding.kind, finding.where) == ("schema", path.relative_to(root).as_posix())
    assert "'value': expected float, found double" in finding.what


def test_wrong_columns_and_rows(world: World, shard: FindShard) -> None:
    root = world.write()
    path = shard(root, "scores", "verdicts")
    table = pq.read_table(path).drop_columns(["detail"])
    pq.write_table(table.append_column("extra", table["reason"]).slice(1), path)
    planted(root, path)
    errors = check_run(root).errors
    assert sorted(f.kind for f in errors) == ["rows", "schema", "schema"]
    assert {name for name in ("detail", "extra") if any(name in f.what for f in errors)} == {"detail", "extra"}


def test_changed_export_file(world: World) -> None:
    root = world.write()
    (root / "exports/dpo/README.md").write_text("# Another release\n")
    (finding,) = check_run(root).findings
    assert (finding.kind, finding.severity, finding.where) == ("hash", "error", "exports/dpo/README.md")


def test_orphans_are_harmless(world: World, shard: FindShard) -> None:
    root = world.write()
    orphan = shard(root, "pairs", "pairs").with_name("part-of-a-killed-run.parquet")
    orphan.write_bytes(b"half of a")
    extra = root / "exports/dpo/preference/extra.parquet"
    extra.write_bytes(b"")
    (root / ".source-abcd").mkdir()
    # an earlier attempt's reference table is no orphan
    (root / "tables/runs/run/part-0000.parquet").write_bytes(b"")
    report = check_run(root)
    assert report.ok
    assert {(f.kind, f.where) for f in report.findings} == {
        ("orphan", orphan.relative_to(root).as_posix()),
        ("orphan", extra.relative_to(root).as_posix()),
        ("orphan", ".source-abcd"),
    }


def test_broken_lineage(world: World, kinds: Kinds) -> None:
    root = world.write()
    rewrite(root, lambda lines: [x for x in lines if (x.get("stage"), x.get("unit")) != ("sampled", "q_0")])
    report = check_run(root)
    assert kinds(report) == {"lineage": "error", "incomplete": "warning", "orphan": "warning"}
    assert {f.where for f in report.errors} == {
        *(f"stage {s}, unit q_0" for s in ("verdicts", "difficulty", "labels", "pairs")),
        "stage dpo, unit all",
    }
    assert all("stage sampled, unit q_0" in f.what for f in report.errors)


def test_an_unfinished_run_has_warnings_only(world: World, kinds: Kinds) -> None:
    world.summary = False
    root = world.write()
    path = root / "manifest.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-4]) + lines[-4][:50])  # pairs of q_1 and dpo are owed, one line is torn
    report = check_run(root)
    assert report.ok
    assert kinds(report) == dict.fromkeys(("manifest_torn", "incomplete", "orphan"), "warning")
    assert {f.where for f in report.findings if f.kind == "incomplete"} == {"stage pairs", "stage dpo", "stage labels"}


def test_what_an_earlier_plan_made_is_a_warning(world: World, shard: FindShard) -> None:
    root = world.write()
    manifest = Manifest(root)
    manifest.open_attempt([stage for stage in world.plan if stage.name not in ("pairs", "dpo")], {"spec": {"seed": 7}})
    assert [f.kind for f in check_run(root).findings] == ["summary_stale", "stale_release"]
    path = shard(root, "pairs", "pairs")
    path.unlink()
    (root / "exports/dpo/README.md").write_text("changed")
    report = check_run(root)
    assert report.ok
    assert {(f.kind, f.where) for f in report.findings} == {
        ("summary_stale", "manifest.json"),
        ("missing", path.relative_to(root).as_posix()),
        ("hash", "exports/dpo/README.md"),
        ("stale_release", "exports/dpo"),
    }


def test_a_release_that_was_set_aside_is_told(world: World) -> None:
    root = world.write()
    manifest = Manifest(root)
    manifest.open_attempt([stage for stage in world.plan if stage.name not in ("pairs", "dpo")], {"spec": {"seed": 7}})
    set_aside(manifest, root, manifest.graph.stages)
    assert (root / "set-aside/dpo-1/README.md").is_file() and not (root / "exports/dpo").exists()
    told = {(f.kind, f.where): f.what for f in check_run(root).findings}
    assert "the release of stage 'dpo'" in told.pop(("set_aside", "set-aside/dpo-1"))
    assert set(told) == {("summary_stale", "manifest.json")}


def test_what_a_source_left_out_points_to_no_problem(world: World) -> None:
    world.left_out = "q_left"
    place = {"problem_id": "data.jsonl:3", "target_kind": "problem", "target_id": "data.jsonl:3", "reason": "bad_row"}
    world.add("problems", "rejects", {**place, "unit": "q_left"})
    assert check_run(world.write()).findings == ()


def test_damaged_manifest_line(world: World, kinds: Kinds) -> None:
    world.summary = False
    root = world.write()
    path = root / "manifest.jsonl"
    path.write_text(path.read_text() + "{not json\n[]\n" + json.dumps({"kind": "commit", "stage": "x"}) + "\n")
    report = check_run(root)
    assert kinds(report) == {"manifest_line": "error", "summary_stale": "warning"}
    last = path.read_text().count("\n")
    assert [f.where for f in report.errors] == [f"manifest.jsonl:{last - i}" for i in (2, 1, 0)]


def test_a_path_outside_of_the_run_is_not_followed(world: World, tmp_path: Path) -> None:
    root = world.write()
    (tmp_path / "secret").write_text("x")

    def change(lines: list[dict]) -> list[dict]:
        lines[-1]["shards"] = []
        lines[-1]["files"] = {"../secret": "0" * 64, str(tmp_path / "secret"): "0" * 64}
        return lines

    rewrite(root, change)
    assert {f.kind for f in check_run(root).errors} == {"path"}


def test_summary_that_disagrees(world: World) -> None:
    root = world.write()
    path = root / "manifest.json"
    summary = json.loads(path.read_text())
    del summary["commits"][0]
    path.write_text(json.dumps(summary))
    (finding,) = check_run(root).findings
    assert (finding.kind, finding.where) == ("manifest_summary", "manifest.json")
    assert "stage problems, unit q_0" in finding.what


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"reference": [{}], "attempt": 1}', '{"reference": [], "attempt": "x"}']
)
def test_unreadable_summary(world: World, text: str) -> None:
    root = world.write()
    (root / "manifest.json").write_text(text)
    errors = check_run(root).errors
    assert [(f.kind, f.where) for f in errors] == [("unreadable", "manifest.json")]


def test_torn_journal_line(world: World) -> None:
    root = world.write()
    (segment,) = (root / "journal").iterdir()
    lines = segment.read_bytes().splitlines(keepends=True)
    result, problem = world.journal[0]
    # another line has the same rollout, so tearing one loses nothing
    segment.write_bytes(b"".join(lines) + encode(result, problem, 1 << 62)[:40])
    (finding,) = check_run(root).findings
    assert (finding.kind, finding.severity) == ("journal_torn", "warning")
    assert finding.where == f"journal/{segment.name}:{len(lines) + 1}"


def test_hostile_journal_lines(world: World) -> None:
    root = world.write()
    (segment,) = (root / "journal").iterdir()
    body = b'{"id":1,"t":"x"}'
    with segment.open("ab") as handle:
        handle.write(b"\xff\xfe\n\nzz zz\n" + b"%08x %s\n" % (zlib.crc32(body), body))
    report = check_run(root)
    assert report.ok
    assert [f.kind for f in report.findings] == ["journal_torn"] * 4


def changed(world: World, number: int, **fields: object) -> str:
    """Change a journal record before it is written; its rollout."""
    result, problem = world.journal[number]
    known = {name: getattr(result, name) for name in result.__slots__}
    world.journal[number] = (SampleResult(**{**known, **fields}), problem)
    return str(result.rollout_id)


@pytest.mark.parametrize(
    ("fields", "said"),
    [({"text": "other"}, "text"), ({"token_ids": (1, 2)}, "tokens"), ({"finish_reason": "length"}, "finish_reason")],
)
def test_journal_that_differs(world: World, fields: dict[str, object], said: str) -> None:
    rollout = changed(world, 3, **fields)
    root = world.write()
    (finding,) = check_run(root).findings
    assert (finding.kind, finding.severity) == ("journal_changed", "error")
    assert finding.where.endswith(f"rollout_id={rollout}")
    assert finding.what.startswith(f"{said} differ")


def test_the_earliest_record_counts(world: World) -> None:
    root = world.write()
    (segment,) = (root / "journal").iterdir()
    result, problem = world.journal[0]
    known = {name: getattr(result, name) for name in result.__slots__}
    later = SampleResult(**{**known, "text": "sampled again, later"})
    with segment.open("ab") as handle:
        handle.write(encode(later, problem, 1 << 62))
    assert check_run(root).findings == ()
    with segment.open("ab") as handle:
        handle.write(encode(later, problem, 1))
    assert [f.kind for f in check_run(root).findings] == ["journal_changed"]


def test_what_a_judge_wrote_is_held_to_the_journal(world: World) -> None:
    world.judge()
    number = next(i for i, (result, _) in enumerate(world.journal) if result.text == "Verdict: wrong")
    sample = changed(world, number, text="Verdict: correct")
    (finding,) = check_run(world.write()).findings
    assert finding.kind == "journal_changed" and finding.where.endswith(f"rollout_id={sample}")
    assert finding.what.startswith("text differ")


@pytest.mark.parametrize("mark", ["?", "\ufffd"])
def test_lone_surrogates_of_the_journal_are_replaced_in_the_table(world: World, mark: str) -> None:
    row = world.rows["sampled", "rollouts"][3]  # neither labelled nor paired
    row["completion"] += mark
    row["completion_hash"] = ids.text_hash(row["completion"])
    result, _ = next(x for x in world.journal if x[0].rollout_id == row["rollout_id"])
    changed(world, world.journal.index((result, row["problem_id"])), text=result.text + "\ud800")
    assert check_run(world.write()).findings == ()


def test_a_removed_journal_is_a_warning(world: World, kinds: Kinds) -> None:
    root = world.write()
    for segment in (root / "journal").iterdir():
        segment.unlink()
    (root / "journal").rmdir()
    assert kinds(check_run(root)) == {"journal_missing": "warning"}


def test_a_run_that_goes_on_is_said_to(world: World) -> None:
    root = world.write()
    with RunLock(root):
        (finding,) = check_run(root).findings
    assert (finding.kind, finding.where) == ("running", "lock")


def test_not_a_run_directory(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run directory"):
        check_run(tmp_path)


def test_every_kind_has_its_place_in_the_manual() -> None:
    source = "".join(p.read_text() for p in Path("synthflow/check").glob("*.py"))
    manual = Path("docs/invariants.md").read_text()
    told = r"(?:found\.(?:error|warning)|rows\.faults|_fault|Finding|_Rule)"
    called = re.findall(told + r"\(\s*(?:rows,\s*)?(?:severity,\s*|\"(?:error|warning)\",\s*)?\"(\w+)\"", source)
    kinds = set(called) - {"error", "warning"}
    assert len(kinds) > 20
    assert {kind for kind in kinds if f"`{kind}`" not in manual} == set()


def test_all_tables_are_known(world: World) -> None:
    assert {table for _, table in world.rows} <= set(TABLES)
