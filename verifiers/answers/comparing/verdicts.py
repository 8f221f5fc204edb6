"""The verdict on a gold answer and an answer in all the readings that they have.

Invariant: what rests on one of two readings is neither equal nor different, unless the doubt changes no value.
"""

from __future__ import annotations

from synthflow.verifiers.answers.comparing.identity import EQUAL, Found
from synthflow.verifiers.answers.comparing.matching import compare
from synthflow.verifiers.answers.reading.prose import WORD, asides, stated
from synthflow.verifiers.answers.reading.readings import Amount, Read, Reading
from synthflow.verifiers.answers.reading.tokens import Unread

_SOFT = ("may be a unit", "e may be a number", "digits in groups", "can stand for the floor", "how far the argument")


def match(gold: Read, answer: Read) -> Found:
    """The verdict on two answers, each in all its readings."""
    first = compare(gold.reading, answer.reading)
    doubts = gold.doubts | answer.doubts
    if not doubts:
        return first
    golds = [reading for reading in (gold.reading, gold.other) if reading is not None]
    answers = [reading for reading in (answer.reading, answer.other) if reading is not None]
    table = [[compare(one, other).verdict for other in answers] for one in golds]
    told = "; ".join(sorted(doubts))
    if any(
        isinstance(one, Amount)
        and isinstance(other, Amount)
        and one.unit
        and other.unit
        and compare(one, other).verdict == "equal"
        for one in golds
        for other in answers
    ):
        return EQUAL
    if first.verdict == "equal" and all(any(soft in doubt for soft in _SOFT) for doubt in doubts):
        return first
    if all("equal" in row for row in table) and all("equal" in column for column in zip(*table, strict=True)):
        return first if first.verdict == "equal" else EQUAL
    alone = len(golds) + len(answers) > 2 and {gold.other, answer.other} != {None}
    if alone and all(verdict == "different" for row in table for verdict in row):
        same = gold.other == gold.reading or answer.other == answer.reading
        return first if not same else Found("unsure", told)
    return Found("unsure", told if first.verdict != "unsure" else first.note or told)


def _measured_alike(gold: Reading, answer: Reading) -> bool:
    """Whether both are amounts in units, and equal, so that no letter was a variable."""
    if not (isinstance(gold, Amount) and isinstance(answer, Amount) and gold.unit and answer.unit):
        return False
    return compare(gold, answer).verdict == "equal"


def read_answer(text: str) -> Read:
    """The reading of an answer, which agrees with what it says of itself.

    Raises:
        Unread: if it states no value that is read wholly, or two.
    """
    value, others = asides(text)
    found = stated(value)
    for other, _ in others:
        if not any(char.isdigit() for char in other) and WORD.search(other):
            continue
        again = stated(other)
        if match(found, again).verdict != "equal":
            raise Unread(f"{other!r} beside {value!r}")
    return found


def match_any(golds: list[Read], answer: Read) -> Found:
    """The verdict on an answer beside a gold answer that is told in several forms."""
    found = [match(gold, answer) for gold in golds]
    for one in found:
        if one.verdict == "equal":
            return one
    return next((one for one in found if one.verdict == "unsure"), found[0])
