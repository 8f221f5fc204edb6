"""What exports make of mined positives, negatives, weights and advantages."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from support.stages import stage_info
from synthflow.contracts import StageInfo
from synthflow.schema import TABLES
from synthflow.stages.export.columns import is_reserved
from synthflow.stages.export.offline import OFFLINE
from synthflow.stages.export.preference import ExportPreference
from synthflow.stages.export.rl import ExportRl
from synthflow.stages.export.sft import ExportSft
from synthflow.stages.mine.advantages import Advantages
from synthflow.stages.mine.unpaired import Unpaired

Rows = list[dict[str, Any]]
EVERYTHING = ["grpo", "grpo_no_std", "rloo", "psr", "nsr", "weighted", "oreal", "nft"]


def mined(world: Any, tables: Any, name: str, stage: Any, **options: Any) -> tuple[StageInfo, Any]:
    """A mining stage run on the made-up run: what describes it, and the tables with what it wrote."""
    made = stage(name, stage.Config(use=stage.use, of="kept", **options))
    inputs = world.PartitionedInputs(world.ANCESTORS[:4], ("kept",), tables, 1)
    services = world.NoServices()
    written = made.run(inputs, services)
    info = stage_info(name, stage.use, ("scores",), ("kept",), dict(options))
    return info, tables | {name: {"scores": written["scores"]}}


def export(
    world: Any, tables: Any, out: Path, stage: Any, more: list[StageInfo], parts: int = 1, **options: Any
) -> Counter[str]:
    """Export after the made-up run and `more` stages; the reasons of the rejects."""
    made = stage("export", stage.Config(use=stage.use, of="pairs", **options))
    ancestors = (*world.ANCESTORS, *more)
    assert not list(made.check(ancestors))
    inputs = world.PartitionedInputs(ancestors, ("pairs", *(m.name for m in more)), tables, parts)
    out.mkdir(parents=True)
    return Counter(world.released(made, inputs, out).column("reason").to_pylist())


def read(out: Path, config: str) -> Rows:
    rows: Rows = pq.read_table(out / config).to_pylist()
    return rows


def weights_of(tables: Any, name: str) -> dict[str, float | None]:
    return {r["target_id"]: r["value"] for r in tables[name]["scores"].to_pylist()}


def test_unpaired_takes_what_was_mined_with_its_weight(world: Any, tables: Any, tmp_path: Path) -> None:
    info, told = mined(world, tables, "drawn", Unpaired, rule="oreal")
    reasons = export(world, told, tmp_path / "out", ExportPreference, [info])
    weights = weights_of(told, "drawn")
    rows = read(tmp_path / "out", "unpaired")
    assert {r["sf_rollout_id"] for r in rows} == {r for r, w in weights.items() if w is not None}
    assert {(r["label"], r["sf_weight"]) for r in rows} == {(True, 1.0), (False, 0.5)}
    assert all(r["label"] == (weights[r["sf_rollout_id"]] > 0) for r in rows)
    assert Counter(r["sf_problem_id"] for r in rows).most_common()[0][1] == 2
    assert reasons["unpaired: mine.oreal: group_all_correct"] > 0 and reasons["unpaired: mine.oreal: not_drawn"] > 0


def test_sft_takes_positives_only(world: Any, tables: Any, tmp_path: Path) -> None:
    info, told = mined(world, tables, "labels", Unpaired, rule="redi")
    reasons = export(world, told, tmp_path / "out", ExportSft, [info])
    rows = read(tmp_path / "out", "sft")
    assert {r["sf_rollout_id"] for r in rows} == {r for r, w in weights_of(told, "labels").items() if w and w > 0}
    assert {r["sf_weight"] for r in rows} == {1.0} and set(Counter(r["sf_problem_id"] for r in rows).values()) == {1}
    assert reasons["a negative"] > 0 and reasons["mine.redi: not_first"] > 0


def test_of_several_miners_one_is_named(world: Any, tables: Any, tmp_path: Path) -> None:
    one, told = mined(world, tables, "light", Unpaired, rule="weighted", positive_weight=0.25)
    two, told = mined(world, told, "wrong", Unpaired, rule="nsr")
    for stage in (ExportSft, ExportPreference):
        made = stage("export", stage.Config(use=stage.use))
        assert [field for field, _, _ in made.check((*world.ANCESTORS, one, two))] == ["only"]
        named = stage("export", stage.Config(use=stage.use, only="nobody"))
        assert [field for field, _, _ in named.check((*world.ANCESTORS, one, two))] == ["only"]
    export(world, told, tmp_path / "light", ExportPreference, [one, two], only="light")
    assert {r["sf_weight"] for r in read(tmp_path / "light", "unpaired")} == {0.25, 1.0}
    export(world, told, tmp_path / "wrong", ExportPreference, [one, two], only="wrong")
    assert {r["label"] for r in read(tmp_path / "wrong", "unpaired")} == {False}
    export(world, told, tmp_path / "sft", ExportSft, [one, two], only="light")
    assert {r["sf_weight"] for r in read(tmp_path / "sft", "sft")} == {0.25}


def test_without_a_miner_nothing_has_a_weight(world: Any, tables: Any, tmp_path: Path) -> None:
    export(world, tables, tmp_path / "sft", ExportSft, [])
    export(world, tables, tmp_path / "kto", ExportPreference, [])
    for out, config in (("sft", "sft"), ("kto", "unpaired")):
        assert all("sf_weight" not in row for row in read(tmp_path / out, config))


@pytest.mark.parametrize("parts", [1, 5])
def test_offline_rows_are_rollouts_as_they_were_sampled(world: Any, tables: Any, tmp_path: Path, parts: int) -> None:
    def tokens(row: dict[str, Any]) -> dict[str, Any]:
        ids = [ord(c) for c in row["completion"]] + [0]
        return row | {"token_ids": ids, "prompt_token_ids": [1, 2], "logprobs": [-0.5] * len(ids)}

    rollouts = [tokens(r) for r in tables["rollouts"]["rollouts"].to_pylist()]
    sampled = tables | {"rollouts": {"rollouts": TABLES["rollouts"].from_rows(rollouts)}}
    info, told = mined(world, sampled, "adv", Advantages, estimators=EVERYTHING)
    reasons = export(world, told, tmp_path / "out", ExportRl, [info], parts=parts)
    rows = {r["sf_rollout_id"]: r for r in read(tmp_path / "out", "offline")}
    by_id = {r["rollout_id"]: r for r in rollouts}
    measures: dict[str, dict[str, float]] = {}
    for score in told["adv"]["scores"].to_pylist():
        name = score["scorer"].replace("advantage.", "sf_advantage_").replace("nft.", "sf_")
        measures.setdefault(score["target_id"], {})[name] = score["value"]
    assert rows
    for rollout_id, row in rows.items():
        rollout = by_id[rollout_id]
        assert row["prompt"] == rollout["prompt"] and row["sf_completion"] == rollout["completion"]
        assert row["sf_tokens"] == rollout["token_ids"] and row["sf_prompt_tokens"] == [1, 2]
        assert len(row["sf_logprobs"]) == len(row["sf_tokens"])
        assert {name: row[name] for name in measures[rollout_id]} == measures[rollout_id]
        assert (row["sf_verdict"] == "correct") == (row["sf_advantage_psr"] == 1)
    left = {r for r, held in measures.items() if all(v is None for v in held.values())}
    assert reasons["offline: no advantage: unknown: timeout"] == len(left) > 0
    assert reasons["offline: filtered: length: too long"] == 1
    assert len(rows) + len(left) + 1 == len(by_id)
    # What RL trainers read is as before, and of problems.
    assert {r["sf_group_state"] for r in read(tmp_path / "out", "rl")} == {"mixed"}


def test_offline_is_written_where_it_can_be(world: Any, tables: Any, tmp_path: Path) -> None:
    info, told = mined(world, tables, "adv", Advantages, estimators=["rloo"])
    export(world, told, tmp_path / "off", ExportRl, [info], offline=False)
    export(world, tables, tmp_path / "none", ExportRl, [])
    for out in ("off", "none"):
        assert not (tmp_path / out / "offline").exists() and (tmp_path / out / "rl").exists()
    export(world, told, tmp_path / "on", ExportRl, [info])
    row = read(tmp_path / "on", "offline")[0]
    assert "sf_advantage_rloo" in row and "sf_advantage_grpo" not in row and "sf_tokens" not in row
    two = (*world.ANCESTORS, info, stage_info("more", Advantages.use, ("scores",), ("kept",)))
    for options, mistakes in (
        ({}, ["advantages"]),
        ({"advantages": "more"}, []),
        ({"advantages": "x"}, ["advantages"]),
    ):
        made = ExportRl("export", ExportRl.Config(use=ExportRl.use, **options))
        assert [field for field, _, _ in made.check(two)] == mistakes


def test_no_trainer_reads_an_offline_column_by_accident() -> None:
    assert [c.name for c in OFFLINE.columns if is_reserved(c.name)] == ["prompt"]


def test_pairs_carry_their_reliability(world: Any, tables: Any, tmp_path: Path) -> None:
    graded = [r | {"p_better": 0.9, "scorer_agreement": 0.5} for r in tables["pairs"]["pairs"].to_pylist()]
    told = tables | {"pairs": {"pairs": TABLES["pairs"].from_rows(graded)}}
    export(world, told, tmp_path / "out", ExportPreference, [])
    row = read(tmp_path / "out", "preference")[0]
    assert row["sf_p_better"] == pytest.approx(0.9) and row["sf_scorer_agreement"] == 0.5
    assert "sf_round_consistency" not in row
