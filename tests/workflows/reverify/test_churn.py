"""Churn: every rollout in one cell, and the changes, all of them, in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.made_up_run import score
from synthflow.schema import SCORES
from synthflow.stores.shards import Shard, write_shard
from synthflow.workflows.reverify.churn import NONE, Cell, Churn, ChurnWriter

Side = dict[str, tuple[str, str | None]]
VALUES = {"correct": 1.0, "wrong": 0.0, "unknown": None}


def shard(root: Path, name: str, side: Side, more: list[dict[str, Any]] | None = None) -> Shard:
    rows = [
        {**score(target, "a", "verdict", VALUES[verdict]), "reason": reason or ("?" if verdict == "unknown" else None)}
        for target, (verdict, reason) in side.items()
    ]
    return write_shard(root, "scores", SCORES.from_rows(rows + (more or [])), "s", name)


def compared(
    root: Path, before: Side, now: Side, more: list[dict[str, Any]] | None = None
) -> tuple[Churn, pl.DataFrame]:
    writer = ChurnWriter(root, root / "flips.parquet", 2, ("math", "math"))
    flips = writer.add([shard(root, "before", before)], [shard(root, "now", now, more)])
    rollouts = flips.select(pl.col("target_id").alias("rollout_id"), pl.lit("x" * 500).alias("completion"))
    extracted = pl.DataFrame({"target_id": ["r_2"], "extracted_now": ["5"], "rule_now": ["box"]})
    writer.show(flips, rollouts, pl.DataFrame({"problem_id": ["p_a"], "answer": ["4"]}), extracted)
    writer.close()
    return writer.churn, pl.read_parquet(root / "flips.parquet")


def test_by_hand(tmp_path: Path) -> None:
    before: Side = {"1": ("correct", None), "2": ("correct", None), "3": ("wrong", None), "4": ("unknown", "timeout"),
                    "5": ("unknown", "timeout")}  # fmt: skip
    now: Side = {"1": ("correct", None), "2": ("wrong", None), "3": ("unknown", "empty"), "4": ("unknown", "memory"),
                 "6": ("correct", None)}  # fmt: skip
    part = score("1", "a", "verdict", 0.0, "part")
    churn, flips = compared(tmp_path, before, now, [part])
    assert dict(churn.cells) == {
        Cell("correct", None, "correct", None): 1,
        Cell("correct", None, "wrong", None): 1,
        Cell("wrong", None, "unknown", "empty"): 1,
        Cell("unknown", "timeout", "unknown", "memory"): 1,
        Cell("unknown", "timeout", NONE, None): 1,
        Cell(NONE, None, "correct", None): 1,
    }
    assert (churn.rows, churn.flipped, churn.changed) == (6, 4, 5)
    assert churn.pass_rates() == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert flips["target_id"].to_list() == ["r_2", "r_3", "r_4", "r_5", "r_6"]
    assert {e["target_id"] for e in churn.examples} == {"r_2", "r_3", "r_5", "r_6"}
    assert all(len(e["completion"]) == 240 and e["gold"] == "4" for e in churn.examples)
    assert [(e["extracted_now"], e["rule_now"]) for e in churn.examples if e["target_id"] == "r_2"] == [("5", "box")]
    assert list(churn.now) == [("math", "1", "c")], "a part of the stage is no verdict of the stage"


_SAID = st.sampled_from([("correct", None), ("wrong", None), ("unknown", "timeout"), ("unknown", "empty")])
_SIDE = st.dictionaries(st.sampled_from([str(i) for i in range(12)]), _SAID)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_SIDE, _SIDE)
def test_every_rollout_is_in_one_cell(tmp_path: Path, before: Side, now: Side) -> None:
    churn, flips = compared(tmp_path, before, now)
    everyone = {*before, *now}
    assert churn.rows == len(everyone)
    changed = {f"r_{name}" for name in everyone if before.get(name) != now.get(name)}
    assert set(flips["target_id"]) == changed and churn.changed == len(changed)
    assert len(churn.examples) <= 2 * len({cell[::2] for cell in churn.cells if cell.flips})
    assert sum(cell["rows"] for cell in churn.to_json()["cells"]) == churn.rows
