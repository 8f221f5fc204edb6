"""The checker under hostile text: it never raises and its time is bounded."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.demo import check_steps, generate_problems
from synthflow.demo.checker import MAX_STEPS

PROBLEM = next(generate_problems(1, seed=2, split="train", ops=(8,)))
HOSTILE = [
    "9" * 400 + " + 1 = 2",
    "1" * 10_000_000,
    "(" * 400 + "1 = 1",
    "1 + " * 120 + "1 = 2",
    "2 * " * 11 + "2 = 4",
    " = ".join(["1"] * 120),
    "-" * 400 + "1 = 1",
    "1,000,0 = 5",
    "\\boxed{" * 60,
    "\\boxed{" + "9" * 50 + "}",
    "answer is " * 40,
    "٣ + ٤ = ٧",
    "1/0 = 1/0",
    "0 / 0 = 0",
    "\x00\ud800 = 1",
    "__import__('os').system('true') = 1",
    "1e999 = 1e999",
    "5 ** 5 ** 5 ** 5 = 1",
    "99999999999 * 99999999999 = 9",
    "0.000000000001 + 1 = 1",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_hostile_raises_or_takes_long(text: str) -> None:
    began = time.process_time()
    (judged,) = check_steps(PROBLEM.metadata, [text])
    assert judged.verdict in ("wrong", "unjudgeable")
    assert time.process_time() - began < 0.5


def test_many_steps_are_bounded() -> None:
    began = time.process_time()
    judged = check_steps(PROBLEM.metadata, ["1 + 1 + 1 + 1 + 1 + 1 = 6"] * 5000)
    assert len(judged) == 5000
    assert all(j.error_kind == "too_long" for j in judged[MAX_STEPS:])
    assert time.process_time() - began < 10


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.text(alphabet="0123456789+-*/=() .x\\boxed{}\nab,$", max_size=60) | st.text(max_size=40), max_size=6)
)
def test_any_text_gets_one_judgement_a_step(steps: list[str]) -> None:
    judged = check_steps(PROBLEM.metadata, steps)
    assert [j.index for j in judged] == list(range(len(steps)))
    assert all((j.verdict == "right") == (j.error_kind is None) for j in judged)
