"""Equal answers to one question are judged once, and every question has its judgement."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthflow.contracts import Judgement, Question, Verifier
from synthflow.errors import InvariantBroken
from synthflow.verifiers.workers.unique import judge_unique


class Counting(Verifier):
    """Correct where the completion is the gold answer; remembers what it was asked."""

    name, version = "counting", "1"

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Question] = []

    def judge(self, questions: Sequence[Question]) -> list[Judgement]:
        self.asked += questions
        return [Judgement("correct" if q.completion == q.answer else "wrong", 1.0, elapsed_s=2.0) for q in questions]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("12"), st.sampled_from("12x"))))
def test_each_content_is_asked_once_and_each_question_answered(rows: list[tuple[str, str, str]]) -> None:
    questions = [Question(f"r_{i}", problem, said, gold) for i, (problem, gold, said) in enumerate(rows)]
    verifier = Counting()
    judged = judge_unique(verifier, questions)
    assert [j.verdict for j in judged] == ["correct" if q.completion == q.answer else "wrong" for q in questions]
    assert len(verifier.asked) == len(set(rows))
    assert sum(j.elapsed_s for j in judged) == 2.0 * len(set(rows)), "no time is told twice"


def test_a_verifier_that_loses_a_question_is_a_broken_promise() -> None:
    class Losing(Counting):
        def judge(self, questions: Sequence[Question]) -> list[Judgement]:
            return super().judge(questions)[1:]

    with pytest.raises(InvariantBroken, match="2 questions, 1 judgements"):
        judge_unique(Losing(), [Question("r_1", "p", "a", "a"), Question("r_2", "p", "b", "a")])
