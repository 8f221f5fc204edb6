"""Layout, bytes and what `datasets` makes of a release."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from synthflow.stages.export import base, rejects
from synthflow.stages.export.base import ExportConfig
from synthflow.stages.export.columns import is_reserved
from synthflow.stages.export.graph import ExportGraph
from synthflow.stages.export.preference import ExportPreference
from synthflow.stages.export.rl import RL, ExportRl
from synthflow.stages.export.sft import ExportSft, SftConfig
from synthflow.stages.export.stepwise import ExportStepwise

EXPORTS = (ExportSft, ExportPreference, ExportRl, ExportStepwise, ExportGraph)
FOR_TRAINERS = EXPORTS[:-1]
READ_BY_TRAINERS = {
    "sft": {"messages"},
    "preference": {"prompt", "chosen", "rejected", "margin"},
    "preference_text": {"prompt", "chosen", "rejected", "margin"},
    "unpaired": {"prompt", "completion", "label"},
    "rl": {c.name for c in RL.columns if not c.name.startswith("sf_")},
    "stepwise": {"prompt", "completions", "labels"},
}


def head(directory: Path) -> Any:
    return yaml.safe_load((directory / "README.md").read_text().split("---\n")[1])


def bytes_of(directory: Path) -> dict[str, str]:
    files = [p for p in directory.rglob("*") if p.is_file()]
    return {p.relative_to(directory).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def configured(stage: Any, **options: Any) -> Any:
    return stage(name="export", config=stage.Config(use=stage.use, of="pairs", **options))


@pytest.mark.parametrize("stage", EXPORTS)
def test_layout(world: Any, tables: Any, tmp_path: Path, stage: Any) -> None:
    world.export(configured(stage, validation=0.3), tables, tmp_path)
    configs = head(tmp_path)["configs"]
    assert "dataset_info" not in head(tmp_path)
    assert [c.get("default", False) for c in configs] == [True] + [False] * (len(configs) - 1)
    names = {c["config_name"] for c in configs}
    assert {p.name for p in tmp_path.iterdir()} <= names | {"README.md", "dataset_info.json", ".synthflow"}
    assert [p.name for p in (tmp_path / ".synthflow").iterdir()] == ["manifest.json"]
    for name in names:
        files = sorted((tmp_path / name).iterdir())
        assert files and all(f.suffix == ".parquet" for f in files)
        schemas = [pq.read_schema(f) for f in files]
        assert all(s.equals(schemas[0], check_metadata=True) for s in schemas)
        assert not (schemas[0].metadata or {}).keys() - {b"ARROW:schema"}
        for file in files:
            meta = pq.read_metadata(file)
            assert meta.num_rows and all(meta.row_group(i).num_rows for i in range(meta.num_row_groups))


@pytest.mark.parametrize("stage", EXPORTS)
def test_manifest(world: Any, tables: Any, tmp_path: Path, stage: Any) -> None:
    world.export(stage, tables, tmp_path)
    manifest = json.loads((tmp_path / ".synthflow" / "manifest.json").read_text())
    on_disk = bytes_of(tmp_path)
    del on_disk[".synthflow/manifest.json"]
    assert {f["path"]: f["sha256"] for f in manifest["files"]} == on_disk
    rows = {f["path"]: f["rows"] for f in manifest["files"] if f["path"].endswith(".parquet")}
    assert rows == {path: pq.read_metadata(tmp_path / path).num_rows for path in rows}
    assert sum(rows.values()) == sum(n for config in manifest["configs"].values() for n in config.values())


@pytest.mark.parametrize("stage", FOR_TRAINERS)
def test_no_reserved_name_beside_those_that_are_meant(world: Any, tables: Any, tmp_path: Path, stage: Any) -> None:
    world.export(stage, tables, tmp_path)
    for config in head(tmp_path)["configs"]:
        name = config["config_name"]
        columns = set(pq.read_schema(tmp_path / name / "train-00000-of-00001.parquet").names)
        extra = columns - READ_BY_TRAINERS[name]
        assert READ_BY_TRAINERS[name] <= columns
        assert all(column.startswith("sf_") and not is_reserved(column) for column in extra)


def test_reserved_names() -> None:
    for name in ("labels", "index", "task_name", "prompt_ids", "ref_chosen_logps", "_prompt", "__split"):
        assert is_reserved(name)
    assert not is_reserved("sf_pass_rate")


def bad_types(kind: pa.DataType) -> list[str]:
    nested = [kind.field(i).type for i in range(kind.num_fields)]
    bad = pa.types.is_map(kind) or pa.types.is_string_view(kind) or pa.types.is_null(kind)
    bad = bad or pa.types.is_large_string(kind) or pa.types.is_large_list(kind)
    return ([str(kind)] if bad else []) + [b for n in nested for b in bad_types(n)]


@pytest.mark.parametrize("stage", EXPORTS)
def test_only_types_that_everybody_reads(world: Any, tables: Any, tmp_path: Path, stage: Any) -> None:
    world.export(stage, tables, tmp_path)
    for file in tmp_path.rglob("*.parquet"):
        assert not [b for field in pq.read_schema(file) for b in bad_types(field.type)]


@pytest.mark.slow
@pytest.mark.parametrize("stage", EXPORTS)
def test_datasets_loads_every_config(world: Any, tables: Any, tmp_path: Path, stage: Any) -> None:
    from datasets import load_dataset

    out = tmp_path / "out"
    world.export(configured(stage, validation=0.3, max_rows_per_shard=5), tables, out)
    for config in head(out)["configs"]:
        name = config["config_name"]
        splits = load_dataset(str(out), name, cache_dir=str(tmp_path / "cache"))
        assert set(splits) == {f["split"] for f in config["data_files"]}
        for split, rows in splits.items():
            files = sorted((out / name).glob(f"{split}-*.parquet"))
            assert rows.num_rows == sum(pq.read_metadata(f).num_rows for f in files)
            assert len(files) == -(-rows.num_rows // 5)
            streamed = load_dataset(str(out), name, split=split, streaming=True)
            assert list(streamed) == rows.to_list()
            assert rows.to_list() == pq.read_table(files).to_pylist()


@pytest.mark.slow
def test_a_reader_s_cache_never_gives_the_rows_of_another_release(world: Any, tmp_path: Path) -> None:
    """Two runs' releases of one name, and one that is written again, read through one cache."""
    from datasets import load_dataset

    def released(run: str, n_problems: int) -> list[str]:
        out = tmp_path / run / "sft"
        world.export(ExportSft, world.make_tables(n_problems), out)
        rows = load_dataset(str(out), "sft", split="train", cache_dir=str(tmp_path / "cache"))
        ids: list[str] = rows["sf_rollout_id"][:]
        assert ids == pq.read_table(out / "sft").column("sf_rollout_id").to_pylist()
        return ids

    assert len(released("first", 6)) < len(released("second", 12)) < len(released("first", 24))


@pytest.mark.parametrize("stage", EXPORTS)
def test_the_head_of_a_card_follows_the_rows(world: Any, tables: Any, tmp_path: Path, stage: Any) -> None:
    def contents(name: str, rows: Any) -> dict[str, str]:
        world.export(stage, rows, tmp_path / name)
        return {config["config_name"]: config["description"] for config in head(tmp_path / name)["configs"]}

    one, same = contents("one", tables), contents("same", tables)
    other = contents("other", world.make_tables(30))
    assert one == same and len(set(one.values())) == len(one)
    assert one.keys() == other.keys() and not set(one.values()) & set(other.values())


@pytest.mark.parametrize("stage", EXPORTS)
def test_same_bytes_whatever_the_partitions(world: Any, tables: Any, tmp_path: Path, stage: Any) -> None:
    made = []
    for run, (parts, reverse) in enumerate([(1, False), (1, False), (7, False), (24, True)]):
        out = tmp_path / str(run)
        out.mkdir()
        exported = configured(stage, validation=0.2, max_rows_per_shard=7)
        rejects = world.released(exported, world.make_inputs(tables, parts, reverse=reverse), out)
        made.append((bytes_of(out), rejects.to_pylist()))
    assert all(each == made[0] for each in made[1:])


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("stage", EXPORTS)
def test_same_bytes_whatever_is_read_together(
    world: Any, tables: Any, tmp_path: Path, stage: Any, ordered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of a bundle reach their config in slices, and in no order."""
    given = tables if ordered else {name: rows for name, rows in tables.items() if name != "order"}
    ancestors = world.ANCESTORS if ordered else world.UNORDERED
    made = []
    for number, (kind, parts) in enumerate([("PartitionedInputs", 1), ("BundledInputs", 1), ("BundledInputs", 5)]):
        monkeypatch.setattr(base, "SLICE_ROWS", 16_384 if number == 0 else 3)
        inputs = getattr(world, kind)(ancestors, ("pairs",), given, parts)
        out = tmp_path / str(number)
        out.mkdir()
        rejects = world.released(configured(stage, validation=0.2, max_rows_per_shard=7), inputs, out)
        made.append((bytes_of(out), rejects.to_pylist()))
    assert all(each == made[0] for each in made[1:])


def test_rejects_are_told_as_they_come(
    world: Any, tables: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = world.BundledInputs(world.UNORDERED, ("pairs",), {k: v for k, v in tables.items() if k != "order"}, 24)
    whole = world.released(configured(ExportSft), inputs, tmp_path)
    monkeypatch.setattr(rejects, "AT_ONCE", 5)
    (tmp_path / "again").mkdir()
    told = list(configured(ExportSft).release(inputs, tmp_path / "again", world.NoServices()))
    assert len(told) > 5 and all(part.num_rows >= 5 for part in told[:-1])
    problems = [problem for part in told for problem in part.column("problem_id").to_pylist()]
    assert problems == sorted(problems)
    key = [(name, "ascending") for name in ("target_id", "stage_id", "reason")]
    assert pa.concat_tables(told).sort_by(key).equals(whole)


def test_a_config_without_rows_is_left_out_and_said_so(world: Any, tables: Any, tmp_path: Path) -> None:
    world.export(configured(ExportPreference, min_pass_rate=0.999, max_pass_rate=1.0), tables, tmp_path)
    assert [c["config_name"] for c in head(tmp_path)["configs"]] == ["unpaired"]
    card = (tmp_path / "README.md").read_text()
    assert "No row came for `preference`, `preference_text`: they are not in this release." in card
    assert not (tmp_path / "preference").exists() and not (tmp_path / "dataset_info.json").exists()


def test_nothing_at_all(world: Any, tmp_path: Path) -> None:
    rejects = world.export(ExportSft, {}, tmp_path)
    assert rejects.num_rows == 0 and not list(tmp_path.rglob("*.parquet"))
    assert "configs" not in head(tmp_path)


@pytest.mark.parametrize("stage", FOR_TRAINERS)
def test_validation_holds_out_whole_problems(world: Any, tables: Any, tmp_path: Path, stage: Any) -> None:
    world.export(configured(stage, validation=0.3), tables, tmp_path)
    sides: dict[str, set[str]] = {"train": set(), "validation": set()}
    for file in tmp_path.rglob("*.parquet"):
        problems = pq.read_table(file, columns=["sf_problem_id"]).column(0).to_pylist()
        sides[file.name.split("-")[0]].update(problems)
    assert sides["train"] and sides["validation"] and not sides["train"] & sides["validation"]


def test_rows_follow_the_curriculum(world: Any, tables: Any, tmp_path: Path) -> None:
    world.export(configured(ExportSft, max_rows_per_shard=4), tables, tmp_path)
    rows = pq.read_table(sorted((tmp_path / "sft").iterdir())).to_pylist()
    keys = [(r["sf_curriculum_rank"], r["sf_problem_id"], r["sf_rollout_id"]) for r in rows]
    assert keys == sorted(keys) and len({k[0] for k in keys}) > 5


def test_without_a_curriculum_rows_follow_their_ids(world: Any, tables: Any, tmp_path: Path) -> None:
    world.export(ExportSft, {k: v for k, v in tables.items() if k != "order"}, tmp_path)
    table = pq.read_table(tmp_path / "sft")
    assert "sf_curriculum_rank" not in table.column_names  # absent, not null
    keys = [(r["sf_problem_id"], r["sf_rollout_id"]) for r in table.to_pylist()]
    assert keys == sorted(keys)


def test_unpaired_rows_are_shuffled(world: Any, tables: Any, tmp_path: Path) -> None:
    world.export(ExportPreference, tables, tmp_path)
    rows = pq.read_table(tmp_path / "unpaired").to_pylist()
    assert [r["sf_rollout_id"] for r in rows] == sorted(r["sf_rollout_id"] for r in rows)
    neighbours = sum(a["sf_problem_id"] == b["sf_problem_id"] for a, b in itertools.pairwise(rows))
    assert neighbours < len(rows) / 4


def test_llama_factory_descriptor(world: Any, tables: Any, tmp_path: Path) -> None:
    for validation, rows, expected in (
        (0.0, 5, "sft"),
        (0.3, 10_000, "sft/train-00000-of-00001.parquet"),
        (0.3, 5, None),
    ):
        out = tmp_path / f"{validation}-{rows}"
        world.export(configured(ExportSft, validation=validation, max_rows_per_shard=rows), tables, out)
        info = out / "dataset_info.json"
        assert (json.loads(info.read_text())["sft"]["file_name"] if info.exists() else None) == expected


def test_card_names_every_column_and_reject(world: Any, tables: Any, tmp_path: Path) -> None:
    rejects = world.export(configured(ExportSft, license="cc-by-4.0"), tables, tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert head(tmp_path)["license"] == "cc-by-4.0"
    for name in pq.read_schema(tmp_path / "sft" / "train-00000-of-00001.parquet").names:
        assert f"| `{name}` |" in card
    assert set(rejects.column("reason").to_pylist()) == {"wrong", "unknown: timeout", "filtered: length: too long"}
    assert all(f"| {reason} |" in card for reason in set(rejects.column("reason").to_pylist()))
    assert str(tmp_path) not in card


def test_config_rejects_nonsense() -> None:
    with pytest.raises(ValueError):
        ExportConfig(use="export.sft", validation=0.9)
    with pytest.raises(ValueError):
        SftConfig(use="export.sft", max_per_problm=1)  # type: ignore[call-arg]
