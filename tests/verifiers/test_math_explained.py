"""How `math` explains a verdict: what each rule found, and what both sides are read as."""

from __future__ import annotations

from typing import get_args

import pytest

from synthflow.contracts import Question
from synthflow.verifiers import math_explained
from synthflow.verifiers.answers.reading.readings import Reading
from synthflow.verifiers.math import MathConfig, MathVerifier


@pytest.fixture(scope="module")
def verifier() -> MathVerifier:
    return MathVerifier()


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ("12/24", "12/24: the number 1/2"), ("0.5", "0.5: the number 1/2"), ("7", "7: a number"),
        (r"\sqrt{3}", r"\sqrt{3}: an expression"), ("(1,2]", "(1,2]: an interval"), (r"\{1,2,3\}", "a set of 3"),
        ("x<3", "x<3: a relation"), ("12 km", "an expression with a unit"), ("Tuesday", "Tuesday: words"),
        ("1:2:3", "a ratio"), (r"3 \foo 4", "not read"), ("1" + "+1" * 2000, "4,001 characters"),
    ],
)  # fmt: skip
def test_what_a_text_is_read_as(verifier: MathVerifier, text: str, reading: str) -> None:
    told = dict(verifier.explain(Question("r", "p", r"\boxed{" + text + "}", text)).readings)
    assert reading in told["gold"], told["gold"]
    assert reading in told["answer"], told["answer"]


def test_every_kind_of_reading_has_a_name() -> None:
    assert {kind.__name__ for kind in get_args(Reading)} == set(math_explained._KINDS)


def test_candidates_come_with_their_rules(verifier: MathVerifier) -> None:
    said = verifier.explain(Question("r", "p", r"The answer is 3. So \boxed{4}.", "4"))
    assert said.judgement.verdict == "correct"
    assert [(c.rule, c.text) for c in said.candidates][:2] == [("box", "4"), ("announced", "3")]
    assert all(candidate.sure for candidate in said.candidates[:2])
    nothing = verifier.explain(Question("r", "p", r"so \boxed{4", "4"))
    assert [(c.rule, c.text) for c in nothing.candidates][:1] == [("none", "")]
    assert "never closes" in nothing.candidates[0].note and [of for of, _ in nothing.readings] == ["gold"]


def test_the_configuration_counts() -> None:
    question = Question("r", "p", "The answer is 3.", "3")
    assert MathVerifier().explain(question).candidates[0].rule == "announced"
    boxed = MathVerifier(MathConfig(extract="boxed")).explain(question)
    assert boxed.candidates[0].rule == "none" and boxed.judgement.reason == "parse_failure"
