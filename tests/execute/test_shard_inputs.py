"""What a partition reads of a stage of whole scope: all rows of its problems, no others; and what is read together."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from support.stages import stage_info
from synthflow.execute import shard_inputs
from synthflow.execute.shard_inputs import ShardInputs
from synthflow.schema import TABLES
from synthflow.stores import shards
from synthflow.stores.graph import ALL
from synthflow.stores.manifest import Commit
from synthflow.stores.shards import Shard, write_shard


def _reject(problem: int) -> dict[str, object]:
    # Sorted by target, which runs against the problems: row groups hold problems from everywhere.
    ids = {"problem_id": f"p_{problem:03d}", "target_id": f"r_{(problem * 37) % 100:03d}"}
    return {**ids, "target_kind": "rollout", "stage_id": "e_w", "reason": "because", "score": 0.5}


@pytest.mark.parametrize("columns", [None, ["target_id"], ["problem_id", "score"]])
def test_its_rows_and_no_others(columns: list[str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_ROW_GROUP_ROWS", 7)
    table = TABLES["rejects"]
    shard = write_shard(tmp_path, "rejects", table.from_rows([_reject(p) for p in range(100)]), "w", "part")
    commit = Commit("whole", "f", "e_w", ALL, "k", 1, (shard,), {})
    info = stage_info("whole", "any", ("rejects",), (), {})
    inputs = ShardInputs(tmp_path, [info], ["whole"], {"whole": {ALL: commit}}, ["problems"], ["q_1"])
    inputs._problem_ids = pa.array(["p_010", "p_011", "p_017"])
    found = inputs.of_stage("whole", "rejects", columns)
    assert found.column_names == (columns or list(table.names))
    asked = {r["target_id"] for r in map(_reject, (10, 11, 17))}
    assert found.num_rows == 3
    if "target_id" in found.column_names:
        assert set(found["target_id"].to_pylist()) == asked


def _bundled(root: Path, commits: Mapping[str, Commit], parts: Collection[str] | None = None) -> list[object]:
    info = stage_info("problems", "source.jsonl", ("problems",), (), {})
    inputs = ShardInputs(root, [info], ["problems"], {"problems": commits}, ["problems"], None)
    return [
        ("".join(p[-1] for p in part.table("problems", ["problem_id"])["problem_id"].to_pylist()), before)
        for part, before in inputs.bundles(parts)
    ]


def _problems(names: str) -> pa.Table:
    rows = [
        {
            "problem_id": f"p_{n}",
            "prompt": [{"role": "user", "content": n}],
            "source": "s",
            "metadata": "{}",
            "content_hash": n,
        }
        for n in names
    ]
    return TABLES["problems"].from_rows(rows)


def test_bundles_follow_the_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Partitions of two cuts, the later one between those of the first."""
    commits = {}
    for unit, names in {"q_2": "ef", "q_1": "ab", "q_3": "gh", "q_9": "cx"}.items():
        shard = write_shard(tmp_path, "problems", _problems(names), "w", unit)
        commits[unit] = Commit("problems", "f", "e_w", unit, unit, 1, (shard,), {})
    size = shard.bytes
    assert _bundled(tmp_path, commits) == [("abcxefgh", None)]
    monkeypatch.setattr(shard_inputs, "BUNDLE_BYTES", 2 * size + size // 2)
    assert _bundled(tmp_path, commits) == [("abcx", "p_e"), ("efgh", None)]
    monkeypatch.setattr(shard_inputs, "BUNDLE_BYTES", 1)
    assert _bundled(tmp_path, commits) == [("ab", "p_c"), ("cx", "p_e"), ("ef", "p_g"), ("gh", None)]
    assert _bundled(tmp_path, commits, ["q_9", "q_2"]) == [("cx", "p_e"), ("ef", None)]


def test_a_row_group_is_in_one_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = "tables/problems/w/together.parquet"
    (tmp_path / path).parent.mkdir(parents=True)
    with pq.ParquetWriter(tmp_path / path, TABLES["problems"].schema) as writer:
        for group in ("abcd", "ef", "gh"):
            writer.write_table(_problems(group))
    commits = {}
    for start, unit in enumerate("abcdefgh"):
        shard = Shard("problems", path, 1, (tmp_path / path).stat().st_size, "sha", start)
        commits[unit] = Commit("problems", "f", "e_w", unit, unit, 1, (shard,), {})
    share = shard.bytes // 8
    for most, expected in (
        (share, ["abcd", "ef", "gh"]),
        (5 * share, ["abcdef", "gh"]),
        (share // 4, list("abcdefgh")),
    ):
        monkeypatch.setattr(shard_inputs, "BUNDLE_BYTES", most)
        assert [names for names, _ in _bundled(tmp_path, commits)] == expected
