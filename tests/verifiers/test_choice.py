"""`choice` takes a letter only where one is given as the answer, and two as none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.choice_cases import GIVES_B, GIVES_NONE, lines
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
    assert judge(completion)[:2] == ("correct", None)
    assert judge(completion, "D")[:2] == ("wrong", None)


@pytest.mark.parametrize(("kind", "block"), GIVES_B.items())
def test_kinds_that_give_a_choice(kind: str, block: str) -> None:
    for completion in lines(block):
        assert judge(completion)[:2] == ("correct", None), (kind, completion)
        assert judge(completion, "D")[0] != "correct", (kind, completion)


@pytest.mark.parametrize(("kind", "block"), GIVES_NONE.items())
def test_kinds_that_give_none(kind: str, block: str) -> None:
    for completion in lines(block):
        assert {judge(completion, letter)[0] for letter in "ABCDI"} == {"unknown"}, (kind, completion)


@pytest.mark.parametrize(
    ("gold", "completion", "verdict"),
    [
        ("A, C", r"\boxed{A, C}", "correct"), ("A, C", "The answers are A and C.", "correct"),
        ("AC", r"\boxed{AC}", "correct"), ("A,C", "Answer: C, A", "correct"), ("A, C", "答案:A、C", "correct"),
        ("ABD", "故选ABD。", "correct"), ("A and C", r"\boxed{A} and \boxed{C}", "correct"),
        ("A;C", "Answer: (A) and (C)", "correct"), ("A, C", "The correct options are A and C.", "correct"),
        ("A, C", "Answer: A", "wrong"), ("A, C", r"\boxed{A, B}", "wrong"), ("A, C", "Answer: A, C, D", "wrong"),
        ("A, C", "Answer: A or C", "unknown"), ("B", "Answer: AB", "unknown"), ("B, A", "Answer: A, B", "unknown"),
        ("B, A", "Answer: B, A", "correct"),
    ],
)  # fmt: skip
def test_several_letters_where_the_gold_answer_has_several(gold: str, completion: str, verdict: str) -> None:
    assert judge(completion, gold)[0] == verdict


@pytest.mark.parametrize(
    ("gold", "completion", "verdict"),
    [
        ("K", "The answer is K.", "correct"), ("K", "Answer: B", "wrong"), ("B", r"\boxed{K}", "unknown"),
        ("ب", "الإجابة: ب", "correct"), ("B", "الإجابة: ب", "correct"), ("Б", "Ответ: Б", "correct"),
        ("В", "Ответ: В", "correct"), ("B", "Ответ: В", "unknown"), ("C", "Ответ: С", "correct"),
        ("ख", "सही उत्तर ख है", "correct"), ("イ", "答えはイです", "correct"), ("ก", "คำตอบคือ ข้อ ก", "correct"),
        ("나", "정답은 나입니다", "correct"),
    ],
)  # fmt: skip
def test_letters_beyond_j_and_of_other_alphabets(gold: str, completion: str, verdict: str) -> None:
    assert judge(completion, gold)[0] == verdict


LISTED = "What is it?\nA) Paris\nB) Rome\nC) 12 km\nD) 1/2"
INLINE = "What is 3+4? (A) 6 (B) 7 (C) 0.5 (D) 9"


@pytest.mark.parametrize(
    ("prompt", "gold", "completion", "verdict"),
    [
        (LISTED, "B", "Rome", "correct"), (LISTED, "B", r"\boxed{\text{Rome}}", "correct"),
        (LISTED, "D", r"So \boxed{0.5}", "correct"), (LISTED, "B", r"\boxed{0.5}", "wrong"),
        (LISTED, "B", "The answer is Rome.", "correct"), (LISTED, "B", "Berlin", "unknown"),
        (LISTED, "B", "Answer: (B) Paris", "unknown"), (LISTED, "B", "Answer: B) Rome", "correct"),
        (INLINE, "B", r"\boxed{7}", "correct"), (INLINE, "C", r"\boxed{\frac12}", "correct"),
        (INLINE, "7", "Answer: B", "correct"), (INLINE, "B", "The answer is 8", "unknown"),
        (INLINE, "A", "The answer is $7$.", "wrong"), ("Is (A) 6 or (C) 7 right?", "A", r"\boxed{6}", "unknown"),
    ],
)  # fmt: skip
def test_texts_of_options_that_the_prompt_lists(prompt: str, gold: str, completion: str, verdict: str) -> None:
    (said,) = ChoiceVerifier().judge([Question("r", "p", completion, gold, "{}", (("user", prompt),))])
    assert said.verdict == verdict


def test_what_was_extracted_and_by_which_rule() -> None:
    for completion, rule in {
        r"\boxed{B}": "box", "<answer>B</answer>": "tag", "Answer: B": "announced", "I choose B.": "picked",
        "So B is the correct answer.": "called_right", "It follows.\n\nB": "last_line", "B\nIt is so.": "first_line",
        "B": "whole",
    }.items():  # fmt: skip
        (said,) = ChoiceVerifier().judge([Question("r", "p", completion, "B")])
        assert (said.rule, said.verdict) == (rule, "correct") and "B" in (said.extracted or "")


@pytest.mark.parametrize(
    "completion",
    [
        "Answer: B\n\nQuestion: what is 3?\nAnswer: C", "The answer is (B).\n\nQ: And 3?\nA: The answer is (C).",
        "B\n\nProblem: next\nC", "So B.\nThe answer is B<|im_end|>\n<|im_start|>user\nAnswer: C",
        "<think>the answer is C</think>Answer: B", "[THINK]Answer: C[/THINK]Answer: B",
        "<reasoning>C?</reasoning>\n(B)", "◁think▷It is C◁/think▷B", "<seed:think>Answer: C</seed:think>B",
    ],
)  # fmt: skip
def test_what_follows_thoughts_and_stands_before_another_turn(completion: str) -> None:
    assert judge(completion)[0] == "correct"
    for opened in ("<think>", "[THINK]", "<Reasoning>", "◁think▷", "<seed:think>"):
        assert judge(f"{opened}Answer: B")[0] == "unknown"


def test_a_run_on_is_told_and_may_be_kept() -> None:
    question = Question("r", "p", "Answer: B\n\nQuestion: what is 3?\n\nAnswer: C", "B")
    assert ChoiceVerifier().judge([question])[0].detail == "B (cut at Question)"
    (kept,) = ChoiceVerifier(ChoiceVerifier.Config(cut_run_on=False)).judge([question])
    assert (kept.verdict, kept.detail) == ("wrong", "C")


def test_a_remark_on_an_option_calls_nothing_wrong() -> None:
    assert judge("So the text says that (C) is right about it.", "B")[:2] == ("unknown", "guessed")


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
        (r"\boxed{A} so \boxed{B}", "ambiguous"),
        ("The answer is A.\n\nB", "ambiguous"), (r"The answer is A, \boxed{B}", "ambiguous"),
        ("Answer: A) or B)", "ambiguous"), ("Choice: A) 5 B) 6 C) 7", "ambiguous"),
        ("Answer: A. 5 B. 6 C. 7", "ambiguous"),
        ("Options\nA) 5\nB) 6", "parse_failure"), ("A) 5 B) 6 C) 7", "ambiguous"),
        ("The answer is a", "parse_failure"), ("Is the answer is A? Hm.", "parse_failure"),
        ("The answer is A. Wait, no.", "parse_failure"), ("The answer is A or maybe B?", "parse_failure"),
        ("The answer is C++", "parse_failure"), ("Answer: A/B", "ambiguous"),
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
