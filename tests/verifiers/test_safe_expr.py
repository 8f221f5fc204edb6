"""Values and expressions are built, never evaluated."""

from __future__ import annotations

import ast
import math

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy.parsing.sympy_parser import parse_expr

from synthflow.verifiers import safe_expr

ATTACKS = [
    "__import__('os').system('true')", "().__class__.__bases__[0].__subclasses__()", "open('/etc/passwd').read()",
    "exec('1')", "(lambda: 1)()", "[x for x in (1,)]", "x.func", "f'{1}'", "print(1)", "globals()", "x[0]",
    "1 if x else 2",
    "sqrt.__globals__", "Symbol('x')", "sqrt(x, evaluate=False)", "(y := 1)", "await x", "9**9**9**9", "1 << 10**9",
]  # fmt: skip


@pytest.mark.parametrize("text", ATTACKS)
def test_attacks_are_neither_values_nor_expressions(text: str) -> None:
    for build in (safe_expr.value, safe_expr.expression):
        with pytest.raises((ValueError, SyntaxError)):
            build(text)


@pytest.mark.parametrize(
    "text", ["x**2 + 3*x - 1", "sin(2*x)/4 - x*cos(2*x)/2 + C", "-(3 + 4)*7/2", "2.5*y", "exp(-x)*log(x)", "sqrt(2)*pi"]
)
def test_expressions_are_sympys(text: str) -> None:
    x = sympy.Symbol("x", real=True)
    names = {"x": x, "C": sympy.Symbol("C")}
    assert safe_expr.expression(text, local_dict=names) == parse_expr(text, local_dict=names)


LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(deadline=None)
@given(LITERALS)
def test_values_are_those_of_eval(value: object) -> None:
    text = repr(value)
    if "\x00" not in text:
        assert safe_expr.value(text) == ast.literal_eval(text) == value


def test_arithmetic_by_hand() -> None:
    assert safe_expr.value("(0x1F & 0b101) << 2") == 20
    assert safe_expr.value("7 // 2 - -3 % 2 + ~4") == 3 - 1 - 5
    assert math.isclose(safe_expr.value("1 / 3"), 1 / 3)
    with pytest.raises(ValueError, match="bits"):
        safe_expr.value("2 ** 20000")


@settings(deadline=None)
@given(st.text(alphabet="x1+-*/().,'\"[]{}= \n_ab", max_size=40))
def test_any_text_is_built_or_refused(text: str) -> None:
    for build in (safe_expr.value, safe_expr.expression):
        try:
            build(text)
        except (ValueError, SyntaxError, TypeError, ZeroDivisionError, OverflowError, RecursionError, MemoryError):
            continue
