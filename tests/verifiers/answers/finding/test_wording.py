r"""Gold answers that are words are looked for as words, and what is bare is read whole."""

from __future__ import annotations

import pytest

from synthflow.verifiers.answers.finding.extract import find
from synthflow.verifiers.answers.finding.wording import is_wording


@pytest.mark.parametrize(
    "gold", ["Yes", "No", "No such values", "Monotonically increasing", "\\text{odd}", "an ellipse", "Bob"]
)
def test_words(gold: str) -> None:
    assert is_wording(gold)


@pytest.mark.parametrize(
    "gold", ["5", "x", "x = y", "sin", "\\pi", "oo", "A", "5 apples", "2 inequalities", "", "(a, b)"]
)
def test_no_words(gold: str) -> None:
    assert not is_wording(gold)


@pytest.mark.parametrize(
    ("text", "gold", "answer"),
    [
        ("Yes, 2n is always a sum of 2 squares.", "Yes", "yes"),
        ("Yes.", "Yes", "Yes"),
        ("Yes, there are no fewer than 5.", "Yes", "yes"),
        ("We add 3 and 5.\n\nSo yes, it is.", "Yes", "yes"),
        ("**No**, since 5 is odd.", "No", "no"),
        ("Therefore, the answer is no, it is not possible.", "No", "no"),
        ("Hence it is impossible to colour the 5 squares.", "No", "no"),
        ("So there is no such polynomial of degree 3.", "No", "no"),
        ("Therefore, 385^1980 + 18^1980 is not a perfect square.", "No", "no"),
        ("So 2n is always a sum of 2 squares.", "Yes", "yes"),
        ("Therefore, there are no integer solutions to x^2 = 3.", "No integer solutions", "No integer solutions"),
        ("Thus there are no values of n > 11.", "No such values", "No such values"),
        (
            "So the sequence a_n/b_n is monotonically increasing.",
            "Monotonically increasing",
            "Monotonically increasing",
        ),
        ("Therefore, the limit does not exist.", "The limit does not exist", "The limit does not exist"),
        ("The curve $x^2+2y^2=1$ is an ellipse.", "an ellipse", "an ellipse"),
        ("So she arrives on Tuesday.", "Tuesday", "Tuesday"),
        ("So the statement is false.", "False", "no"),
        ("The claim is **true**.", "True", "yes"),
        (
            "Hence there are no integer solutions for the given equation.",
            "No integer solutions",
            "No integer solutions",
        ),
        ("The winner is Bob, with 5 points.", "Bob", "Bob"),
    ],
)
def test_the_words_are_found(text: str, gold: str, answer: str) -> None:
    assert find(text, gold=gold).text == answer


@pytest.mark.parametrize(
    ("text", "gold"),
    [
        ("No, 5 is odd.\n\nTherefore, yes, it is possible.", "Yes"),
        ("It is possible that x is 5.", "Yes"),
        ("If it is possible, then x is 5.", "Yes"),
        ("She did not arrive on Tuesday.", "Tuesday"),
        ("The sequence is not monotonically increasing.", "Monotonically increasing"),
        ("It is not the case that no such number exists.", "No"),
        ("It is not true that there are no such integers.", "No"),
        ("It is false that there is no solution.", "No"),
        ("The claim that it is not possible is wrong.", "No"),
        ("It is not true that it is possible.", "Yes"),
        ("The statement is not false.", "No"),
        ("So the claim is not true.", "Yes"),
        ("The statement is true only for n = 2.", "Yes"),
        ("It is false that n is odd.", "odd"),
        ("So n is even or odd.", "odd"),
        ("So n is even or odd.", "even"),
        ("The only solution is x = 3; there are no other solutions.", "No solutions"),
        ("Hence there are no more solutions.", "No solutions"),
        ("Thus there are no solutions in Case 3.", "No integer solutions"),
        ("So there are no integer solutions when z > 2.", "No integer solutions"),
        ("There are no solutions for z > 2.\nSo the only integer solutions are 2k and 2.", "No integer solutions"),
        ("There are no solutions.\nMore may be needed to find all integer solutions.", "No integer solutions"),
        ("The total is 36.", "No"),
        ("There are no more than 5 of them.", "Yes"),
        ("There are no more than 5 of them.", "No"),
        ("There is no need to go on.", "No"),
        ("Bobby wins.", "Bob"),
        ("Perhaps Bob wins.", "Bob"),
        ("Bob is first.\n\n" + "Then 5 more come.\n" * 5, "Bob"),
    ],
)
def test_the_words_are_not_said(text: str, gold: str) -> None:
    assert find(text, gold=gold).text.lower() != gold.lower()


BARE = [
    "12", "-12", "3/4", "1,234.5", "x^2+1", "(2, 3)", "[3, 7)", "x = 12", "12 cm", "12 square meters",
    "2\\sqrt{3}", "50%", "x < 5", "\\{1,2\\}", "3 or 5", "n/(n-1)", "a(1±sqrt(2))", "2:3", "8:45 pm",
    "18 February 2027", "\\frac{1}{2}", "∞",
]  # fmt: skip


@pytest.mark.parametrize("answer", BARE)
@pytest.mark.parametrize("frame", ["{}", "**{}**", "`{}`", "{}.", "```\n{}\n```", " {}\n"])
def test_a_bare_answer_is_read_whole(answer: str, frame: str) -> None:
    found = find(frame.format(answer))
    assert (found.text.removeprefix("x = "), found.rule, found.sure) == (answer.removeprefix("x = "), "whole", True)


@pytest.mark.parametrize(
    "gold", ["The limit exists and is equal to 3", "2 inequalities", "Exactly one", "1 and 19", "No"]
)
def test_what_says_the_gold_answer_is_it(gold: str) -> None:
    assert find(gold, gold=gold) == (gold, "whole", True, "")
    assert find(f"**{gold}.**", gold=gold).text == gold


@pytest.mark.parametrize(
    "text", ["I give up", "12\n13", "So it is 12", "Step 12: add", "x is 12", "12?", "...", "", "Bob", "a or b?"]
)
def test_prose_is_not_bare(text: str) -> None:
    assert find(text, gold="7").rule != "whole"


def test_a_field_turns_it_off() -> None:
    assert find("x^2+1", bare=False).rule != "whole"
    assert find("All of this", "whole") == ("All of this", "whole", True, "")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("\\boxed{4} and \\boxed{-3}", "4,-3"),
        ("$\\boxed{3} \\text{ or } \\boxed{-2}$", "3,-2"),
        ("\\[ \\boxed{3} \\quad \\text{and} \\quad \\boxed{2} \\]", "3,2"),
        ("(a) \\boxed{3}\n\n(b) \\boxed{5}\n\n(c) \\boxed{7}", "3,5,7"),
        ("1. $\\boxed{(1,2)}$\n2. $\\boxed{(3,4)}$", "(1,2),(3,4)"),
        ("Part (a): \\boxed{3}\nPart (b): \\boxed{5}", "3,5"),
        ("\\boxed 5", "5"),
        ("so $\\boxed 12$.", "12"),
        ("I get \\boxed{12}, as asked in \\boxed{}.", "12"),
        ("First \\boxed{12}. But finally \\boxed{15", ""),
        ("\\boxed{12}. But finally \\boxed{", ""),
        ("\\boxed{?}", ""),
        ("\\boxed{...}", ""),
        ("\\boxed{12} is not right.", ""),
        ("\\boxed{12}. Wait, that is not what was asked.", ""),
        ("<answer>x < 5</answer>", "x < 5"),
        ("<answer>12</answer> no wait <answer>15", ""),
        ("<answer></answer>", ""),
        ("<answer>\n12\n</answer>", "12"),
        ("\\boxed{5} was first, <answer>12</answer>", "12"),
        ("<|begin_of_box|>12<|end_of_box|>", "12"),
    ],
)
def test_boxes_and_tags(text: str, answer: str) -> None:
    assert find(text).text == answer
