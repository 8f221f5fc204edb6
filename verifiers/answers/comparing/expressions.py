r"""Reads one LaTeX expression (canonical spelling) into a small tree, or refuses.

Invariant: what it reads, it reads as the slow path does; every construct with two readings (`2\frac{4}{3}`, `x^12`,
`a/bc`, `f(x)`, a letter that may be a unit, `\log` without a base) is refused, and so is everything it does not know.
Linear in the length of the text, which is bounded; nothing is evaluated.

A tree is a tuple: `("num", Fraction, decimal?)`, `("sym", name)`, `("pi",)`, `("e",)`, `("i",)`, `("add", a, b)`,
`("mul", a, b)`, `("div", a, b)`, `("neg", a)`, `("pow", a, b)`, `("root", n, a)`, `("abs", a)`,
`("fn", name, a)`, `("log", base, a)`.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

Tree = tuple[Any, ...]

MAX_CHARS = 300
MAX_DEPTH = 12

_TOKEN = re.compile(
    r" ?(?:(?P<num>\d+(?:\.\d+)?|\.\d+)|(?P<cmd>\\(?:[a-zA-Z]+|[|]))|(?P<run>[a-zA-Z]+)|(?P<op>[-+*/^(){}\[\]|_!]))"
)
_FUNCTIONS = frozenset({"sin", "cos", "tan", "cot", "sec", "csc", "exp", "ln", "arcsin", "arccos", "arctan"})
_FACTOR_COMMANDS = frozenset({"frac", "sqrt", "pi", "theta", "alpha", "beta", "log", *_FUNCTIONS})
_GREEK = frozenset({"theta", "alpha", "beta", "lambda", "mu"})
_NAMES = """sin cos tan cot sec csc log ln exp det gcd lcm max min mod lim pi inf tr and or not
    cm mm km kg mg ml ft in yd mi lb oz hr am pm st th nd rd by cc gm dm lt mt mp sq rs"""
_NOT_PRODUCTS = frozenset(_NAMES.split())
_ASSOCIATIVE_SIGNS = ("+", "-")


class Refused(Exception):
    """The text is not in the language that is read here; somebody else has to look at it."""


def read(text: str) -> Tree:
    """The tree of an expression.

    Raises:
        Refused: if it is not surely read as the slow path reads it.
    """
    if len(text) > MAX_CHARS:
        raise Refused
    return _Reader(text).whole()


class _Reader:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise Refused
            kind = match.lastgroup or ""
            self._tokens.append((kind, match.group(kind)))
            at = match.end()
        self._at = self._depth = 0
        self._tokens.append(("end", ""))

    def whole(self) -> Tree:
        tree = self._sum()
        if self._tokens[self._at][0] != "end":
            raise Refused
        return tree

    # ---- tokens

    def _peek(self, ahead: int = 0) -> tuple[str, str]:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else ("end", "")

    def _take(self, value: str) -> bool:
        if self._tokens[self._at] in (("op", value), ("cmd", value)):
            self._at += 1
            return True
        return False

    def _expect(self, value: str) -> None:
        if not self._take(value):
            raise Refused

    # ---- grammar

    def _sum(self) -> Tree:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Refused
        tree = self._signed()
        while self._tokens[self._at][1] in _ASSOCIATIVE_SIGNS and self._tokens[self._at][0] == "op":
            sign = self._tokens[self._at][1]
            self._at += 1
            if self._tokens[self._at][1] in _ASSOCIATIVE_SIGNS:
                raise Refused
            term = self._product()
            tree = ("add", tree, term if sign == "+" else ("neg", term))
        self._depth -= 1
        return tree

    def _signed(self) -> Tree:
        if self._take("-"):
            if self._tokens[self._at][1] in _ASSOCIATIVE_SIGNS:
                raise Refused
            return ("neg", self._product())
        self._take("+")
        if self._tokens[self._at][1] in _ASSOCIATIVE_SIGNS:
            raise Refused
        return self._product()

    def _product(self) -> Tree:
        tree = self._power()
        number_before = self._tokens[self._at - 1][0] == "num"
        while True:
            kind, value = self._tokens[self._at]
            if value in ("*", r"\cdot", r"\times"):
                self._at += 1
                tree, number_before = ("mul", tree, self._power()), False
            elif (kind, value) == ("op", "/"):
                self._at += 1
                tree = ("div", tree, self._power())
                if self._starts_factor() or self._tokens[self._at] == ("op", "/"):
                    raise Refused  # a/bc and a/b/c have two readings
                number_before = False
            elif self._starts_factor():
                if kind == "num" or (number_before and value == r"\frac"):
                    raise Refused  # "x 2", and mixed numbers
                tree, number_before = ("mul", tree, self._power()), False
            else:
                return tree

    def _starts_factor(self) -> bool:
        kind, value = self._tokens[self._at]
        return kind in ("num", "run") or value == "(" or (kind == "cmd" and value[1:] in _FACTOR_COMMANDS)

    def _power(self) -> Tree:
        base = self._atom()
        if self._tokens[self._at][1] == "!":
            raise Refused
        if not self._take("^"):
            return base
        kind, value = self._tokens[self._at]
        if value == "{":
            exponent = self._braced()
        elif kind == "num" and len(value) == 1:
            self._at += 1
            exponent = ("num", Fraction(value), False)
            if self._tokens[self._at][0] == "num":
                raise Refused
        elif kind == "run" and len(value) == 1 and value not in "ei":
            self._at += 1
            exponent = ("sym", value)
        else:
            raise Refused
        if self._tokens[self._at][1] in ("^", "!", "_"):
            raise Refused
        return ("pow", base, exponent)

    def _braced(self) -> Tree:
        self._expect("{")
        tree = self._sum()
        self._expect("}")
        return tree

    def _atom(self) -> Tree:
        kind, value = self._tokens[self._at]
        self._at += 1
        if kind == "num":
            if len(value) > 30:
                raise Refused
            return ("num", Fraction("0" + value if value[0] == "." else value), "." in value)
        if kind == "run":
            return self._letters(value)
        if kind == "op" and value in "({":
            if value == "{":
                raise Refused
            tree = self._sum()
            self._expect(")")
            return tree
        if kind == "op" and value == "|":
            raise Refused
        if kind == "cmd":
            return self._command(value[1:])
        raise Refused

    def _letters(self, run: str) -> Tree:
        if len(run) > 3 or (len(run) > 1 and (run.lower() in _NOT_PRODUCTS or set(run) & set("dei"))):
            raise Refused
        following = self._tokens[self._at][1]
        if following == "_" or (following == "(" and run[-1] in "fghFGHePpQq"):
            raise Refused
        tree: Tree = _letter(run[0])
        for letter in run[1:-1]:
            tree = ("mul", tree, _letter(letter))
        if len(run) > 1:
            last: Tree = _letter(run[-1])
            if following == "^":  # ab^2 is a times b^2
                self._at -= 1
                self._tokens[self._at] = ("run", run[-1])
                last = self._power()
            tree = ("mul", tree, last)
        return tree

    def _command(self, name: str) -> Tree:
        if name == "pi":
            return ("pi",)
        if name in _GREEK:
            if self._tokens[self._at][1] in ("_", "("):
                raise Refused
            return ("sym", name)
        if name == "frac":
            top = self._braced()
            return ("div", top, self._braced())
        if name == "sqrt":
            degree = 2
            if self._take("["):
                kind, value = self._tokens[self._at]
                if kind != "num" or value not in ("2", "3", "4", "5", "6"):
                    raise Refused
                degree = int(value)
                self._at += 1
                self._expect("]")
            return ("root", degree, self._braced())
        if name in _FUNCTIONS:
            return ("fn", name, self._argument())
        if name == "log":
            self._expect("_")
            kind, value = self._tokens[self._at]
            if kind == "num" and len(value) == 1:
                self._at += 1
                base: Tree = ("num", Fraction(value), False)
            else:
                base = self._braced()
            return ("log", base, self._argument())
        raise Refused

    def _argument(self) -> Tree:
        """One braced or bracketed argument, a number, a letter, `\\pi`; anything looser has two readings."""
        kind, value = self._tokens[self._at]
        if value == "(":
            self._at += 1
            tree = self._sum()
            self._expect(")")
        elif value == "{":
            tree = self._braced()
        elif kind == "run" and len(value) == 1:
            self._at += 1
            tree = _letter(value)
        elif kind == "num":
            self._at += 1
            tree = ("num", Fraction("0" + value if value[0] == "." else value), "." in value)
        else:
            raise Refused
        if self._starts_factor() or self._tokens[self._at][1] in ("^", "!", "/"):
            raise Refused  # \sin 2x, \sin x \cos x, \sin(x)^2
        return tree


def _letter(letter: str) -> Tree:
    return (letter,) if letter in "ei" else ("sym", letter)
