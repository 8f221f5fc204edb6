"""The exact path on cases worked out by hand, and what it must leave alone."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthflow.verifiers.answers.comparing.exact_math import decide
from synthflow.verifiers.answers.comparing.expressions import read
from synthflow.verifiers.answers.comparing.normal_form import normal_form, same
from synthflow.verifiers.answers.comparing.probing import ball


def test_a_surd_worked_out_by_hand() -> None:
    """sqrt(8/3): exponents 3/2 of 2 and -1/2 of 3, hence 2 * 1/3 * sqrt(2) * sqrt(3)."""
    form = normal_form(read(r"\sqrt{\frac{8}{3}}"))
    half = Fraction(1, 2)
    assert form.top == {(("#2", half), ("#3", half)): Fraction(2, 3)}


@pytest.mark.parametrize(
    ("gold", "answer", "said"),
    [
        (r"\frac{1}{2-\sqrt{3}}", r"2+\sqrt{3}", True),
        (r"\sqrt{2}+\sqrt{3}", r"\sqrt{5}", False),
        ("(1+i)^2", "2i", True),
        (r"\frac{x^2-1}{x-1}", "x+1", True),
        (r"\sin(x)", r"\sin(2x)", False),
        (r"\{1,2\}", r"\{2,1\}", True),
        ("(1,2)", "(2,1)", False),
        ("[0,1)", "[0,1]", False),
        ("x>3", r"x\ge 3", False),
        ("3<x", "x>3", True),
        (r"2\frac{4}{3}", r"\frac{10}{3}", None),
        ("x^12", "x^{12}", None),
        ("1/2x", r"\frac{x}{2}", None),
        ("f(x)", "fx", None),
        ("R-r", "r-R", None),
        (r"\sqrt{x^2}", "x", None),
        (r"\pi+e", "5.859874", None),
        ("1/3x", "1", None),
    ],
)
def test_decided_or_left_alone(gold: str, answer: str, said: bool | None) -> None:
    assert decide(gold, answer) is said


@given(st.integers(-9, 9), st.integers(1, 9), st.integers(2, 50), st.integers(1, 9))
def test_normal_forms_of_equal_surds_are_equal(a: int, b: int, c: int, d: int) -> None:
    left = normal_form(read(rf"\frac{{{a}+{b}\sqrt{{{c}}}}}{{{d}}}"))
    right = normal_form(read(rf"\frac{{{a}}}{{{d}}}+\sqrt{{\frac{{{b * b * c}}}{{{d * d}}}}}"))
    assert same(left, right) is True


@given(st.floats(0.1, 5))
def test_the_true_value_is_within_the_ball(x: float) -> None:
    value, error = ball(read(r"\frac{\sin(x)+\ln(x)}{x^3}"), {"x": x})
    assert abs(value - (math.sin(x) + math.log(x)) / x**3) <= error
