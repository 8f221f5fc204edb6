r"""The answer is found in one place, whatever surrounds it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.verifiers.answers.finding.extract import boxes, extract, gold_answer

CASES = [
    (r"so \boxed{5}", "5"),
    (r"first \boxed{5}, then \boxed{6}.", "6"),
    (r"\boxed{\frac{1}{2}} and so on 7", r"\frac{1}{2}"),
    (r"\boxed{\{1,2\}}", r"\{1,2\}"),
    (r"\boxed {12}", "12"),
    (r"\fbox{a}", "a"),
    (r"so \boxed{12", None),
    (r"\boxed{\boxed{3}}", "3"),
    (r"\boxed{5} but then cut \boxed{6", None),
    (r"\boxed{}", None),
    (r"So it is \boxed{\frac{5}{}.", None),
    ("1+" * 40_000 + "1", None),
    ("<think>\\boxed{1}</think> \\boxed{2}", "2"),
    ("\\boxed{1}</think> the answer is 2", "2"),
    ("<think> \\boxed{1} and on and on", None),
    ("The answer is 12.", "12"),
    ("The answer is 12. I hope it is correct.", "12"),
    ("the final answer is: $\\frac{1}{2}$.", r"\frac{1}{2}"),
    ("Answer: 3.5 apples", "3.5 apples"),
    ("**Answer:** 7", "7"),
    ("The answer is $x = 5$ or $x = 6$.", "x = 5 or x = 6"),
    ("The answer is 5. No, the answer is 6.", "6"),
    ("Some words.\n#### 1,234", "1,234"),
    ("We get $x=3$ and $y=4$", "x=3, y=4"),
    ("From $x=3$ we get $y=4$", "y=4"),
    (r"\boxed{2} and $\boxed{5}$", "2,5"),
    (r"\boxed{2}. Check: \boxed{5}", "5"),
    ("The answer is .5", ".5"),
    ("La respuesta es 1.234,56.", "1234.56"),
    ("La respuesta es 1.234.", "1.234"),
    ("Die Antwort lautet 2,5.", "2.5"),
    ("The answer is 2,5.", "2,5"),
    ("因此,答案是12。", "12"),
    ("答えは15です。", "15"),
    ("The correct option is (B).", "B"),
    ("The answer is B because 2 < 3.", "B"),
    ("I do not think the answer is 6.", None),
    ("<answer>10</answer> and 11", "10"),
    (r"We get \(x=3\) at last", "x=3"),
    (r"So \[ \frac{1}{2} \] holds", r"\frac{1}{2}"),
    ("She has 3 + 4 = 7 apples, so 12 in all.", "12"),
    ("In all 1,234.5 grams", "1,234.5 grams"),
    ("It is 3/4 full", "3/4"),
    ("nothing here", None),
    ("12 apples\nand no more", "12 apples"),
    ("", None),
]


@pytest.mark.parametrize(("completion", "answer"), CASES)
def test_rules(completion: str, answer: str | None) -> None:
    assert extract(completion) == answer


def test_boxed_only_takes_the_box_alone() -> None:
    assert extract("The answer is 5", "boxed") is None
    assert extract(r"\boxed{5}", "boxed") == "5"


@pytest.mark.parametrize(
    ("gold", "answer"),
    [("5", "5"), ("$5$", "5"), (r"long solution \boxed{5}.", "5"), ("3+4=7\n#### 7", "7"), (r"\$5", r"\$5")],
)
def test_gold_answers(gold: str, answer: str) -> None:
    assert gold_answer(gold) == answer


@given(st.text(alphabet=st.sampled_from(list("\\boxed{}$()[]#answer is:1/2.\n<think>/\x00\ud800")), max_size=200))
def test_never_fails(text: str) -> None:
    found = extract(text)
    assert found is None or (
        (found and found in text.replace("$", " ").replace("\\(", "  ")) or "$" in text or "\\" in text
    )


@given(st.recursive(st.sampled_from(["1", "x", r"\frac", r"\{", r"\}"]), lambda c: st.builds("{{{}{}}}".format, c, c)))
def test_balanced_contents_come_back_whole(content: str) -> None:
    assert boxes(f"a \\boxed{{{content}}} b") == [content]


@pytest.mark.parametrize(
    "text",
    ["\\boxed{" * 300_000, "{" * 2_000_000, "$" * 2_000_001, "answer is " * 200_000, "9" * 3_000_000, "\\(" * 10**6,
     "\\[" * 500_000, "1," * 10**6, "<think>" * 300_000, " " * 5_000_000, "\\boxed{" + "{}" * 10**6,
     "\nQ: a<think>b</think>" * 50_000, "so it is 5 " * 100_000, "\\boxed{1}, " * 100_000, "$1 " * 500_000],
)  # fmt: skip
def test_degenerate_texts_take_linear_time(text: str) -> None:
    started = time.process_time()
    extract(text)
    assert time.process_time() - started < 3


@settings(max_examples=50)
@given(st.text(max_size=500))
def test_a_box_at_the_end_wins(text: str) -> None:
    if "<think>" not in text and "</think>" not in text:
        assert extract(text + " \\boxed{42}") == "42"
