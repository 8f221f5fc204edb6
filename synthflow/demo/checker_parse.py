"""Reads equations and boxed answers out of one line of hostile text.

Invariant: time and memory are bounded by constants whatever comes in (lines of at most MAX_LINE characters,
numbers of at most MAX_DIGITS digits, MAX_TOKENS tokens, nesting of MAX_DEPTH), nothing is evaluated as code,
and what cannot be read is reported as unreadable instead of being guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction

MAX_LINE, MAX_DIGITS, MAX_TOKENS, MAX_DEPTH, MAX_OPERANDS = 500, 12, 96, 6, 12

_TOKEN = re.compile(
    r"(?P<num>[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+(?:\.[0-9]+)?)|(?P<op>[-+*/×÷−=()])|(?P<word>[^\W\d_]+)"
    r"|(?P<space>[ \t$]+)|(?P<other>.|\n)"
)
_BOXED = re.compile(r"\\boxed\s{0,3}\{([^{}]{0,60})\}")
_SPOKEN = re.compile(r"\banswer is:?\s{0,3}\$?(-?[0-9][0-9,]{0,20}(?:\.[0-9]+)?)", re.IGNORECASE)
_NUMBER = re.compile(r"-?[0-9][0-9,]*(?:\.[0-9]+)?")
_SAME = {"×": "*", "÷": "/", "−": "-"}


@dataclass(frozen=True, slots=True)
class Expr:
    """An arithmetic expression: a leaf (op "") with a value, or a binary operation."""

    value: Fraction | None  # None: undefined (division by zero) or not readable as a number
    op: str = ""
    left: Expr | None = None
    right: Expr | None = None

    def leaves(self) -> list[Expr]:
        if self.left is None or self.right is None:
            return [self]
        return self.left.leaves() + self.right.leaves()


@dataclass(frozen=True, slots=True)
class Equation:
    """`expr = result`; `consistent` is false when a middle part of a chain of equals differs."""

    expr: Expr
    result: Fraction
    consistent: bool = True


@dataclass(slots=True)
class Line:
    """What a line says. malformed: it tries to state an equation or an answer that cannot be read."""

    equations: list[Equation] = field(default_factory=list)
    has_answer: bool = False
    answer: Fraction | None = None
    malformed: bool = False
    words: int = 0


def to_number(text: str) -> Fraction | None:
    """A plain decimal number of at most MAX_DIGITS digits, else None."""
    text = text.strip().replace("$", "")
    if not _NUMBER.fullmatch(text) or sum(ch.isdigit() for ch in text) > MAX_DIGITS:
        return None
    return Fraction(text.replace(",", ""))


def read_line(text: str) -> Line:
    """Reads one line of at most MAX_LINE characters (the caller refuses longer ones)."""
    line = Line()
    text = text[:MAX_LINE]
    boxed = _BOXED.findall(text)
    if boxed:
        line.has_answer, line.answer = True, to_number(boxed[-1])
        text = _BOXED.sub(" ; ", text)
    elif "\\boxed" in text:
        line.has_answer = True
    elif spoken := _SPOKEN.search(text):
        line.has_answer, line.answer = True, to_number(spoken.group(1))
    tokens = [(str(m.lastgroup), m.group()) for m in _TOKEN.finditer(text) if m.lastgroup != "space"]
    line.words = sum(kind == "word" and len(word) > 1 for kind, word in tokens)
    for run in _runs(tokens):
        if "=" not in run:
            continue
        equation = _equation(run)
        if equation is None:
            line.malformed = True
        else:
            line.equations.append(equation)
    return line


def _runs(tokens: list[tuple[str, str]]) -> list[list[str]]:
    """Longest stretches of numbers and operators; a unit between a number and an operator is dropped."""
    runs: list[list[str]] = [[]]
    for i, (kind, text) in enumerate(tokens):
        if kind == "num":
            runs[-1].append(text)
        elif kind == "op":
            runs[-1].append(_SAME.get(text, text))
        elif kind == "word" and i and tokens[i - 1][0] == "num" and i + 1 < len(tokens):
            if text.lower() == "x" and tokens[i + 1][0] == "num":
                runs[-1].append("*")
            elif tokens[i + 1][0] != "op":
                runs.append([])
        else:
            runs.append([])
    return [run for run in runs if run]


def _equation(run: list[str]) -> Equation | None:
    parts: list[list[str]] = [[]]
    for token in run[: MAX_TOKENS + 1]:
        if token == "=":
            parts.append([])
        else:
            parts[-1].append(token)
    if len(run) > MAX_TOKENS or len(parts) > 4:
        return None
    exprs = [_parse(part) for part in parts]
    read = [e for e in exprs if e is not None]
    if len(read) != len(exprs):
        return None
    if not read[0].op and read[-1].op:
        read.reverse()
    result = read[-1].value
    if read[-1].op or result is None or len(read[0].leaves()) > MAX_OPERANDS:
        return None
    return Equation(read[0], result, all(e.value == result for e in read[1:]))


def _parse(tokens: list[str]) -> Expr | None:
    """The expression of all tokens, or None when they are not one."""
    try:
        expr, rest = _sum(tokens, 0, 0)
    except (ValueError, IndexError):
        return None
    return expr if rest == len(tokens) else None


def _sum(tokens: list[str], at: int, depth: int) -> tuple[Expr, int]:
    left, at = _product(tokens, at, depth)
    while at < len(tokens) and tokens[at] in "+-":
        right, end = _product(tokens, at + 1, depth)
        left, at = apply_operation(tokens[at], left, right), end
    return left, at


def _product(tokens: list[str], at: int, depth: int) -> tuple[Expr, int]:
    left, at = _atom(tokens, at, depth)
    while at < len(tokens) and tokens[at] in "*/":
        right, end = _atom(tokens, at + 1, depth)
        left, at = apply_operation(tokens[at], left, right), end
    return left, at


def _atom(tokens: list[str], at: int, depth: int) -> tuple[Expr, int]:
    token = tokens[at]
    if token == "(":
        if depth >= MAX_DEPTH:
            raise ValueError("nested too deeply")
        inner, at = _sum(tokens, at + 1, depth + 1)
        if tokens[at] != ")":
            raise ValueError("expected a closing parenthesis")
        return inner, at + 1
    sign = ""
    if token == "-":
        sign, at = "-", at + 1
    value = to_number(sign + tokens[at])
    if value is None:
        raise ValueError("expected a number")
    return Expr(value), at + 1


def apply_operation(op: str, left: Expr, right: Expr) -> Expr:
    """left op right with its value, None where it is undefined."""
    a, b = left.value, right.value
    value: Fraction | None = None
    if a is not None and b is not None:
        if op == "+":
            value = a + b
        elif op == "-":
            value = a - b
        elif op == "*":
            value = a * b
        elif b:
            value = a / b
    return Expr(value, op, left, right)
