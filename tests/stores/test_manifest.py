"""The manifest is the only proof of completion, and survives a torn end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from synthflow.errors import InvariantBroken
from synthflow.stores.graph import ALL, Graph, StageRecord
from synthflow.stores.manifest import Commit, Manifest
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


def test_a_release_that_was_set_aside_is_owed_again_until_it_is_published_anew(tmp_path: Path) -> None:
    manifest = opened(tmp_path)
    for name in manifest.graph.stages:
        for unit in manifest.graph.units(name):
            made = commit(manifest.graph, name, unit)
            manifest.commit(replace(made, files={"exports/sft/a": "0"}) if name == "sft" else made)
    [release] = manifest.published()
    assert manifest.released("sft") == release and manifest.released("pairs") is None
    manifest.append({"kind": "set_aside", "stage": "sft", "to": "set-aside/sft-1"})
    for read in (manifest, Manifest(tmp_path)):
        assert read.owed() == {"sft": 1} and read.published() == []
        assert read.set_aside == [("sft", "set-aside/sft-1")]
        assert read.was_done(release.fingerprint, release.key), "what it cost was paid"
    manifest.commit(release)
    assert Manifest(tmp_path).owed() == {}


def test_what_is_forgotten_is_owed_and_was_never_done(tmp_path: Path) -> None:
    manifest = opened(tmp_path)
    made = [commit(manifest.graph, "rollouts", unit) for unit in PARTITIONS["problems"]]
    for one in made:
        manifest.commit(one)
    assert manifest.was_done(made[0].fingerprint, made[0].key)
    manifest.forget(made[:1])
    lines = (tmp_path / "manifest.jsonl").read_bytes()
    manifest.forget([])
    assert (tmp_path / "manifest.jsonl").read_bytes() == lines
    for read in (manifest, Manifest(tmp_path)):
        assert read.owed()["rollouts"] == 1 and read.all_commits() == made[1:]
        assert not read.was_done(made[0].fingerprint, made[0].key)


def test_units_of_what_a_source_held_are_found_again(tmp_path: Path) -> None:
    manifest = opened(tmp_path)
    manifest.set_partitions("problems", ["q_1"], "q_left", "z_1")
    manifest.set_partitions("problems", ["q_2"], None, "z_2")
    for read in (manifest, Manifest(tmp_path)):
        assert read.units_of("problems", "z_1") == (("q_1",), "q_left")
        assert read.units_of("problems", "z_2") == (("q_2",), None)
        assert read.units_of("problems", "z_3") is None


def test_what_is_taken_back_is_owed_again_with_all_that_was_made_of_it(tmp_path: Path) -> None:
    manifest = opened(tmp_path)
    for name in manifest.graph.stages:
        for unit in manifest.graph.units(name):
            manifest.commit(commit(manifest.graph, name, unit))
    made = manifest.made_of(manifest.graph, {"rollouts": ["q_2"]})
    assert {(c.stage, c.unit) for c in made} == {
        ("rollouts", "q_2"), ("dedup", ALL), ("pairs", "q_1"), ("pairs", "q_2"), ("sft", ALL),
    }  # fmt: skip
    manifest.withdraw({"rollouts": ["q_2"]})
    for one in (manifest, Manifest(tmp_path)):
        assert one.owed() == {"rollouts": 1, "dedup": 1, "pairs": 2, "sft": 1}
        assert next((c.stage, c.unit) for c in one.withdrawn) == ("rollouts", "q_2")
    manifest.commit(commit(manifest.graph, "rollouts", "q_2"))
    assert "rollouts" not in Manifest(tmp_path).owed(), "made again it counts again"


def test_what_is_taken_back_takes_with_it_what_other_plans_made_of_it(tmp_path: Path) -> None:
    """A spec that changes back finds no work of before; the release stays in its place until there is another."""
    manifest = opened(tmp_path)
    renamed = [replace(s, name="drawn") if s.name == "rollouts" else s for s in STAGES]
    others = [
        replace(s, fingerprint=f"f_other_{s.name}") if s.name in ("dedup", "pairs", "sft") else s
        for s in [replace(s, parents=tuple("drawn" if p == "rollouts" else p for p in s.parents)) for s in renamed]
    ]
    for plan in (STAGES, others):
        manifest.open_attempt(plan, {})
        for name in manifest.graph.stages:
            for unit in manifest.graph.units(name):
                made = commit(manifest.graph, name, unit)
                manifest.commit(replace(made, files={"exports/sft/a": made.key}) if name == "sft" else made)
    release = manifest.released("sft")
    manifest.withdraw({"drawn": ["q_1"]})
    for read in (manifest, Manifest(tmp_path)):
        kept = {(c.stage, c.unit) for c in read.all_commits()}
        assert kept == {("problems", "q_1"), ("problems", "q_2"), ("rollouts", "q_2"), ("drawn", "q_2")}
        assert read.find("sft", ALL) is None and read.published() == [release]
        assert not read.was_done("f_rollouts", commit(manifest.graph, "drawn", "q_1").key)


def test_a_commit_tells_what_had_no_answer(tmp_path: Path) -> None:
    manifest = opened(tmp_path)
    manifest.commit(replace(commit(manifest.graph, "rollouts", "q_1"), unanswered={"refused": 3}))
    manifest.commit(commit(manifest.graph, "rollouts", "q_2"))
    found = {c.unit: c.unanswered for c in Manifest(tmp_path).active()}
    assert found == {"q_1": {"refused": 3}, "q_2": {}}
    done = {c.unit: manifest.was_done(c.fingerprint, c.key) for c in manifest.active()}
    assert done == {"q_1": False, "q_2": True}, "a part of it may be asked again"
    assert manifest.path.read_text().count("unanswered") == 1


def test_the_latest_attempt_that_asked_again_is_known(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    for again in ({}, {"a": ["failed", "refused"]}, {"b": ["refused"]}, {"a": ["refused"]}):
        manifest.open_attempt(STAGES, {"again": again} if again else {})
    assert Manifest(tmp_path).again == {"a": {"failed": 2, "refused": 4}, "b": {"refused": 3}}
