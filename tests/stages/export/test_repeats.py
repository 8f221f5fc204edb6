"""Repeats reach an export: as a column, as rows if asked, and as a reason where they are 0."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from support import export_world
from support.stages import stage_info
from synthflow.contracts import MemoryInputs
from synthflow.stages.curriculum.repeats import Repeats
from synthflow.stages.export.rl import ExportRl

EVERY = ("mixed", "all_correct", "all_wrong")


class Services:
    """Counts nothing."""

    stage_id, earlier, memory_mb = "a_stage", None, 128

    def count(self, **counts: float) -> None:
        pass


@pytest.fixture
def repeated(world: Any, tables: Any) -> Any:
    """The made-up run with `curriculum.repeats` after its order; what it says of each problem."""
    stage = Repeats("repeats", Repeats.Config(use=Repeats.use, of=("order",)))
    inputs = MemoryInputs(world.ANCESTORS[:6], ("order",), tables)
    made = {**tables, "repeats": stage.run(inputs, Services())}
    infos = (*world.ANCESTORS[:6], stage_info("repeats", Repeats.use, ("scores",), ("order",)))
    return MemoryInputs(infos, ("repeats",), made)


def released(inputs: Any, folder: Path, **fields: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    folder.mkdir()
    stage = ExportRl("rl", ExportRl.Config(use=ExportRl.use, of=("repeats",), groups=EVERY, **fields))
    assert not list(stage.check(inputs.ancestors))
    rejects = export_world.released(stage, inputs, folder, Services())
    return pq.read_table(folder / "rl").to_pylist(), rejects.to_pylist()


def times(rate: float) -> int:
    return 6 if rate < 0.2 else 4 if rate < 0.6 else 2 if rate < 0.8 else 0


def test_a_column_says_how_often(repeated: Any, tmp_path: Path) -> None:
    rows, rejects = released(repeated, tmp_path / "once")
    assert rows and all(r["sf_repeats"] == times(r["sf_pass_rate"]) > 0 for r in rows)
    gone = {
        r["target_id"] for r in rejects if r["reason"].startswith("problem filtered: curriculum.repeats: pass rate")
    }
    rates = {s["problem_id"]: s["pass_rate"] for s in repeated.of_stage("difficulty", "problem_stats").to_pylist()}
    assert gone == {p for p, rate in rates.items() if times(rate) == 0} and gone


def test_rows_are_repeated_if_asked_and_stay_in_order(repeated: Any, tmp_path: Path) -> None:
    once, rejects = released(repeated, tmp_path / "once")
    rows, same = released(repeated, tmp_path / "often", repeat=True, max_rows_per_shard=7)
    assert Counter(r["sf_problem_id"] for r in rows) == {r["sf_problem_id"]: r["sf_repeats"] for r in once}
    assert same == rejects
    ranks = [r["sf_curriculum_rank"] for r in rows]
    assert ranks == sorted(ranks)


def test_repeating_needs_to_know_how_often(world: Any) -> None:
    stage = ExportRl("rl", ExportRl.Config(use=ExportRl.use, of=("order",), repeat=True))
    assert [m[:2] for m in stage.check(world.ANCESTORS[:6])] == [("repeat", "no curriculum.repeats above this stage")]
