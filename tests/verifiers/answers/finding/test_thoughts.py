r"""Only what follows the last closed thought is read, for the markers of every published template."""

from __future__ import annotations

import pytest

from synthflow.verifiers.answers.finding.extract import find
from synthflow.verifiers.answers.finding.thoughts import after_thinking

MARKERS = [
    ("<think>", "</think>"),
    ("<THINK>", "</THINK>"),
    ("<thinking>", "</thinking>"),
    ("<Thought>", "</Thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<scratchpad>", "</scratchpad>"),
    ("<longcat_think>", "</longcat_think>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("[think]", "[/think]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("<|channel|>commentary<|message|>", "<|channel|>FINAL<|message|>"),
    ("Here is my thought process:", "Here is my response:"),
    ("Here are my reasoning steps:\n", "[BEGIN FINAL RESPONSE]\n"),
]


@pytest.mark.parametrize(("opening", "closing"), MARKERS)
def test_a_closed_thought_is_passed_over(opening: str, closing: str) -> None:
    found = find(f"{opening} maybe \\boxed{{15}}, the answer is 15 {closing} The answer is 12.")
    assert (found.text, found.sure) == ("12", True)


@pytest.mark.parametrize(("opening", "closing"), MARKERS)
def test_a_thought_that_never_closes_leaves_no_answer(opening: str, closing: str) -> None:
    found = find(f"{opening} so \\boxed{{15}}")
    assert (found.text, found.note) == ("", "a thought never closes")


@pytest.mark.parametrize(("opening", "closing"), [m for m in MARKERS if not m[0].startswith("Here")])
def test_a_thought_opens_anywhere(opening: str, closing: str) -> None:
    for text in (f"The answer is 15. {opening} hm", f"{opening} a {closing} \\boxed{{15}} {opening} b"):
        found = find(text)
        assert (found.text, found.note) == ("", "a thought never closes")


@pytest.mark.parametrize(
    "opening", ["Here is my thought process:", "Here's my thinking:", "here are my reasoning steps:"]
)
def test_words_that_open_a_thought_do_so_as_the_first_of_a_text(opening: str) -> None:
    for text in (
        f"Good. {opening} 3 and 4 make 7. \\boxed{{7}}",
        f"The sum is 7. {opening}\n3 + 4 = 7\nThe answer is 7.",
    ):
        assert find(text).text == "7"
    for before in ("", "\n", "  ", "**", "## "):
        assert find(f"{before}{opening} 3 and 4 make 7. \\boxed{{7}}").note == "a thought never closes"


@pytest.mark.parametrize(("opening", "closing"), MARKERS)
def test_a_close_without_an_opening_counts(opening: str, closing: str) -> None:
    assert find(f"It is \\boxed{{15}} {closing} The answer is 12.").text == "12"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("no thought at all", "no thought at all"),
        ("<think></think>12", "12"),
        ("<think>The tag </think> ends it. \\boxed{15}</think>12", "12"),
        ("x < 5 and y > 3", "x < 5 and y > 3"),
        ("I was thinking of 5 reasons", "I was thinking of 5 reasons"),
        ("<|begin_of_thought|>5<|end_of_thought|><|begin_of_solution|>12<|end_of_solution|>", " 12 "),
        ("analysisWe try 5.assistantfinal12", "12"),
        ("<answer>I will answer</answer>", "<answer>I will answer</answer>"),
    ],
)
def test_what_is_left(text: str, left: str) -> None:
    assert after_thinking(text) == left


def test_an_answer_tag_in_a_thought_is_none() -> None:
    assert find("<think>I will put <answer>7</answer> at the end.</think><answer>8</answer>").text == "8"
    assert find("<reasoning>..</reasoning><answer>The total is \\boxed{42}</answer>").text == "42"
