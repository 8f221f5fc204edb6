"""Which problems a pilot takes: nested, independent of order, its share of every source."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.errors import UserError
from synthflow.plan.records import identity_config, scope_of
from synthflow.stages.source.files import JsonlSource
from synthflow.workflows.pilot.choose import Chosen, ChosenProblems, choose_problems


def _source(folder: Path, numbers: list[int], name: str = "problems") -> JsonlSource:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"{name} {i}?", "answer": str(i)}) + "\n" for i in numbers))
    return JsonlSource(name, JsonlSource.Config(use="source.jsonl", path=(str(path),)))


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 60), st.integers(1, 70), st.integers(0, 9))
def test_a_pilot_is_nested_and_blind_to_order(
    tmp_path_factory: pytest.TempPathFactory, total: int, n: int, shuffle: int
) -> None:
    folder = tmp_path_factory.mktemp("choose")
    numbers = list(range(total))
    small = choose_problems({"problems": _source(folder, numbers)}, n)["problems"]
    random.Random(shuffle).shuffle(numbers)
    again = choose_problems({"problems": _source(folder, numbers)}, n)["problems"]
    larger = choose_problems({"problems": _source(folder, numbers)}, n + 5)["problems"]
    assert small == again
    assert len(small.problems) == min(n, total) and small.total == total
    assert set(small.problems) <= set(larger.problems)
    assert list(small.problems) == sorted(small.problems)


def test_every_source_gives_its_share_and_at_least_one(tmp_path: Path) -> None:
    sources = {"big": _source(tmp_path, list(range(300)), "big"), "few": _source(tmp_path, [1, 2, 3], "few")}
    chosen = choose_problems(sources, 16)
    assert (len(chosen["big"].problems), chosen["big"].total) == (16, 300)
    assert (len(chosen["few"].problems), chosen["few"].total) == (1, 3)


def test_the_choice_is_spread_over_the_ids(tmp_path: Path) -> None:
    found = choose_problems({"p": _source(tmp_path, list(range(2000)), "p")}, 400)["p"].problems
    quarters = [sum(p.partition("_")[2][0] in digits for p in found) for digits in ("0123", "4567", "89ab", "cdef")]
    assert min(quarters) > 70  # 100 each is expected; 70 is 3.5 standard deviations away


def test_a_source_of_chosen_problems_is_the_same_source_otherwise(tmp_path: Path) -> None:
    source = _source(tmp_path, list(range(30)))
    ids = [p for batch in source.batches() for p in batch["problem_id"].to_pylist()]
    narrow = ChosenProblems(source, Chosen(tuple(sorted(ids[3:5])), 30))
    rows = [row for batch in narrow.batches() for row in batch.to_pylist()]
    assert {r["problem_id"] for r in rows} == set(ids[3:5])
    assert narrow.rejects("e_x").num_rows == 0
    assert identity_config(narrow) == identity_config(source)
    assert (narrow.version, scope_of(narrow)) == (source.version, "source")


def test_an_empty_source_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        choose_problems({"problems": _source(tmp_path, [])}, 4)
