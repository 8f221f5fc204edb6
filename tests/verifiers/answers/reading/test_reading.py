"""How answers are read, kind by kind: what is equal, what differs, and what is left open."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from support.reading import verdict

_PIECES = r"""
    1 2 12 0.5 1,234 5e-3 x n e i \pi \frac{1}{2} \frac \sqrt{2} \sqrt { } ( ) [ ] , ; : | ! ^ _ = < > \le \in \cup
    \{ \} \text{and} or \text{cm} m kg % \% \$ ^\circ \pm \sin \log \begin{pmatrix} \end{pmatrix} \begin{cases}
    \end{cases} & \\ \infty \pmod{7} mod \approx \ldots ... \langle \lfloor \rfloor if otherwise for yes the is at
    least 3:30 pm hours half thousand \sum_{k=1}^{n} choose f(x) C( \vec{v} \overline{3} ' \over i.e. or equivalently
    March 5 2020 + - * / \cdot"""
PIECES = _PIECES.split()

ROWS = [json.loads(line) for line in (Path(__file__).parents[3] / "data" / "readings.jsonl").read_text().splitlines()]
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


def test_no_text_is_more_than_unread_and_none_differs_from_itself() -> None:
    rng = random.Random(13)
    for _ in range(300):
        text = rng.choice(["", " "]).join(rng.choice(PIECES) for _ in range(rng.randint(1, 8)))
        other = rng.choice(ROWS)
        assert text.strip() == "" or verdict(text, text) != "wrong", text
        verdict(str(other["gold"]), text)


def test_every_kind_has_five_pairs() -> None:
    assert len({(row["gold"], row["answer"]) for row in ROWS}) == len(ROWS) > 250
    assert sum(count >= 5 for count in KINDS.values()) >= 20
