"""Canonical text, exact fractions, size limits, words: each against an oracle of its own."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthflow.verifiers.answers.comparing import rationals
from synthflow.verifiers.answers.comparing.limits import too_large
from synthflow.verifiers.answers.reading.prose import read_gold
from synthflow.verifiers.answers.reading.structure import read
from synthflow.verifiers.answers.reading.text import canonical, to_latex
from synthflow.verifiers.answers.reading.tokens import Unread

ANSWER_CHARS = r"0123456789.,/+-*^!(){}[]\ $%xyabABfrctexovlin_:;=<>&∞π°" + "\x00\ud800\u2212\n"


@given(st.text(alphabet=ANSWER_CHARS, max_size=60))
def test_canonical_is_idempotent_and_storable(text: str) -> None:
    once = canonical(text)
    assert canonical(once) == once
    once.encode("utf-8")


@given(st.text(max_size=60))
def test_nothing_here_fails_on_any_text(text: str) -> None:
    answer = canonical(text)
    to_latex(answer).encode("utf-8")
    too_large(text)
    with contextlib.suppress(Unread):
        read(answer)
    with contextlib.suppress(Unread):
        read_gold(answer)


@given(st.integers(-(10**9), 10**9))
def test_spellings_of_an_integer(n: int) -> None:
    for spelling in (f"{n}", f"{n:,}", f"{n:,}".replace(",", "{,}"), f" ${n}$ ".replace("$", ""), f"{n}.".rstrip("x")):
        assert rationals.parse(canonical(spelling)) == (Fraction(n), False), spelling


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**6), max_value=10**6))
def test_decimals_are_exact(value: Decimal) -> None:
    parsed = rationals.parse(canonical(format(value, "f")))
    assert parsed is not None and parsed[0] == Fraction(value)


@given(st.integers(-999, 999), st.integers(1, 999), st.integers(-999, 999), st.integers(1, 999))
def test_fractions_are_exact(a: int, b: int, c: int, d: int) -> None:
    left, right = f"{a}/{b}", f"\\frac{{{c}}}{{{d}}}"
    assert rationals.decide(left, right) is (Fraction(a, b) == Fraction(c, d))


def test_a_zero_denominator_is_not_decided() -> None:
    assert rationals.parse("1/0") is None
    assert rationals.parse(r"\frac{1}{0}") is None


@pytest.mark.parametrize(
    ("gold", "answer", "said"),
    [("50%", "50", True), ("12.5\\%", "12.5", True), ("50%", "0.5", True), ("0.5", "0.5%", None), ("50%", "5", False),
     ("50%", "50%", True), ("50%", "5%", False), ("x%", "5", None)],
)  # fmt: skip
def test_percent(gold: str, answer: str, said: bool | None) -> None:
    assert rationals.decide_percent(gold, answer) is said


BOMBS = [
    "9^{9^{9^9}}", "9**9**9**9", "10^6!", "10^{9}!", "1000000000!", "(10!)!", r"\binom{10^7}{5}",
    r"\sum_{k=1}^{10^6} \frac{1}{k}", r"\prod_{k=1}^{1000000} k", "3^{10^8}", "3^{100000000}", "(x+1)^{10^5}",
    r"\gcd(10^{10^9},3)", "2^{10^9}", "9" * 301, "1+" * 1001, "(" * 30 + "1" + ")" * 30, r"\frac{" * 40, "7!!!!!!!",
    "9^9^9^9", "((10!)!)!",
    "((2^{9999})^{9999})^{999}", r"10^{10^{10}}", r"e^{10^{10^{10}}}", r"\int_0^{99999} x", "1," * 300,
]  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_refused_from_their_text(bomb: str) -> None:
    assert too_large(canonical(bomb)) is not None


@pytest.mark.parametrize(
    "answer",
    ["2^{2023}", "10^{100}", "100!", "8!", r"\binom{100}{50}", r"\sum_{k=1}^{n} k^2", "e^{x^2}", "x^{y^{z}}",
     r"\frac{1}{2004!}", "3^{10}\\cdot 7^{12}", "9" * 300, r"\int_0^1 x^2", "2^{2^5}", "n!", "(n+1)!",
     r"\sqrt{5+2\sqrt{6}}", "x^{100}-1", "2^{n+1}-2", r"\int_2^{50} x"],
)  # fmt: skip
def test_what_golds_hold_is_let_through(answer: str) -> None:
    assert too_large(canonical(answer)) is None


@given(st.text(alphabet=r"0123456789^!(){}\x+*-", max_size=400))
def test_limits_never_fail(text: str) -> None:
    too_large(text)
