"""A place in a list of tokens, and what a parser does there. No token is passed over silently."""

from __future__ import annotations

from fractions import Fraction

from synthflow.verifiers.answers.reading.tokens import END, Token, Unread


class Cursor:
    """Tokens and a place among them; `doubts` are readings that could have been others."""

    def __init__(self, found: list[Token], tight: bool) -> None:
        self._tokens = [*found, END]
        self._at = 0
        self._tight = tight
        self.doubts: set[str] = set()

    @property
    def _now(self) -> Token:
        return self._tokens[self._at]

    def _ahead(self, by: int = 1) -> Token:
        at = self._at + by
        return self._tokens[at] if at < len(self._tokens) else END

    def _next(self) -> Token:
        token = self._tokens[self._at]
        if token.kind == "end":
            raise Unread("it breaks off")
        self._at += 1
        return token

    def _is(self, *values: str) -> bool:
        token = self._tokens[self._at]
        return token.value in values and token.kind in ("op", "cmd")

    def _take(self, *values: str) -> bool:
        if self._is(*values):
            self._at += 1
            return True
        return False

    def _expect(self, value: str) -> None:
        if not self._take(value):
            raise Unread(f"{self._now.value!r} where {value!r} is expected" if self._now.value else "it breaks off")

    def _put(self, token: Token) -> None:
        """A token that comes next: the rest of a run that was read in part."""
        self._tokens.insert(self._at, token)

    def _split(self, token: Token, length: int) -> None:
        """The present token in two: its first characters, and the rest."""
        pieces = [
            Token(token.kind, part, False, _value(token, part)) for part in (token.value[:length], token.value[length:])
        ]
        self._tokens[self._at : self._at + 1] = pieces


def _value(token: Token, part: str) -> Fraction | None:
    return None if token.number is None else Fraction(int(part))
