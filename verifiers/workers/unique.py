"""The same answer to the same question is judged once, however often a group gives it.

Invariant: judgements come back one a question, in order, and equal questions (the rollout's id apart) have equal
judgements. The time is told of the first one only, since the others took none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from synthflow.contracts import Judgement, Question, Verifier
from synthflow.errors import InvariantBroken


def judge_unique(verifier: Verifier, questions: Sequence[Question]) -> list[Judgement]:
    """`verifier.judge` on the questions that differ in more than their ids.

    Raises:
        InvariantBroken: if the verifier gives another number of judgements than it was asked for.
    """
    place: dict[Question, int] = {}
    asked: list[Question] = []
    places = []
    for question in questions:
        content = replace(question, target_id="")
        if content not in place:
            place[content] = len(asked)
            asked.append(question)
        places.append(place[content])
    judged = verifier.judge(asked)
    if len(judged) != len(asked):
        raise InvariantBroken(f"verifier {verifier.name!r}: {len(asked)} questions, {len(judged)} judgements")
    told: set[int] = set()
    results = []
    for at in places:
        results.append(judged[at] if at not in told else replace(judged[at], elapsed_s=0.0))
        told.add(at)
    return results
