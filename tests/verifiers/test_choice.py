"""`choice` takes a letter only where one is given as the answer, and two as none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.contracts import Question
from synthflow.verifiers.choice import ChoiceVerifier

OPTIONS = ["Paris", "Rome", "12 km", "none of these"]
METADATA = json.dumps({"options": OPTIONS})


def judge(completion: str, gold: str | None = "B", metadata: str = "{}") -> tuple[str, str | None, str | None]:
    (said,) = ChoiceVerifier().judge([Question("r", "p", completion, gold, metadata)])
    return said.verdict, said.reason, said.detail


@pytest.mark.parametrize(
    "completion",
    [
        "B", "(B)", "b)", "B.", "[B]", " **B** ", "ＢＢ"[0], "（Ｂ）", r"\boxed{B}", r"so \boxed{\text{(B)}}.",
        r"$\boxed{\textbf{(B)}\ 12}$", r"\boxed{\mathrm{B}}", r"\boxed{b}", r"\boxed{ (B) }", r"\boxed{\text{B.}}",
        "Thus the answer is B", "The answer is (B).", "the final answer is: **B**.", "Answer: B", "ANSWER: b",
        "The correct option is B.", "The best choice is option B.", "#### B", "The answer is B because A is too small.",
        "answer is\n\n(B)", "答案是：B", "答案选B。", "Answer: B) Rome", "The correct answer is B: Rome.",
        "Reasoning\nB",
        "The answer is \\(\\boxed{B}\\).", "<think>the answer is C</think>B", "I take a look. So the answer is B!",
        "Option (A) fails, (C) fails too.\n\nB", "The answer must be B", "Answer B", "Answer: B - Rome", r"\fbox{B}",
    ],
)  # fmt: skip
def test_spellings_of_b(completion: str) -> None:
    wanted = ("unknown", "ambiguous") if "because A" in completion else ("correct", None)
    assert judge(completion)[:2] == wanted
    if wanted[0] == "correct":
        assert judge(completion, "D")[:2] == ("wrong", None)


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        ("", "empty"), (" \n", "empty"),
        ("I think it is Rome.", "parse_failure"), ("A long story about Rome", "parse_failure"), ("42", "parse_failure"),
        ("The answer is not B", "parse_failure"), ("The answer is A cat.", "parse_failure"),
        ("<think>the answer is B", "parse_failure"), (r"\boxed{12}", "parse_failure"), (r"\boxed{B", "parse_failure"),
        (r"\boxed{K}", "parse_failure"), ("Between (A) and (B) I cannot say which", "parse_failure"),
        (r"\boxed{B} or \boxed{12}", "parse_failure"),
        ("The answer is A or B", "ambiguous"), ("Answer: (A) and (B)", "ambiguous"), (r"\boxed{A, B}", "ambiguous"),
        ("The answer is A. No, the answer is B.", "ambiguous"), (r"\boxed{A} so \boxed{B}", "ambiguous"),
        ("The answer is A.\n\nB", "ambiguous"), (r"The answer is A, \boxed{B}", "ambiguous"),
        ("Answer: A) or B)", "ambiguous"), ("Choice: A) 5 B) 6 C) 7", "ambiguous"),
        ("Answer: A. 5 B. 6 C. 7", "ambiguous"),
        ("Options\nA) 5\nB) 6", "parse_failure"), ("A) 5 B) 6 C) 7", "parse_failure"),
        ("It follows.\nB. Rome", "parse_failure"),
        ("The answer is a", "parse_failure"), ("Is the answer is A? Hm.", "parse_failure"),
        ("The answer is A. Wait, no.", "parse_failure"), ("The answer is A or maybe B?", "ambiguous"),
        ("The answer is C++", "parse_failure"), ("Answer: A/B", "parse_failure"),
        ("The answer can't be B", "parse_failure"),
    ],
)  # fmt: skip
def test_what_is_no_single_choice(completion: str, reason: str) -> None:
    verdict, why, _ = judge(completion)
    assert (verdict, why) == ("unknown", reason)


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("The answer is Rome.", "correct"), (r"\boxed{\text{Rome}}", "correct"), ("ROME", "correct"),
        ("Answer: B) Rome", "correct"), ("Answer: 12 km", "wrong"), (r"\boxed{12 km}", "wrong"),
        ("Answer: (B) Paris", "ambiguous"), ("the answer is A) rome", "ambiguous"), ("Answer: Berlin", "parse_failure"),
        ("The answer is none of these", "wrong"), ("D", "wrong"),
    ],
)  # fmt: skip
def test_texts_of_the_options_count(completion: str, expected: str) -> None:
    for options in (OPTIONS, dict(zip("ABCD", OPTIONS, strict=True)), {"label": list("ABCD"), "text": OPTIONS}):
        verdict, reason, _ = judge(completion, "B", json.dumps({"options": options}))
        assert (reason or verdict) == expected


def test_gold_is_a_letter_or_a_text() -> None:
    for gold in ("B", "(B)", "b", "Rome", "B) Rome", r"\text{(B)}"):
        assert judge("B", gold, METADATA)[0] == "correct"
    for gold in (None, "", "7", "A or B", "Berlin", "A) Rome"):
        assert judge("B", gold, METADATA)[:2] == ("unknown", "gold_unparsable")


def test_options_may_stand_under_another_name_or_be_rubbish() -> None:
    named = ChoiceVerifier(ChoiceVerifier.Config(options_key="choices"))
    question = Question("r", "p", "rome", "B", json.dumps({"choices": ["A) Paris", "B) Rome"]}))
    assert named.judge([question])[0].verdict == "correct"
    for metadata in ("[]", "7", '{"options": 7}', '{"options": [[1], {}]}', "not json", '{"options": {"Z": 1}}'):
        assert judge("B", "B", metadata)[0] == "correct"


@settings(deadline=None)
@given(st.text(), st.text(), st.text())
def test_any_text_gets_a_storable_judgement(completion: str, gold: str, options: str) -> None:
    for said in ChoiceVerifier().judge(
        [Question("r", "p", completion, gold, options), Question("s", "p", "\ud800", "A")]
    ):
        (said.detail or "").encode("utf-8")
        assert said.reason or said.verdict != "unknown"


def test_time_is_bounded_whatever_the_text_holds() -> None:
    import time

    for text in ("answer is " * 40_000, r"\boxed{" * 40_000, "(A" * 100_000, "\\text{" * 50_000, "$*_" * 90_000 + "B"):
        started = time.process_time()
        judge(text)
        assert time.process_time() - started < 2
