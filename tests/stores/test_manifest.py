"""The manifest is the only proof of completion, and survives a torn end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from synthflow.errors import InvariantBroken
from synthflow.stores.manifest import ALL, Commit, Graph, Manifest, StageRecord
from synthflow.stores.shards import Shard


def stage(name: str, scope: str, parents: tuple[str, ...] = (), fingerprint: str | None = None) -> StageRecord:
    return StageRecord(name, f"use.{name}", "1", fingerprint or f"f_{name}", scope, parents, (), {})  # type: ignore[arg-type]


STAGES = [
    stage("problems", "source"),
    stage("rollouts", "partition", ("problems",)),
    stage("dedup", "whole", ("rollouts",)),
    stage("pairs", "partition", ("dedup", "rollouts")),
    stage("sft", "whole", ("pairs",)),
]
PARTITIONS = {"problems": ["q_1", "q_2"]}


def commit(graph: Graph, name: str, unit: str) -> Commit:
    record = graph.stages[name]
    return Commit(name, record.fingerprint, record.stage_id, unit, graph.key(name, unit), 1, (), {})


def opened(root: Path) -> Manifest:
    manifest = Manifest(root)
    manifest.open_attempt(STAGES, {})
    manifest.set_partitions("problems", PARTITIONS["problems"], None)
    return manifest


def test_what_is_committed_is_no_longer_owed(tmp_path: Path) -> None:
    manifest = opened(tmp_path)
    assert manifest.owed() == {"problems": 2, "rollouts": 2, "dedup": 1, "pairs": 2, "sft": 1}
    for name in manifest.graph.stages:
        for unit in manifest.graph.units(name):
            manifest.commit(commit(manifest.graph, name, unit))
    assert manifest.owed() == {}
    assert len(Manifest(tmp_path).active()) == 8


def test_cut_anywhere_in_its_last_line_it_owes_that_line_again(tmp_path: Path) -> None:
    manifest = opened(tmp_path)
    manifest.commit(commit(manifest.graph, "rollouts", "q_1"))
    manifest.commit(commit(manifest.graph, "rollouts", "q_2"))
    whole = manifest.path.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for cut in range(last, len(whole)):
        manifest.path.write_bytes(whole[:cut])
        again = Manifest(tmp_path)
        assert again.owed()["rollouts"] == 1
        again.commit(commit(again.graph, "rollouts", "q_2"))
        assert again.owed().get("rollouts") is None
        assert "rollouts" not in Manifest(tmp_path).owed()


def test_units_whose_files_are_not_here_are_owed(tmp_path: Path) -> None:
    manifest = opened(tmp_path)
    written = {}
    for unit in ("q_1", "q_2"):
        shard = Shard("rollouts", f"tables/{unit}.parquet", 1, 3, "0")
        (tmp_path / shard.path).parent.mkdir(exist_ok=True)
        (tmp_path / shard.path).write_bytes(b"abc")
        written[unit] = replace(commit(manifest.graph, "rollouts", unit), shards=(shard,))
        manifest.commit(written[unit])
    release = replace(commit(manifest.graph, "sft", ALL), files={"exports/sft/README.md": "0"})
    manifest.commit(release)
    manifest.forget_lost()
    assert "rollouts" not in manifest.owed() and manifest.owed()["sft"] == 1
    (tmp_path / "tables/q_1.parquet").write_bytes(b"a")
    (tmp_path / "tables/q_2.parquet").unlink()
    manifest.forget_lost()
    assert manifest.owed()["rollouts"] == 2
    manifest.commit(written["q_1"])
    assert manifest.owed()["rollouts"] == 1, "made again"


def test_damage_elsewhere_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    manifest = opened(tmp_path)
    lines = manifest.path.read_text().splitlines()
    manifest.path.write_text("\n".join(["{broken", *lines[1:]]) + "\n")
    with pytest.raises(InvariantBroken, match=r"manifest\.jsonl:1"):
        Manifest(tmp_path)


def test_a_spec_that_changes_back_finds_its_old_work(tmp_path: Path) -> None:
    manifest = opened(tmp_path)
    manifest.commit(commit(manifest.graph, "rollouts", "q_1"))
    changed = [stage("rollouts", "partition", ("problems",), "f_other") if s.name == "rollouts" else s for s in STAGES]
    manifest.open_attempt(changed, {})
    assert manifest.owed()["rollouts"] == 2
    manifest.open_attempt(STAGES, {})
    assert manifest.owed()["rollouts"] == 1


def test_a_barrier_makes_what_follows_depend_on_every_partition() -> None:
    two = Graph(STAGES, PARTITIONS)
    three = Graph(STAGES, {"problems": ["q_1", "q_2", "q_3"]})
    assert two.key("rollouts", "q_1") == three.key("rollouts", "q_1")
    assert two.key("dedup", ALL) != three.key("dedup", ALL)
    assert two.key("pairs", "q_1") != three.key("pairs", "q_1")
    another = Graph(STAGES, {"problems": ["q_1", "q_3"]})
    assert len({graph.key("dedup", ALL) for graph in (two, three, another)}) == 3
    shuffled = Graph(STAGES, {"problems": ["q_2", "q_1"]})
    assert two.key("sft", ALL) == shuffled.key("sft", ALL)


def test_an_export_counts_only_if_it_was_published_last(tmp_path: Path) -> None:
    manifest = opened(tmp_path)
    record = manifest.graph.stages["sft"]
    key = manifest.graph.key("sft", ALL)
    first = Commit("sft", record.fingerprint, record.stage_id, ALL, key, 1, (), {"exports/sft/a": "00"})
    manifest.commit(first)
    assert manifest.find("sft", ALL) == first
    manifest.commit(Commit("sft", "f_other", "e_2", ALL, "k_2", 1, (), {"exports/sft/a": "11"}))
    assert manifest.find("sft", ALL) is None
