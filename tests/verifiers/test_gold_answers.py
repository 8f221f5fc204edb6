"""Other people's gold answers, said in forty ways: none `wrong`, others never `correct`, nearly all decided."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from support import gold_answers
from support.gold_answers import Gold, in_formula
from support.phrasings import PHRASINGS, phrase
from synthflow.contracts import Judgement, Question
from synthflow.verifiers.math import MathConfig, MathVerifier

pytest.importorskip("reasoning_gym")


class Row(NamedTuple):
    gold: Gold
    answer: str
    phrasing: str
    same: bool


def _golds(each: int) -> tuple[Gold, ...]:
    if gold_answers.champ_file() is None and os.environ.get("CI") != "true":
        pytest.skip("champ-dataset is not installed")
    golds = gold_answers.champ() + gold_answers.gym(each) + gold_answers.demo()
    return tuple(gold for gold in golds if gold.text)


def _rows(golds: tuple[Gold, ...], phrasings: int) -> list[Row]:
    """Each answer bare, boxed and in some of the phrasings, and another gold of its task in as many."""
    rng = random.Random(13)
    names = [name for name in PHRASINGS if name not in ("bare", "boxed")]

    def said(gold: Gold, answer: str, same: bool) -> list[Row]:
        chosen = ["bare", "boxed", *rng.sample(names, min(phrasings, len(names)))]
        return [Row(gold, answer, name, same) for name in chosen]

    rows = [row for gold in golds for answer in gold.answers for row in said(gold, answer, same=True)]
    rows += [Row(gold, gold.text, name, same=True) for gold in golds if gold.sentence for name in ("bare", "boxed")]
    others = gold_answers.others(golds, seed=13)
    return rows + [row for gold, other in others for row in said(gold, other.answers[-1], same=False)]


def _judged(rows: Sequence[Row]) -> list[Judgement]:
    verifier = MathVerifier(MathConfig(workers=2))
    asked = [
        Question(str(at), "p", phrase(row.phrasing, row.answer, in_formula(row.answer)), row.gold.text)
        for at, row in enumerate(rows)
    ]
    judged = verifier.judge(asked)
    verifier.close()
    return judged


def _audit(rows: Sequence[Row]) -> None:
    judged = _judged(rows)
    count = Counter((row.same, judgement.verdict) for row, judgement in zip(rows, judged, strict=True))
    false = {True: "wrong", False: "correct"}
    told = [
        f"{row.gold.task}, {row.phrasing}: gold {row.gold.text!r}, answer {row.answer!r} is {judgement.verdict}"
        for row, judgement in zip(rows, judged, strict=True)
        if judgement.verdict == false[row.same]
    ]
    assert told == [], "\n".join(told[:40])
    for same in (True, False):
        everything = sum(number for (which, _), number in count.items() if which is same)
        assert count[same, "unknown"] <= 0.03 * everything, count


@pytest.mark.slow
def test_gold_answers_in_a_box_bare_and_in_another_way() -> None:
    _audit(_rows(_golds(each=5), phrasings=1))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_gold_answers_in_forty_ways() -> None:
    assert len(PHRASINGS) == 40
    _audit(_rows(_golds(each=50), phrasings=38))
