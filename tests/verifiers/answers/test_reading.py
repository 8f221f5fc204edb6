"""How answers are read, kind by kind: what is equal, what differs, and what is left open."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from support.reading import verdict

ROWS = [json.loads(line) for line in (Path(__file__).parents[2] / "data" / "readings.jsonl").read_text().splitlines()]
KINDS = Counter(row["kind"] for row in ROWS)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_pair_has_its_verdict(kind: str) -> None:
    rows = [row for row in ROWS if row["kind"] == kind]
    told = [(row["gold"], row["answer"], row["verdict"], verdict(row["gold"], row["answer"])) for row in rows]
    assert [row for row in told if row[2] != row[3]] == []


def test_an_answer_is_itself() -> None:
    golds = sorted({row["gold"] for row in ROWS})
    assert [gold for gold in golds if verdict(gold, gold) != "correct"] == []


def test_what_is_equal_is_so_from_both_sides() -> None:
    """But where the gold answer alone may be told in several forms, or names a base."""
    one_sided = {"prose", "bases"}
    rows = [row for row in ROWS if row["verdict"] == "correct" and row["kind"] not in one_sided]
    turned = [(row["gold"], row["answer"]) for row in rows if verdict(row["answer"], row["gold"]) == "wrong"]
    assert turned == []


def test_every_kind_has_five_pairs() -> None:
    assert len({(row["gold"], row["answer"]) for row in ROWS}) == len(ROWS) > 250
    assert sum(count >= 5 for count in KINDS.values()) >= 20
