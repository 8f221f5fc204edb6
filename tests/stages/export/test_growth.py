"""When a release grows, and when it is written anew."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from synthflow.contracts import Earlier, Inputs, MemoryInputs
from synthflow.stages.export import growth
from synthflow.stages.export.graph import ExportGraph
from synthflow.stages.export.growth import RECORD
from synthflow.stages.export.preference import ExportPreference
from synthflow.stages.export.sft import ExportSft
from synthflow.stages.export.stepwise import ExportStepwise


class Parts(MemoryInputs):
    """Some problems, a partition each; `made_of` says what their rows are made of."""

    def __init__(self, world: Any, tables: Mapping[str, Mapping[str, pa.Table]], made_of: Mapping[str, str]) -> None:
        ancestors = world.ANCESTORS if "order" in tables else world.UNORDERED
        super().__init__(ancestors, ("pairs",), tables)
        self._made_of = made_of

    def parts(self) -> Mapping[str, str]:
        return self._made_of

    def bundles(self, parts: Collection[str] | None = None) -> Iterator[tuple[Inputs, str | None]]:
        problems = sorted(self._made_of if parts is None else parts)
        for number, problem in enumerate(problems):
            mine = pa.array([problem])
            yield (
                MemoryInputs(
                    self.ancestors,
                    self.parents,
                    {
                        stage: {name: rows.filter(pc.is_in(rows["problem_id"], mine)) for name, rows in by_name.items()}
                        for stage, by_name in self._tables.items()
                    },
                ),
                problems[number + 1] if number + 1 < len(problems) else None,
            )


class Growing:
    """Releases one after the other of one export, each in place of the one before."""

    def __init__(self, world: Any, tables: Any, root: Path, stage: Any, **options: Any) -> None:
        self.world, self.root, self.number = world, root, 0
        self.tables = {name: rows for name, rows in tables.items() if name != "order"}
        self.stage = lambda: stage(name="export", config=stage.Config(use=stage.use, of="pairs", **options))
        self.problems = sorted(tables["problems"]["problems"]["problem_id"].to_pylist())

    @property
    def folder(self) -> Path:
        return self.root / str(self.number)

    def release(self, made_of: Mapping[str, str], tables: Any = None) -> tuple[bool, pa.Table]:
        """Whether the release grew, and the rejects that it told."""
        services = self.world.NoServices()
        services.earlier = Earlier(self.folder) if self.number else None
        self.number += 1
        self.folder.mkdir(parents=True)
        inputs = Parts(self.world, tables or self.tables, made_of)
        rejects = self.world.released(self.stage(), inputs, self.folder, services)
        return services.earlier is not None and services.earlier.kept, rejects

    def of(self, count: int) -> dict[str, str]:
        return dict.fromkeys(self.problems[-count:], "first")


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "GROWS_FROM", 1)


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*.parquet"))}


def rows(folder: Path, config: str) -> list[str]:
    return sorted(map(str, pq.read_table(folder / config).to_pylist()))


@pytest.mark.parametrize("stage", [ExportSft, ExportPreference])
@pytest.mark.parametrize("options", [{}, {"validation": 0.3, "max_rows_per_shard": 9}])
def test_it_has_the_rows_of_one_written_anew(
    world: Any, tables: Any, tmp_path: Path, stage: Any, options: dict[str, Any]
) -> None:
    growing = Growing(world, tables, tmp_path / "grown", stage, **options)
    told = [growing.release(growing.of(n)) for n in (20, 22, 24)]
    assert [grew for grew, _ in told] == [False, True, True]
    anew = Growing(world, tables, tmp_path / "anew", stage, **options)
    grew, rejects = anew.release(anew.of(24))
    assert not grew
    assert sorted(map(str, pa.concat_tables(r for _, r in told).to_pylist())) == sorted(map(str, rejects.to_pylist()))
    one, other = (json.loads((g.folder / ".synthflow/manifest.json").read_text()) for g in (growing, anew))
    assert {k: one[k] for k in ("configs", "empty_configs", "rejected")} == {
        k: other[k] for k in ("configs", "empty_configs", "rejected")
    }
    for config in one["configs"]:
        assert rows(growing.folder, config) == rows(anew.folder, config)
    kept = set(files(tmp_path / "grown" / "1").values())
    assert kept <= set(files(growing.folder).values())
    assert len(files(growing.folder)) > len(kept)


def test_links_and_no_copies(world: Any, tables: Any, tmp_path: Path) -> None:
    growing = Growing(world, tables, tmp_path, ExportSft)
    growing.release(growing.of(20))
    [first] = (growing.folder / "sft").iterdir()
    growing.release(growing.of(24))
    assert (growing.folder / "sft" / "train-00000-of-00002.parquet").samefile(first)


def test_what_is_not_as_it_was_is_written_anew(world: Any, tables: Any, tmp_path: Path) -> None:
    growing = Growing(world, tables, tmp_path, ExportSft)
    growing.release(growing.of(20))
    changed = growing.of(21) | {growing.problems[-1]: "second"}
    assert not growing.release(changed)[0]  # a partition has changed
    assert growing.release(growing.of(22) | changed)[0]
    assert not growing.release(growing.of(21))[0]  # and is gone
    assert growing.release(growing.of(23))[0]
    [*_, last] = (growing.folder / "sft").iterdir()
    last.unlink()
    assert not growing.release(growing.of(24))[0]


def test_until_a_quarter_was_added(world: Any, tables: Any, tmp_path: Path) -> None:
    growing = Growing(world, tables, tmp_path, ExportSft)
    growing.release(growing.of(16))
    assert [growing.release(growing.of(n))[0] for n in (18, 20, 21, 23)] == [True, True, False, True]
    assert json.loads((growing.folder / RECORD).read_text())["whole"] == 21


def test_other_columns_are_written_into_all_files(world: Any, tables: Any, tmp_path: Path) -> None:
    """Domains are known of problems that come later alone."""
    growing = Growing(world, tables, tmp_path, ExportSft)
    problems = growing.tables["problems"]["problems"]
    late = pa.array(growing.problems[:4])
    domain = pc.if_else(pc.is_in(problems["problem_id"], late), pa.scalar("late"), pa.scalar(None, pa.string()))
    with_domain = problems.set_column(problems.column_names.index("domain"), problems.schema.field("domain"), domain)
    known = growing.tables | {"problems": {"problems": with_domain}}
    growing.release(growing.of(20), known)
    assert "sf_domain" not in pq.read_table(growing.folder / "sft").column_names
    grew, rejects = growing.release(growing.of(24), known)
    assert not grew
    anew = Growing(world, known, tmp_path / "anew", ExportSft)
    assert rejects.equals(anew.release(anew.of(24))[1])
    assert files(growing.folder) == files(anew.folder)


@pytest.mark.parametrize(("stage", "config"), [(ExportSft, "sft"), (ExportGraph, "rollouts")])
def test_it_grows_with_the_columns_that_it_carries(
    world: Any, tables: Any, tmp_path: Path, stage: Any, config: str
) -> None:
    problems = tables["problems"]["problems"]
    levels = {problem: str(number) for number, problem in enumerate(problems["problem_id"].to_pylist())}
    metadata = pa.array([json.dumps({"level": level}) for level in levels.values()])
    with_level = problems.set_column(
        problems.column_names.index("metadata"), problems.schema.field("metadata"), metadata
    )
    growing = Growing(world, tables | {"problems": {"problems": with_level}}, tmp_path, stage, carry="level")
    assert [growing.release(growing.of(n))[0] for n in (20, 24)] == [False, True]
    found = pq.read_table(growing.folder / config).to_pylist()
    ids = [row.get("sf_problem_id") or row["problem_id"] for row in found]
    assert [row["sf_meta_level"] for row in found] == [levels[problem] for problem in ids]
    assert not set(ids) <= set(growing.of(20))


@pytest.mark.parametrize("case", ["small", "ordered", "tells of all rows"])
def test_no_record_where_it_may_not_grow(
    world: Any, tables: Any, tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = Growing(world, tables, tmp_path, ExportStepwise if case == "tells of all rows" else ExportSft)
    if case == "small":
        monkeypatch.setattr(growth, "GROWS_FROM", 10_000)
    growing.release(growing.of(20), tables if case == "ordered" else None)
    assert not (growing.folder / RECORD).exists()
    assert not growing.release(growing.of(24), tables if case == "ordered" else None)[0]
