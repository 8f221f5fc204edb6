r"""A base model that asks itself the next question is cut there, and told so."""

from __future__ import annotations

import pytest

from synthflow.verifiers.answers.finding.extract import find
from synthflow.verifiers.answers.finding.turns import first_turn

RUN_ONS = [
    "\n\nQuestion: Bob has 2 pens and buys 3. How many?\nAnswer: \\boxed{5}",
    "\n\nNew Problem: Bob has 2 pens.\nThe answer is 5.",
    "\n\nAnother question: What is 2+3?\nAnswer: \\boxed{5}",
    "\n> Instruction: Add 2 and 3.\n\\boxed{5}",
    "\n\nStudent: and 2+3?\nThe answer is 5.",
    "\n \t # Question 2\nFind 2+3.\nThe answer is 5.",
    "\n\nQ: What is 2+3?\nA: 5",
    "\n\nProblem: Bob has 2 pens.\nSolution: The answer is 5.",
    "\n\n### Question: Bob has 2 pens.\n#### 5",
    "\n\n**Problem 2:** Bob has 2 pens.\n\\boxed{5}",
    "\n\n### Question 2\nWhat is 2+3?\n### Answer\n5",
    "\n\nProblem 2. Find 2+3.\n\n\\boxed{5}",
    "\n\nExercise 12)\nFind 2+3.\n\n\\boxed{5}",
    "\n\n**Problem 3**\nFind 2+3.\nThe answer is 5.",
    "\n## Question #4\nFind 2+3.\nThe answer is 5.",
    "\n\nNext question: What is 2+3?\nThe answer is 5.",
    "\n\nUser: and 2+3?\nAssistant: The answer is 5.",
    "\n\n**Exercise**\nFind 2+3.\n\\boxed{5}",
    "\n\nFrage: Was ist 2+3?\nAntwort: \\boxed{5}",
    "\n\nQ: 2+3?\nThe answer is 5.",
    "\n\nHuman: 2+3?\n\\boxed{5}",
    "\nHuman: and 2+3?\n\nAssistant: 5",
    "<|im_end|>\n<|im_start|>user\nNext?<|im_end|>\n<|im_start|>assistant\n\\boxed{5}",
    "<|eot_id|><|start_header_id|>user<|end_header_id|>2+3<|eot_id|>The answer is 5.",
    "</s>[INST] 2+3 [/INST] The answer is 5.",
    "<end_of_turn>\n<start_of_turn>user\n2+3\n<start_of_turn>model\n\\boxed{5}",
    "<|endoftext|>The answer is 5.",
    "<|end|><|user|>2+3<|end|><|assistant|>\\boxed{5}",
    "<｜end▁of▁sentence｜><｜User｜>2+3<｜Assistant｜>\\boxed{5}",
    "\n\nQ: 2+3?\nA: <think>easy</think> \\boxed{5}",
    "\n\n---\n\nExample 2\nFind 2+3.\nThe answer is 5.",
    "\n\nQ2. Find 2+3.\n\nThe answer is 5.",
    "\n\n## Problem\nFind 2+3.\nThe answer is 5.",
    "\n\n### Question\nFind 2+3.\n### Answer\n5",
    "\n\n**Exercise**\nFind 2+3.\nThe answer is 5.",
    "\n\nPregunta: ¿Cuánto es 2+3?\nRespuesta: 5",
    "\n\nFrage: Was ist 2+3?\nAntwort: 5",
    "\n\nAufgabe 2: Was ist 2+3?\n#### 5",
    "\n\nDomanda: Quanto fa 2+3?\nRisposta: 5",
    "\n\nPergunta: Quanto é 2+3?\nResposta: 5",
    "\n\nВопрос: 2+3?\nОтвет: 5",
    "\n\nЗадача 2: 2+3?\nОтвет: 5",
    "\n\n问题：2+3等于多少？\n答案：5",
    "\n\n問題2：2+3は？\n答え：5",
    "\n\n문제: 2+3은?\n정답: 5",
    "\n\n질문: 2+3은?\n정답: 5",
]
ANSWERS = ["\\boxed{18}", "So 9 * 2 = 18.\n#### 18", "The answer is 18.", "<think>is it 5?</think>\n\n**Answer:** 18"]


@pytest.mark.parametrize("run_on", RUN_ONS)
@pytest.mark.parametrize("answer", ANSWERS)
def test_what_follows_is_cut_and_told(answer: str, run_on: str) -> None:
    found = find(answer + run_on)
    assert found.text == "18"
    assert found.note.startswith("cut at ")


@pytest.mark.parametrize("run_on", [run_on for run_on in RUN_ONS if "box" in run_on])
def test_a_field_turns_it_off(run_on: str) -> None:
    assert find("\\boxed{18}" + run_on, cut=False).text == "5"


@pytest.mark.parametrize(
    "text",
    [
        "Question: What is 9*2?\nAnswer: 18",
        "Problem: What is 9*2?\n\nSolution: We multiply.\nThe answer is 18.",
        "<|im_start|>assistant\n\\boxed{18}",
        "<s>The answer is 18.",
        "<think>\nProblem: 9*2.\nQuestion: is it 18?\n</think>\nThe answer is 18.",
        "The question: how many? The answer is 18.",
        "Let x be the number.\nThe problem asks for 2x.\nThe answer is 18.",
        "Question 1: 9 is odd.\n\nQuestion 2: The answer is 18.",
        "Both.\n\n### Problem 1\nThe answer is 7.\n\n### Problem 2\nThe answer is 18.",
        "Both.\n\nExample 1\nThe answer is 7.\n\nExample 2\nThe answer is 18.",
        "It is restated.\n\n## Problem\nFind 9*2.\n\nThe answer is 18.",
        "See below.\n\nExample 2\nFind 9*2.\n\nThe answer is 18.",
        "The answer is 18.\n\nProblem 2 was harder.",
    ],
)
def test_a_text_with_its_own_question_is_left_whole(text: str) -> None:
    assert first_turn(text).cut == ""
    assert find(text).text == "18"


def test_nothing_is_left_of_a_text_that_only_asks() -> None:
    assert first_turn("\n\nQuestion: 2+3?").text == "\n\nQuestion: 2+3?"
