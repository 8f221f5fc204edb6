"""Shards: a partition's share of a large one is read without the rest, and is all of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.schema import TABLES
from synthflow.stores import shards
from synthflow.stores.files import sha256_of
from synthflow.stores.shards import Shard, own_copy, read_shard, write_shard

REJECTS = TABLES["rejects"]


def _rejects(problems: list[int]) -> pa.Table:
    return REJECTS.from_rows(
        [
            {
                "problem_id": f"p_{p:04d}",
                "target_kind": "rollout",
                "target_id": f"r_{i:04d}",
                "stage_id": "e_1",
                "reason": "because",
                "score": None,
            }
            for i, p in enumerate(problems)
        ]
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shards")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=80), st.integers(0, 60), st.integers(0, 60))
def test_every_row_of_a_range_of_problems_is_read(folder: Path, problems: list[int], one: int, other: int) -> None:
    ends = (f"p_{min(one, other):04d}", f"p_{max(one, other):04d}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "_ROW_GROUP_ROWS", 5)
        shard = write_shard(folder, "rejects", _rejects(problems), "any", "part")
    inside = (pc.field("problem_id") >= ends[0]) & (pc.field("problem_id") <= ends[1])
    assert read_shard(folder, shard, None, ends).filter(inside) == read_shard(folder, shard).filter(inside)


def test_what_lies_outside_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_ROW_GROUP_ROWS", 10)
    stats = TABLES["problem_stats"]
    filled = {f.name: [None] * 200 for f in stats.schema}
    rows = pa.table({**filled, "problem_id": [f"p_{i:04d}" for i in range(200)]}, schema=_nullable(stats.schema))
    (tmp_path / "x").mkdir()
    pq.write_table(rows, tmp_path / "x" / "part.parquet", row_group_size=10)
    shard = Shard("problem_stats", "x/part.parquet", 200, 0, "")
    read = read_shard(tmp_path, shard, ["problem_id"], ("p_0105", "p_0112"))
    assert read["problem_id"].to_pylist() == [f"p_{i:04d}" for i in range(100, 120)]
    assert read_shard(tmp_path, shard, ["problem_id"], ("q", "r")).num_rows == 0


def _nullable(schema: pa.Schema) -> pa.Schema:
    return pa.schema([f.with_nullable(True) for f in schema])


def test_a_copy_for_another_commit_is_a_link_where_it_can_be(tmp_path: Path) -> None:
    shard = write_shard(tmp_path, "rejects", _rejects([3, 1, 2]), "old", "part")
    linked = own_copy(tmp_path, shard, "new", "one")
    assert (linked.path, linked.sha256) == ("tables/rejects/new/one.parquet", shard.sha256)
    assert (tmp_path / linked.path).samefile(tmp_path / shard.path)

    middle = replace(shard, rows=1, start=1)  # the second of three rows of a file that others share
    copied = own_copy(tmp_path, middle, "new", "two")
    assert (copied.path, copied.rows, copied.start) == ("tables/rejects/new/two.parquet", 1, None)
    assert sha256_of(tmp_path / copied.path) == copied.sha256
    assert read_shard(tmp_path, copied)["problem_id"].to_pylist() == ["p_0001"]
