"""The same answer to the same question is judged once, however often a group gives it.

Invariant: judgements come back one a question, in order, and equal questions (the rollout's id apart) have equal
judgements. The time is told of the first one only, since the others took none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

from synthflow.contracts import Judgement, Question, Verifier
from synthflow.errors import InvariantBroken

_content = attrgetter(*(field.name for field in fields(Question) if field.name != "target_id"))


def _without_time(judgement: Judgement) -> Judgement:
    said = (judgement.verdict, judgement.value, judgement.reason, judgement.detail)
    return Judgement(*said, 0.0, judgement.parts, judgement.extracted, judgement.rule)


def judge_unique(verifier: Verifier, questions: Sequence[Question]) -> list[Judgement]:
    """`verifier.judge` on the questions that differ in more than their ids.

    Raises:
        InvariantBroken: if the verifier gives another number of judgements than it was asked for.
    """
    place: dict[tuple[Any, ...], int] = {}
    asked: list[Question] = []
    places = []
    for question in questions:
        at = place.setdefault(_content(question), len(asked))
        if at == len(asked):
            asked.append(question)
        places.append(at)
    judged = verifier.judge(asked)
    if len(judged) != len(asked):
        raise InvariantBroken(f"verifier {verifier.name!r}: {len(asked)} questions, {len(judged)} judgements")
    told: set[int] = set()
    results = []
    for at in places:
        results.append(judged[at] if at not in told else _without_time(judged[at]))
        told.add(at)
    return results
