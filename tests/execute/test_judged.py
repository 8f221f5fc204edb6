"""A question on which a verifier raises is unknown; the others are judged as they would be alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from synthflow.contracts import Judgement, Question, Verifier
from synthflow.contracts.foreign import told_in_one_line
from synthflow.errors import InfrastructureError, InvariantBroken, PluginFailed, UserError
from synthflow.execute.judged import judged


class Given(Verifier):
    """Says, or raises, what each completion names."""

    name, version = "given", "1"

    def __init__(self, answers: dict[str, Any]) -> None:
        super().__init__()
        self.answers = answers
        self.asked: list[int] = []

    def judge(self, questions: Sequence[Question]) -> list[Judgement]:
        self.asked.append(len(questions))
        found = [self.answers[q.completion] for q in questions]
        for answer in found:
            if isinstance(answer, BaseException):
                raise answer
        return found


RIGHT = Judgement("correct", 1.0)


def ask(answers: dict[str, Any], *completions: str) -> tuple[list[Judgement], list[int]]:
    verifier = Given(answers)
    questions = [Question(f"r_{i}", "p", text, "1") for i, text in enumerate(completions)]
    return judged(verifier, questions), verifier.asked


def test_only_the_question_that_raises_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    error = ValueError("two\nlines \ud800")
    found, asked = ask({"a": RIGHT, "b": error, "c": RIGHT}, "a", "b", "c", "b")
    unknown = Judgement.unknown("verifier_error", "ValueError: two lines ?")
    assert found == [RIGHT, unknown, RIGHT, unknown]
    assert asked == [3, 1, 1, 1, 1]
    assert "Traceback" in capsys.readouterr().err
    assert ask({"a": RIGHT}, "a", "a") == ([RIGHT, RIGHT], [1]), "nothing is asked twice where nothing is raised"


@pytest.mark.parametrize("strange", [None, "correct", Judgement("right", 1.0), 3])  # type: ignore[arg-type]
def test_what_is_no_judgement_is_unknown(strange: Any) -> None:
    found, _ = ask({"a": RIGHT, "b": strange}, "a", "b")
    assert found[0] == RIGHT and found[1].reason == "verifier_error" and found[1].verdict == "unknown"


@pytest.mark.parametrize("error", [InfrastructureError("no server"), UserError("no file"), InvariantBroken("lost")])
def test_errors_of_the_machine_and_the_user_are_none_of_a_question(error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)):
        ask({"a": error}, "a")


def test_our_own_mistakes_keep_their_traceback() -> None:
    with pytest.raises(KeyError), told_in_one_line("stage 'x'", UserError("ours")):
        raise KeyError("a bug")
    with (
        pytest.raises(PluginFailed, match="stage 'x' raised KeyError: 'a bug'"),
        told_in_one_line("stage 'x'", RIGHT, ask),
    ):
        raise KeyError("a bug")
