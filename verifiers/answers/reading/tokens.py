r"""An answer as tokens: numbers in every spelling, commands, runs of letters, upright words, operators.

Invariant: every character of the text is in a token or is space; what belongs to no token raises `Unread` with the
place. Numbers are exact. LaTeX and the plain text that models write share one set of tokens. Linear in the text.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from fractions import Fraction

MAX_DIGITS = 300


class Unread(Exception):
    """What of an answer was not read."""


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is num, cmd, run (letters), text (upright words), op or end; `gap`: whether space stands before it."""

    kind: str
    value: str
    gap: bool = False
    number: Fraction | None = None
    places: int | None = None  # of a number written as a decimal


END = Token("end", "")

_NUMBER = r"""
    (?P<grouped>\d{1,3}(?:[,']\d{3})+(?![\d]))(?P<after>\.\d+)?
    | (?P<whole>\d*)\.(?P<head>\d{0,12})
      (?:\\(?:overline|bar|dot)\ ?\{?(?P<bar>\d{1,12})\}?|\((?P<cycle>\d{1,12})\)(?![\d(]))
    | (?P<begun>\d{0,20})\.(?P<start>\d{0,8})(?P<again>\d{1,6}?)(?P=again){2,6}\ ?(?:\\[lc]?dots(?![a-z])|\.\.\.)
    | (?P<plain>\d+(?:\.\d+)?|\.\d+|\d+\.(?![\d.]))(?:(?P<exponent>[eE][-+]?\d{1,4})(?![\d.a-zA-Z]))?
"""
_TOKEN = re.compile(
    rf"""(?P<gap>[\s~]*)(?:(?:{_NUMBER})
    | \\(?:text|textrm|textbf|textit|textsf|textnormal|mathrm|mathsf|mathit|mbox|rm|operatorname\*?)
      \ ?\{{(?P<text>[^{{}}]*)\}}
    | (?P<cmd>\\(?:[a-zA-Z]+|[|{{}}%$\\]))
    | (?P<run>[a-zA-Z]+)
    | (?P<op>\*\*|<=|>=|!=|==|[-+*/^(){{}}\[\]|_!=<>:;,.'%&$?√€£¥₹]))""",
    re.VERBOSE,
)
_RELATIONS = {"<=": r"\le", ">=": r"\ge", "!=": r"\ne", "==": "=", "**": "^"}
_LETTERS = frozenset({"e", "i", "d"})


def tokens(text: str) -> list[Token]:
    """The tokens of a canonical answer.

    Raises:
        Unread: at the first character that belongs to none.
    """
    found: list[Token] = []
    at, end, depth = 0, len(text.rstrip(" ~")), 0
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or match.end() == at:
            raise Unread(f"{text[at : at + 20]!r}")
        if match["text"] is not None:
            found += _upright(match["text"], bool(match["gap"]))
            at = match.end()
            continue
        token = _token(match, depth)
        if match["grouped"] and token.value != match[0].lstrip(" ~"):
            at = match.start("grouped") + len(token.value)
        else:
            at = match.end()
        if token.value in ("(", "[", "{", r"\{"):
            depth += 1
        elif token.value in (")", "]", "}", r"\}"):
            depth -= 1
        found.append(token)
    return found


def _upright(content: str, gap: bool) -> list[Token]:
    """Upright words, one token each; what else stands among them is read as anywhere."""
    inner = tokens(content.strip(" ~"))
    return [
        Token("text" if token.kind == "run" and token.value not in _LETTERS else token.kind, token.value,
        token.gap or (gap and not at),
              token.number, token.places)
        for at, token in enumerate(inner)
    ]  # fmt: skip


def _token(match: re.Match[str], depth: int) -> Token:
    gap = bool(match["gap"])
    for kind in ("cmd", "run"):
        if match[kind]:
            return Token(kind, match[kind], gap)
    if match["op"]:
        sign = _RELATIONS.get(match["op"], match["op"])
        return Token("cmd" if sign[0] == "\\" else "op", sign, gap)
    return _number(match, gap, depth)


def _number(match: re.Match[str], gap: bool, depth: int) -> Token:
    if match["grouped"]:
        digits = match["grouped"]
        if depth and "," in digits:  # between brackets a comma separates
            first = digits.split(",")[0]
            return Token("num", first, gap, Fraction(int(first)))
        written = digits.replace(",", "").replace("'", "") + (match["after"] or "")
        return Token("num", match[0].lstrip(" ~"), gap, Fraction(written), _places(written))
    cycle = match["bar"] or match["cycle"] or match["again"]
    if cycle:
        whole, head = match["whole"] or match["begun"] or "0", match["head"] or match["start"] or ""
        top = int(whole + head + cycle) - int(whole + head)
        return Token("num", match[0].strip(), gap, Fraction(top, int("9" * len(cycle) + "0" * len(head))))
    plain, exponent = match["plain"], match["exponent"] or ""
    if len(plain) > MAX_DIGITS:
        raise Unread("a number of too many digits")
    return Token("num", plain + exponent, gap, *as_typed(plain, exponent))


def as_typed(plain: str, exponent: str = "") -> tuple[Fraction, int | None]:
    """Value and decimal places of a number; a single-precision float that was printed in double is what was typed."""
    value = Fraction(plain.rstrip(".")) if plain[0] != "." else Fraction("0" + plain)
    significant = len(plain.replace(".", "").lstrip("0"))
    if 10 <= significant <= 20 and "." in plain:
        short = _single(float(plain + exponent))
        if short is not None:
            return Fraction(short), _places(short)
    if exponent:
        power = int(exponent[1:])
        if abs(power) > MAX_DIGITS:
            raise Unread("a power of ten that is too large")
        value *= Fraction(10) ** power
        return value, max(0, (_places(plain) or 0) - power) if "." in plain else None
    return value, _places(plain)


def _single(value: float) -> str | None:
    """The shortest decimal that a float of single precision is, or None where `value` is none or needs ten digits."""
    try:
        narrow = struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return None
    if narrow != value:
        return None
    for digits in range(1, 9):
        short = f"{value:.{digits}g}"
        if struct.unpack("f", struct.pack("f", float(short)))[0] == narrow:
            return short if len(short.replace(".", "").lstrip("-0")) + 3 < len(repr(value).replace(".", "")) else None
    return None


def _places(written: str) -> int | None:
    mantissa, _, power = written.lower().partition("e")
    if "." not in mantissa:
        return None
    return max(0, len(mantissa.partition(".")[2]) - int(power or 0))
