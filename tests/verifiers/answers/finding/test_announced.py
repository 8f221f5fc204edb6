r"""Announced answers in their many wordings, and what is no announcement."""

from __future__ import annotations

import pytest

from synthflow.verifiers.answers.finding.extract import find

SEVENTY_TWO = [
    "The answer is 72.", "The answer is 72, altogether.", "The answer is 72, in total.",
    "The answer is 72, as required.", "The answer is 72, so Bob wins.", "The answer is 72, or six dozen.",
    "The answer is 72 since 8*9 = 72.", "The answer is 72 because x > 3.", "The answer is 8*9 = 72.",
    "The answer is thus 72.", "The answer is therefore 72.", "The answer is indeed 72.", "The answer is simply 72.",
    "The answer is exactly 72.", "The answer, therefore, is 72.", "The answer would be 72.", "The answer must be 72.",
    "The answer should be 72.", "The answer comes out to be 72.", "The answer equals 72.", "The answer becomes 72.",
    "The answer, 72, follows.", "The final answer is: $72$.", 'The answer to the question "Is 5 the answer?" is 72.',
    "The answer to part (b) is 72.", "The answer (in cents) is 72.", "The answer in simplest form is 72.",
    "Our answer is 72.", "Hence, the required answer is \\(72\\).", "I think the answer is 72.",
    "I am sure that the answer is 72.", "So the answer: 72", "Answer = 72", "Answer: 72", "Answer → 72", "ANSWER: 72",
    "**Answer: 72**", "**Answer:** 72", "**Answer**: 72", "✅ Final Answer: **72**", "The answer is ***72***.",
    "**The answer is:**\n\n**72**", "Final answer\n72", "### Final Answer\n\n72", "## Answer\n\n$$72$$",
    "Final Answer:\n\n\\[ 72 \\]", "Final answer:\n- 72", "Answer:\n* **72**", "Answer:\n\n> 72", "A: 72", "Ans: 72",
    "####72", "#### 72", "#### $72", "#### 72\n", '{"answer": 72}', '```json\n{"answer": "72"}\n```',
    "Answer: 72 (since 70 + 2 = 72)", "Answer: 72 ✔", "The final answer is 72. I hope it is correct.",
    "Step: Answer: 5\nthen more\nAnswer: 72", "答案是72。", "La respuesta es 72.", "Ответ: 72.",
    "Check: 12 + 60 = 72.\n\nThe number of boats is **72**.\n\n---\n\n✅ Final Answer: **72**",
    "Answer: 72\n\n---\n\nLet me know if you have 2 more questions!",
    "The answer is 72\n\nNote: this assumes 2 days.", "The answer is 72...",
]  # fmt: skip
CONDITIONS = [
    "If 6 of 78 seeds fail then 78-6 = 72 grow\n#### 72", "If 6 of 78 seeds fail then 72 grow\nThe answer is 72",
    "If x = 72 the equation holds, hence the final answer is 72.", "As 6 do not grow, the answer is 72.",
    "We do not need the second fact. Therefore the answer is 72.", "Since 6 is not prime, the answer is 72.",
    "Unless it rains, 72 grow. The answer is 72", "Suppose 6 fail, then 72 grow\n#### 72",
    "- If 6 fail, 72 grow\n- Answer: 72", "Whether or not it rains, the answer is 72.",
    "If we only consider positive values, the answer is 72.", "Assuming 6 of them fail, the answer is 72.",
    "He does not have 30, he has 72\nFinal answer: 72",
]  # fmt: skip

NO_ANSWER = [
    "The answer is", "The answer is:", "12 it is. The final answer:", "**Answer:**", "Answer:\n\n", "The answer is $",
    "I do not think the answer is 12.", "I don't believe that the answer is 12.", "The answer is not 12.",
    "The answer isn't 12.", "The answer cannot be 12.", "The answer could be 12.", "The answer might be 12.",
    "Maybe the answer is 12.", "Perhaps the answer is 12.", "Suppose the answer is 12.", "Is the answer 12?",
    "I doubt that the answer is 12.", "The answer is 12. Wait, that is wrong. Correct answer:", "It could be 12.",
    "The answer is 12. Wait, no.", "The answer is 12. Oops, I made a mistake.", "I am not sure. It might be 12.",
    "The answer is 12, but that is incorrect.", "12 is the wrong answer",
    "I first thought $x=12$ but then I got stuck.", "I do not know the answer. It could be 12.", "{\"answer\": }",
]  # fmt: skip

DENIED = [
    "La respuesta no es 12.", "La réponse n'est pas 12.", "Die Antwort ist nicht 12.", "La risposta non è 12.",
    "A resposta não é 12.", "Ответ не 12.", "Ответ не равен 12.", "Odpowiedź to nie 12.", "Cevap 12 değil.",
    "Đáp án không phải là 12.", "答案不是12。", "答案并非12。", "答えは12ではありません。", "答えは12ではない。",
    "정답은 12가 아닙니다.", "الجواب ليس 12.", "उत्तर 12 नहीं है।", "Het antwoord is niet 12.",
    "Die Summe ist nicht gleich 12.",
    "Сумма не равна 12.", "和不是12。", "Toplam 12 değil.", "合計は12ではない。", "The total isn't 12.",
    "So x is not equal to 12.", "So x cannot be 12.", "The sum is never exactly 12.", "The sum is anything but 12.",
    "It is no longer 12.", "It is hardly 12.", "It is scarcely 12.", "It is barely 12.", "Nobody got 12.",
    "No one got 12.", "We exclude 12.", "We reject 12.", "We discard x = 12.", "We eliminate 12.", "We ignore 12.",
    "This rules out $x = 12$.", "12 is not the answer.", "So 12 does not work.", "But 12 isn't enough.",
    "So x = 12 cannot be.", "But 12 won't do.", "So 12 is excluded.", "So 12 is impossible.", "So 12 was ruled out.",
    "So 12 is too large.",
]  # fmt: skip
AFFIRMED = [
    "La respuesta es 12, no 13.", "Die Antwort ist 12, nicht 13.", "A resposta é 12.", "Die Antwort lautet 12.",
    "No es 13; la respuesta es 12.", "Cevap: 12", "Đáp án là 12.", "正解は12です。", "정답은 12입니다.",
]  # fmt: skip


@pytest.mark.parametrize("text", SEVENTY_TWO + CONDITIONS)
def test_the_answer_is_72(text: str) -> None:
    found = find("We try 7 first: $3 \\cdot 7 = 21$ is too much.\n\n" + text, gold="72")
    assert found.text.lstrip("$").removesuffix("!") in ("72", "72 ✔"), found


@pytest.mark.parametrize("text", SEVENTY_TWO[:5] + CONDITIONS)
def test_announcements_are_sure(text: str) -> None:
    assert find(text, gold="72").sure


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is 72 km.", "72 km"),
        ("The answer is 16 students who do not wear glasses.", "16 students"),
        ("The answer is $x = 5$ or $x = 6$.", "x = 5 or x = 6"),
        ("The answers are 3 and 4.", "3, 4"),
        ("Final Answer:\n1. x = 3\n2. y = 4", "x = 3, y = 4"),
        ("The answer is (2, 3).", "(2, 3)"),
        ("The answer is [3, 7).", "[3, 7)"),
        ("The answer is 18 February 2027.", "18 February 2027"),
        ("The answer is 90 days, 19:40:00.", "90 days, 19:40:00"),
        ("The answer is 13 remainder 2.", "13 remainder 2"),
        ("The answer is 3x + 7y = 11.", "3x + 7y = 11"),
        ("The answer is x < 5 or x > 7.", "x < 5 or x > 7"),
        ("The answer is 7!.", "7!"),
        ("The answer is no, it is not possible.", "no"),
        ("The answer is no solution.", "no solution"),
        ("The answer is an ellipse.", "an ellipse"),
        ("Final Answer: The largest value of $n$ is $34$.", "34"),
        ("The answer is $18 for 3, and the total is $54.", "$18"),
        ("The answer is 25% of 80.", "25% of 80"),
        ("The answer is 3 out of 7.", "3 out of 7"),
        ("The answer is between 41 and 43.", "between 41 and 43"),
        ("The answer is at least 5.", "at least 5"),
        ("The answer is 15 at most.", "15 at most"),
        ("The answer is 1 hour and a half.", "1 hour and a half"),
        ("The answer is 2 and 1/2.", "2 and 1/2"),
        ("The answer is 3 per 5.", "3 per 5"),
        ("Answer: 3 for every 5", "3 for every 5"),
        ("The answer is 3 in 5.", "3 in 5"),
        ("The answer is therefore x=0, y=2 and x=9, y=11.", "(x=0, y=2), (x=9, y=11)"),
        ("The answer is $\\begin{pmatrix}1&2\\\\\n3&4\\end{pmatrix}$.", "\\begin{pmatrix}1&2\\\\\n3&4\\end{pmatrix}"),
    ],
)
def test_the_answer_is_whole(text: str, answer: str) -> None:
    assert find(text).text == answer


@pytest.mark.parametrize("text", NO_ANSWER + DENIED)
def test_no_answer_is_announced(text: str) -> None:
    found = find(text, gold="12")
    assert found.text != "12", found


@pytest.mark.parametrize("text", AFFIRMED)
def test_an_answer_in_another_language_is_read(text: str) -> None:
    found = find(text, gold="12")
    assert (found.text, found.sure) == ("12", True)


@pytest.mark.parametrize(
    "duration",
    [
        "6 hours and 10 minutes",
        "6 hours 10 minutes",
        "6 hours, 10 minutes and 5 seconds",
        "5 feet 10 inches",
        "3 dollars and 20 cents",
    ],
)
@pytest.mark.parametrize(
    "frame", ["The answer is {}.", "#### {}", "### Final Answer\n\n{}", "In total, that makes {}.", "So it is {}."]
)
def test_a_measurement_in_two_units_is_one_answer(frame: str, duration: str) -> None:
    said = find(frame.format(duration), gold="6 hours").text
    assert said.replace(" and", "").replace(",", "") == duration.replace(" and", "").replace(",", "")


@pytest.mark.parametrize(
    "text",
    ["The answer is 5 apples and 3 pears.", "Answer: 5 dollars and 2 apples", "So the answer is 5 km and 3 hours."],
)
def test_two_amounts_are_not_the_first_of_them(text: str) -> None:
    assert find(text, gold="5").text.split() not in (["5"], ["5", "apples"], ["5", "dollars"], ["5", "km"])


@pytest.mark.parametrize(
    "text", ["The answer is $9.404040...$.", "The answer is 9.404040....", "The answer is 9.404040.... I hope so."]
)
def test_an_ellipsis_belongs_to_its_decimals(text: str) -> None:
    assert find(text, gold="9.404040").text == "9.404040..."


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("I first thought it was 34, but the answer is 35.", "35"),
        ("The answer is 34. No, the answer is 35.", "35"),
        ("Is the answer 34? No. The answer is 35.", "35"),
        ("If the answer is 34, then x is 3. But the answer is 35.", "35"),
        ("\\boxed{34} is not right. The correct answer is 35.", "35"),
        ("\\boxed{34}. Wait, that was wrong. The answer is 35.", "35"),
        ("\\boxed{34} is wrong; correcting: \\boxed{35}", "35"),
        ("<answer>34</answer> no, <answer>35</answer>", "35"),
    ],
)
def test_the_last_word_counts(text: str, answer: str) -> None:
    assert find(text).text == answer


@pytest.mark.parametrize(
    "heading", ["#### Step 3: add", "#### 3. Add them", "#### Case 1", "#### Solution", "#### 2 Add Them all"]
)
def test_a_heading_is_no_answer(heading: str) -> None:
    assert find(f"{heading}\n12 + 24 = 36", gold="36").text == "36"
