r"""Letters, numbers, functions and commands of an expression: what stands between its operators.

Invariant: a letter is itself, a short run is the product of its letters unless it is a word; a longer run that is no
name of mathematics is unread. A function without parentheses takes the factors that follow, up to a sign, an operator
or another function.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from fractions import Fraction
from typing import Any

from synthflow.verifiers.answers.reading.cursor import Cursor
from synthflow.verifiers.answers.reading.names import (
    CALLS,
    CONSTANTS,
    FUNCTIONS,
    GREEK,
    INVERSES,
    LETTERS_BESIDE_SIGNS,
    NOT_PRODUCTS,
    SAME_FUNCTION,
)
from synthflow.verifiers.answers.reading.tokens import END, Token, Unread

Tree = tuple[Any, ...]

LOG_BASE: Tree = ("sym", "#base")
_UPRIGHT_ONLY = frozenset({"mathbf", "boldsymbol", "bm", "bf", "mathcal", "mathscr"})
_ACCENTS = _UPRIGHT_ONLY | {
    "vec",
    "hat",
    "bar",
    "tilde",
    "overline",
    "widehat",
    "overrightarrow",
    "mathbb",
    "mathfrak",
    "dot",
}
_COMMANDS = frozenset(
    [
        "frac",
        "sqrt",
        "binom",
        "pi",
        "infty",
        "sum",
        "prod",
        "gcd",
        "lcm",
        "max",
        "min",
        "Gamma",
        "zeta",
        "imath",
        "jmath",
        "cbrt",
        "angle",
    ]
)
_APPLIED = frozenset("fghFGHO")
_BASIS = frozenset("ijk")


def number(value: int | Fraction, decimal: bool = False) -> Tree:
    """A number's tree."""
    return ("num", Fraction(value), decimal)


class Atoms(Cursor, ABC):
    """Reads one atom; what joins atoms is in the parser that extends this."""

    def __init__(self, found: list[Token], tight: bool) -> None:
        super().__init__(found, tight)
        self._bound: list[str] = []

    @abstractmethod
    def _sum(self) -> Tree:
        """Terms and the signs between them."""

    @abstractmethod
    def _power(self) -> Tree:
        """An atom and its exponents."""

    @abstractmethod
    def _atom(self) -> Tree:
        """One atom."""

    def _starts_atom(self) -> bool:
        """Whether a letter, number or command that is a factor comes next."""
        token = self._now
        if token.kind in ("num", "run"):
            return token.value not in ("choose", "mod")
        if token.kind == "text":
            return token.value.lower() in FUNCTIONS or token.value in CONSTANTS or len(token.value) == 1
        name = token.value[1:] if token.kind == "cmd" else ""
        return name in FUNCTIONS or name in GREEK or name in _ACCENTS or name in _COMMANDS

    # ---- runs of letters

    def _letters(self, run: str) -> Tree:
        lower = run.lower()
        if run in CONSTANTS:
            return CONSTANTS[run]
        if run in ("sum", "prod") and self._is("_"):
            return self._loop(run)
        if self._is("(") and (run in CALLS or (lower in CALLS and len(run) > 2)):
            return self._call(CALLS.get(run) or CALLS[lower])
        if lower in FUNCTIONS and len(run) > 1:
            return self._function(lower)
        if run in GREEK or (lower in GREEK and len(run) > 2):
            return self._named(GREEK.get(run) or GREEK[lower])
        if lower[-3:] in FUNCTIONS and 3 < len(run) <= 6:
            self._put(Token("run", run[-3:]))
            return ("mul", self._letters(run[:-3]), self._power())
        if len(run) > 3 or (len(run) > 1 and lower in NOT_PRODUCTS and not self._touches_sign(lower)):
            raise Unread(f"the word {run!r}")
        if len(run) > 1:
            self._put(Token("run", run[1:]))
            return ("mul", self._letter(run[0]), self._power())
        return self._letter(run)

    def _touches_sign(self, run: str) -> bool:
        """Whether a short word that was just taken stands right behind or before a sign."""
        before = self._tokens[self._at - 2] if self._at > 1 else END
        glued = (
            not self._tokens[self._at - 1].gap
            and before.kind in ("op", "cmd", "num")
            and before.value not in (")", "}")
        )
        return run in LETTERS_BESIDE_SIGNS and glued and self._now.kind != "run"

    def _letter(self, letter: str) -> Tree:
        if letter in "ei" and letter not in self._bound and not self._is("_"):
            return (letter,)
        return self._named(letter)

    def _named(self, name: str) -> Tree:
        """A symbol with its index and primes, or a function's value where it has arguments."""
        if self._take("_"):
            name += "_" + self._index()
        while self._take("'", r"\prime"):
            name += "'"
        if self._is("^") and self._ahead().value == r"\prime":
            self._at += 2
            name += "'"
        if self._is("(") and (name[0] in _APPLIED or name.endswith("'") or self._holds_arguments()):
            self._at += 1
            arguments = self._arguments()
            if name in ("C", "P") and len(arguments) == 2:
                return ("call", "binom" if name == "C" else "permutations", *arguments)
            return ("call", "#" + name, *arguments)
        return ("sym", name)

    def _holds_arguments(self) -> bool:
        """Whether the group that opens here lists things, or is one number or letter: the arguments of something."""
        if self._ahead(2).value == ")" and (self._ahead().kind == "num" or len(self._ahead().value) == 1):
            return True
        depth = 0
        for token in self._tokens[self._at :]:
            depth += (token.value in ("(", "[", "{")) - (token.value in (")", "]", "}"))
            if token.value == "," and depth == 1:
                return True
            if depth == 0:
                return False
        return False

    def _holds_sign(self) -> bool:
        """Whether the group that opens here is a sum."""
        depth = 0
        for token in self._tokens[self._at :]:
            depth += (token.value == "{") - (token.value == "}")
            if token.value in ("+", "-") and depth == 1:
                return True
            if depth == 0:
                return False
        return False

    def _index(self) -> str:
        if not self._take("{"):
            return self._next().value
        words: list[str] = []
        depth = 1
        while True:
            token = self._next()
            depth += (token.value == "{") - (token.value == "}")
            if not depth:
                return "".join(words)
            words.append(token.value)

    def _upright(self, words: str) -> Tree:
        lower = words.lower()
        if lower in FUNCTIONS:
            return self._function(lower)
        if words in CONSTANTS:
            return CONSTANTS[words]
        if (lower in CALLS or words in CALLS) and len(words) > 1:
            if not self._is("("):
                raise Unread(f"{words!r} without arguments")
            return self._call(CALLS.get(words) or CALLS[lower])
        if len(words) == 1 and words.isalpha():
            return self._named(words)
        if len(words) <= 3 and words.isalpha() and self._is("_"):
            return self._letters(words)
        raise Unread(f"the words {words!r}" if words else "an empty text")

    # ---- functions

    def _call(self, name: str) -> Tree:
        self._expect("(")
        arguments = self._arguments()
        return _applied(name, arguments)

    def _arguments(self) -> list[Tree]:
        found = [self._sum()]
        while self._take(",", ";"):
            found.append(self._sum())
        self._expect(")")
        return found

    def _function(self, name: str) -> Tree:
        power: Tree | None = None
        base: Tree | None = None
        for _ in range(2):
            if self._take("_"):
                base = self._argument()
            elif self._take("^"):
                power = self._exponent()
        if power == ("neg", number(1)) and name in INVERSES:
            name, power = INVERSES[name], None
        tree = self._of(SAME_FUNCTION.get(name, name), base, self._operand())
        return tree if power is None else ("pow", tree, power)

    def _of(self, name: str, base: Tree | None, operand: Tree) -> Tree:
        if name == "log":
            if base is None and operand[0] == "two":
                return ("log", operand[2], operand[1])
            return ("log", base or LOG_BASE, operand)
        if base is not None:
            raise Unread(f"an index of {name!r}")
        if name == "lg":
            return ("log", number(10), operand)
        if name == "cis":
            return ("add", ("fn", "cos", operand), ("mul", ("i",), ("fn", "sin", operand)))
        return ("call", "sign", operand) if name == "sign" else ("fn", name, operand)

    def _operand(self) -> Tree:
        """What a function is applied to: a group, or the factors that follow."""
        if self._is("(", "[", "{") and self._take(*"([{"):
            closing = {"(": ")", "[": "]", "{": "}"}[self._tokens[self._at - 1].value]
            tree = self._sum()
            if self._take(","):
                tree = ("two", tree, self._sum())
            self._expect(closing)
            return tree
        tree = self._power()
        while self._starts_atom() and not self._starts_function():
            if self._now.kind == "num":
                raise Unread(f"{self._now.value!r} beside another factor")
            tree = ("mul", tree, self._power())
        if self._is("/"):
            self.doubts.add("how far the argument of a function reaches")
            if self._tight:
                self._at += 1
                tree = ("div", tree, self._power())
        return tree

    def _starts_function(self) -> bool:
        token = self._now
        return token.value.lstrip("\\").lower() in FUNCTIONS

    def _exponent(self) -> Tree:
        if self._take("-"):
            return ("neg", self._exponent())
        if self._take("+"):
            return self._exponent()
        token = self._now
        if self._many_letters(token):
            self.doubts.add("an exponent of several letters can be read in two ways")
        base = self._argument(whole_numbers=True)
        return ("pow", base, self._exponent()) if self._take("^") else base

    def _argument(self, *, whole_numbers: bool = False) -> Tree:
        """A group, or the next digit, letter or command, as TeX takes it."""
        token = self._now
        if not whole_numbers and token.kind == "num" and token.value.isdigit() and len(token.value) > 1:
            self._split(token, 1)
            return number(int(self._next().value))
        if self._many_letters(token):
            self._split(token, 1)
            return self._letter(self._next().value)
        return ("neg", self._argument()) if self._take("-") else self._atom()

    def _many_letters(self, token: Token) -> bool:
        """Whether a run of letters is a product, of which TeX takes the first letter alone."""
        if token.kind != "run" or len(token.value) == 1:
            return False
        return not any(token.value in known for known in (GREEK, CONSTANTS, CALLS, FUNCTIONS))

    # ---- commands

    def _command(self, name: str) -> Tree:
        if name == "frac":
            top = self._argument()
            return ("div", top, self._argument())
        if name == "binom":
            top = self._argument()
            return ("call", "binom", top, self._argument())
        if name == "sqrt":
            degree: Tree | None = None
            if self._take("["):
                degree = self._sum()
                self._expect("]")
            return _root(degree, self._argument())
        if name == "pi" and self._is("(") and self._ahead().kind == "num" and self._ahead(2).value == ")":
            self.doubts.add("\\pi( ) can count primes")
            return self._call("prime count") if self._tight else CONSTANTS[name]
        if name in ("pi", "infty"):
            return CONSTANTS[name]
        if name in FUNCTIONS:
            return self._function(name)
        if name in ("sum", "prod"):
            return self._loop(name)
        if name in CALLS and self._is("("):
            return self._call(CALLS[name])
        if name in GREEK:
            return self._named(GREEK[name])
        if name in ("imath", "jmath"):
            return ("sym", name)
        if name in _ACCENTS:
            return self._accented(name)
        raise Unread(f"\\{name}")

    def _accented(self, name: str) -> Tree:
        token = self._now
        if token.kind == "num":
            return self._argument()
        inside = self._tokens[self._at + 1] if self._is("{") else token
        if inside.value in _BASIS and name in ("mathbf", "boldsymbol", "bm", "bf", "hat", "vec"):
            self._index()
            return ("sym", "unit " + inside.value)
        if name in ("overline", "bar") and self._is("{") and self._holds_sign():
            return ("call", "conjugate", self._argument())
        if name in _UPRIGHT_ONLY:
            if inside.kind == "run" and len(inside.value) == 1:
                return self._named(self._index())
            return self._argument()
        return self._named(name + " " + self._index())

    def _loop(self, name: str) -> Tree:
        """A sum or product with its letter and both bounds."""
        self._expect("_")
        if not self._take("{", "("):
            raise Unread(f"the bounds of a {name}")
        letter = self._next().value
        self._expect("=")
        low = self._sum()
        if not self._take("}", ")"):
            raise Unread(f"the bounds of a {name}")
        self._expect("^")
        high = self._argument(whole_numbers=True)
        self._bound.append(letter)
        body = self._body()
        self._bound.pop()
        return (name, letter, low, high, body)

    @abstractmethod
    def _body(self) -> Tree:
        """What a sum or an integral is of."""


def _root(degree: Tree | None, inner: Tree) -> Tree:
    if degree is None:
        return ("root", 2, inner)
    if degree[0] == "num" and degree[1].denominator == 1 and 2 <= degree[1] <= 64:
        return ("root", int(degree[1]), inner)
    return ("pow", inner, ("div", number(1), degree))


def _applied(name: str, arguments: list[Tree]) -> Tree:
    if len(arguments) == 1:
        if name in ("sqrt", "cbrt"):
            return ("root", 2 if name == "sqrt" else 3, arguments[0])
        if name in ("fact", "abs"):
            return (name, arguments[0])
        if name == "log":
            return ("log", LOG_BASE, arguments[0])
    elif len(arguments) == 2 and name == "log":
        return ("log", arguments[1], arguments[0])
    return ("call", name, *arguments)
