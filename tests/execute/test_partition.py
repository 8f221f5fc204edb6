"""Partitions follow the source: what is unchanged stays, and what is unchanged as a whole is not even read."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from support.paper_runs import PaperRun, write_problems
from synthflow.errors import UserError
from synthflow.stages.source.files import JsonlSource

PROBLEMS = {f"What is {i} + 1?": str(i + 1) for i in range(8)}


@pytest.fixture
def stages(tmp_path: Path) -> dict[str, dict[str, Any]]:
    path = write_problems(tmp_path / "problems.jsonl", PROBLEMS)
    return {"problems": {"use": "source.jsonl", "path": str(path)}}


def partitions(run: PaperRun, stages: dict[str, dict[str, Any]]) -> tuple[str, ...]:
    planned, _ = run.cut(stages)
    return planned.graph.partitions["problems"]


def test_edits_and_removals_make_new_partitions_of_what_they_touch(
    stages: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    run, path = PaperRun(tmp_path / "run"), tmp_path / "problems.jsonl"
    first = partitions(run, stages)
    assert len(first) == 4
    fewer = {prompt: answer for prompt, answer in PROBLEMS.items() if prompt != "What is 0 + 1?"}
    for changed in ({**PROBLEMS, "What is 3 + 1?": "four"}, fewer):
        write_problems(path, changed)
        now = partitions(run, stages)
        assert len(now) == 4 and len(set(first) & set(now)) == 3
        write_problems(path, PROBLEMS)
        assert set(partitions(run, stages)) == set(first), "what was there before is found again"


def test_the_order_and_the_kind_of_an_answer_are_no_change(stages: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    run, path = PaperRun(tmp_path / "run"), tmp_path / "problems.jsonl"
    first = partitions(run, stages)
    shuffled = list(PROBLEMS.items())
    random.Random(1).shuffle(shuffled)
    write_problems(path, {prompt: int(answer) for prompt, answer in shuffled})
    assert partitions(run, stages) == first


def test_a_file_that_holds_the_same_is_not_read_again(
    stages: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, path = PaperRun(tmp_path / "run"), tmp_path / "problems.jsonl"
    first = partitions(run, stages)
    reads: list[str] = []
    rows = JsonlSource.rows

    def counted(source: JsonlSource) -> Any:
        reads.append(source.name)
        return rows(source)

    monkeypatch.setattr(JsonlSource, "rows", counted)
    path.rename(tmp_path / "elsewhere.jsonl")
    write_problems(path, PROBLEMS)
    assert partitions(run, stages) == first and not reads
    write_problems(path, {**PROBLEMS, "New?": "1"})
    assert len(partitions(run, stages)) == 5 and len(reads) == 1
    stages["problems"]["limit"] = 8
    assert len(partitions(run, stages)) == 4 and len(reads) == 2, "another fingerprint reads the same file otherwise"


def test_a_partition_whose_file_is_gone_is_no_reason_not_to_read(
    stages: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    run = PaperRun(tmp_path / "run")
    run.cut(stages)
    assert not run.cut(stages)[1]["problems"].was_read
    [shard, *_] = sorted((run.root / "tables" / "problems").rglob("*.parquet"))
    shard.unlink()
    assert run.cut(stages)[1]["problems"].was_read


def test_what_a_source_leaves_out_is_a_unit_that_stays_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_text('{"prompt": "a?", "answer": "1"}\n{"prompt": "a?", "answer": "1"}\nnot json\n')
    stages = {"problems": {"use": "source.jsonl", "path": str(path), "on_bad_row": "reject"}}
    run = PaperRun(tmp_path / "run")
    planned, _ = run.cut(stages)
    assert len(planned.graph.units("problems")) == 2
    again, now = run.cut(stages)
    assert not now["problems"].was_read and again.graph.left_out == planned.graph.left_out


def test_two_sources_may_not_hold_one_problem(stages: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    run, other = PaperRun(tmp_path / "run"), write_problems(tmp_path / "other.jsonl", {"Another?": "1"})
    stages["others"] = {"use": "source.jsonl", "path": str(other)}
    run.cut(stages)
    write_problems(other, {"Another?": "1", "What is 2 + 1?": "3"})
    for call in (run.cut, run.change):
        with pytest.raises(UserError, match="sources 'problems' and 'others' both hold problem p_"):
            call(stages)


def test_rows_are_those_of_the_file(stages: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    import polars as pl

    run = PaperRun(tmp_path / "run", partition_size=3)
    run.cut(stages)
    held = pl.read_parquet(tmp_path / "run" / "tables" / "problems" / "*" / "*.parquet")
    assert {(p[0]["content"], a) for p, a in held.select("prompt", "answer").rows()} == set(PROBLEMS.items())
