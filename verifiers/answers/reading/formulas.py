r"""Reads the tokens of one expression, LaTeX or the plain text of models, wholly into a tree, or says what it is not.

Invariant: no token is passed over. What has two readings (`a/bc`, `\cos 2x/3`, `[x]`) is read in one of them, named in
`doubts`, and in the other with `tight`; a mismatch that rests on a doubt is no mismatch.

Trees are those of `expressions`, and besides: `("fact", a)`, `("call", name, a, …)`, `("sum" | "prod", letter, from,
to, a)`, `("inf",)`, `("pm" | "mp", a, b)` for a plus or minus b.
"""

from __future__ import annotations

from synthflow.verifiers.answers.reading.atoms import Atoms, Tree, number
from synthflow.verifiers.answers.reading.tokens import Token, Unread

MAX_DEPTH = 25
_CLOSING = {"(": ")", "[": "]", "{": "}", r"\lfloor": r"\rfloor", r"\lceil": r"\rceil", r"\lvert": r"\rvert"}
_TIMES = ("*", r"\cdot", r"\times", r"\ast", r"\star")
_STRAIGHT = number(180)


def read_tree(found: list[Token], *, tight: bool = False) -> tuple[Tree, frozenset[str]]:
    """The tree of an expression, and what in it could be read in another way.

    Raises:
        Unread: if a token has no place in an expression.
    """
    if not found:
        raise Unread("nothing is there")
    parser = _Parser(found, tight)
    tree = parser.whole()
    return tree, frozenset(parser.doubts)


class _Parser(Atoms):
    def __init__(self, found: list[Token], tight: bool) -> None:
        super().__init__(found, tight)
        self._depth = self._bars = 0

    def whole(self) -> Tree:
        tree = self._over(self._sum())
        if self._now.kind != "end":
            raise Unread(repr(self._now.value))
        return tree

    def _over(self, tree: Tree) -> Tree:
        r"""The group that `\over` or `\choose` divides, whose upper part has been read."""
        if self._take(r"\choose"):
            return ("call", "binom", tree, self._sum())
        return ("div", tree, self._sum()) if self._take(r"\over") else tree

    # ---- sums and products

    def _sum(self) -> Tree:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Unread("it is nested too deep")
        tree = self._signed()
        while self._is("+", "-", r"\pm", r"\mp"):
            sign = self._next().value
            term = self._signed()
            if sign in ("+", "-"):
                tree = ("add", tree, term if sign == "+" else ("neg", term))
            else:
                tree = (sign[1:], tree, term)
        self._depth -= 1
        return tree

    def _signed(self) -> Tree:
        if self._take("-"):
            return ("neg", self._signed())
        if self._take("+"):
            return self._signed()
        if self._is(r"\pm", r"\mp"):
            return (self._next().value[1:], number(0), self._product())
        return self._product()

    def _product(self) -> Tree:
        tree = self._mixed() or self._power()
        while True:
            if self._take(*_TIMES):
                tree = ("mul", tree, self._factor())
            elif self._take("/", r"\div"):
                tree = self._divided(tree)
            elif self._take(r"\bmod", r"\mod"):
                tree = ("call", "mod", tree, self._factor())
            elif self._now.kind == "run" and self._now.value == "choose":
                self._at += 1
                tree = ("call", "binom", tree, self._power())
            elif self._starts_factor():
                if self._now.kind == "num":  # `x 2` and `1 2 3` are no products
                    raise Unread(f"{self._now.value!r} beside another factor")
                tree = ("mul", tree, self._power())
            else:
                return tree

    _body = _product

    def _divided(self, top: Tree) -> Tree:
        under = self._factor()
        if self._starts_factor():
            self.doubts.add("a/bc can be read in two ways")
            while self._tight and self._starts_factor():
                under = ("mul", under, self._power())
        return ("div", top, under)

    def _factor(self) -> Tree:
        return ("neg", self._factor()) if self._take("-") else self._mixed() or self._power()

    def _mixed(self) -> Tree | None:
        r"""`2\frac{1}{3}`, `2 1/3`: a mixed number. `2\frac{4}{3}` is none, and may be a product."""
        first, second = self._now, self._ahead()
        if first.number is None or first.number.denominator != 1 or first.places is not None:
            return None
        start = self._at
        if second.kind == "cmd" and second.value == r"\frac":
            self._at += 2
            top, under = self._argument(), self._argument()
            ended = self._at
        elif second.kind == "num" and second.gap and self._ahead(2).value == "/" and self._ahead(3).kind == "num":
            top, under, ended = number(second.number or 0), number(self._ahead(3).number or 0), self._at + 4
        else:
            return None
        self._at = start
        if not (top[0] == under[0] == "num" and top[1].denominator == under[1].denominator == 1):
            return None
        if not 0 <= top[1] < under[1]:
            self.doubts.add("a number before a fraction can be read in two ways")
            if not self._tight:
                return None
        self._at = ended
        if self._starts_factor():
            self.doubts.add("a mixed number before a factor can be read in two ways")
        return number(first.number + top[1] / under[1])

    def _starts_factor(self) -> bool:
        token = self._now
        if token.kind in ("op", "cmd") and (token.value in _CLOSING or token.value == "√"):
            return True
        return self._starts_atom() or (token.value == "|" and not self._bars)

    # ---- powers, and what stands behind

    def _power(self) -> Tree:
        base = self._postfix(self._atom())
        while self._take("^"):
            base = self._postfix(self._raised(base))
        return base

    def _postfix(self, tree: Tree) -> Tree:
        while self._is("!", "%", r"\%"):
            if self._next().value != "!":
                tree = ("div", tree, number(100))
            elif self._take("!"):
                tree = ("call", "double factorial", tree)
            else:
                tree = ("fact", tree)
        return tree

    def _raised(self, base: Tree) -> Tree:
        if self._take(r"\circ"):
            return ("div", ("mul", base, ("pi",)), _STRAIGHT)
        if self._is("{") and self._ahead().value == r"\circ" and self._ahead(2).value == "}":
            self._at += 3
            return ("div", ("mul", base, ("pi",)), _STRAIGHT)
        exponent = self._exponent()
        if exponent == ("sym", "T"):
            raise Unread("a raised T")
        return ("pow", base, exponent)

    # ---- atoms

    def _atom(self) -> Tree:
        token = self._next()
        if token.number is not None:
            return number(token.number, token.places is not None)
        if token.kind == "run":
            return self._letters(token.value)
        if token.kind == "text":
            return self._upright(token.value)
        if token.value in _CLOSING:
            return self._group(token.value)
        if token.value == "|":
            return self._absolute()
        if token.value == "√":
            return ("root", 2, self._argument(whole_numbers=True))
        if token.kind == "cmd":
            return self._command(token.value[1:])
        raise Unread(repr(token.value))

    def _group(self, opening: str) -> Tree:
        bars, self._bars = self._bars, 0
        tree = self._sum()
        if opening == "{":
            tree = self._over(tree)
        self._expect(_CLOSING[opening])
        self._bars = bars
        if opening == "[":
            self.doubts.add("[ ] can stand for the floor")
            return ("call", "floor", tree) if self._tight else tree
        if opening in (r"\lfloor", r"\lceil"):
            return ("call", opening[2:], tree)
        return ("abs", tree) if opening == r"\lvert" else tree

    def _absolute(self) -> Tree:
        self._bars += 1
        tree = self._sum()
        self._bars -= 1
        self._expect("|")
        return ("abs", tree)
