"""What a partition reads of a stage of whole scope: the rows of its problems, all of them and no others."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from support.stages import stage_info
from synthflow.execute.shard_inputs import ShardInputs
from synthflow.schema import TABLES
from synthflow.stores import shards
from synthflow.stores.graph import ALL
from synthflow.stores.manifest import Commit
from synthflow.stores.shards import write_shard


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
