r"""An amount: an expression with the currency before it, and the percent sign, magnitude, unit or counted thing behind.

Invariant: head and tail are both read whole. A letter that touches a number (`5m`) is a variable; behind a space
(`5 m`) it is a unit, and a doubt says that it may be a variable.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from synthflow.verifiers.answers.reading.atoms import Tree, number
from synthflow.verifiers.answers.reading.formulas import read_tree
from synthflow.verifiers.answers.reading.measures import UNITS, Unit, counted_thing, read_unit
from synthflow.verifiers.answers.reading.names import FUNCTIONS
from synthflow.verifiers.answers.reading.numerals import MAGNITUDES, spelled
from synthflow.verifiers.answers.reading.readings import Amount
from synthflow.verifiers.answers.reading.splitting import CLOSING, OPENING
from synthflow.verifiers.answers.reading.tokens import Token, Unread

_CURRENCIES = {"$": "dollar", r"\$": "dollar", "€": "euro", "£": "£", "¥": "¥", "₹": "₹"}
_CURRENCIES |= {r"\euro": "euro", r"\pounds": "£"}
_COUNTRIES = frozenset({"US", "A", "C", "CA", "AU", "USD"})
_PERCENT = (("op", "%"), ("cmd", r"\%"))
_DEGREE = ["^", "{", r"\circ", "}"]
_UNIT_COMMANDS = frozenset({r"\Omega", r"\mu", r"\%", r"\circ", r"\AA", r"\cdot", r"\times"})
_TAIL = frozenset("/*.^{}()-%$€£¥₹")


class Way:
    """How what has two readings is read; `doubts` names what it was."""

    def __init__(self, tight: bool) -> None:
        self.tight = tight
        self.doubts: set[str] = set()

    def tree(self, found: Sequence[Token]) -> Tree:
        """The tree of an expression."""
        tree, doubts = read_tree(list(found), tight=self.tight)
        self.doubts |= doubts
        return tree


def written(found: Sequence[Token]) -> str:
    """Tokens as text again, upright words without their command."""
    parts: list[str] = []
    for place, token in enumerate(found):
        upright = token.kind == "text" or (place and found[place - 1].kind == "text")
        apart = token.gap or (place and upright and token.value[:1].isalpha()) or (parts and parts[-1][:1] == "\\")
        parts.append((" " if place and apart else "") + token.value)
    return "".join(parts)


def read_amount(found: Sequence[Token], way: Way) -> Amount:
    """The amount that tokens are.

    Raises:
        Unread: if they are none.
    """
    tokens, currency, negative = _without_currency(list(found))
    if not tokens:
        raise Unread("nothing is there")
    if currency is not None:
        tokens = _without_word(tokens, {"dollars", "dollar", "usd", "euros", "euro", "eur"})
        tree, _ = _scaled(tokens, way)
        return Amount(("neg", tree) if negative else tree, currency)
    if (tokens[-1].kind, tokens[-1].value) in _PERCENT and len(tokens) > 1:
        return Amount(way.tree(tokens[:-1]), percent=True)
    if tokens[-1].kind in ("run", "text") and tokens[-1].value.lower() in ("percent", "per cent") and len(tokens) > 1:
        return Amount(way.tree(tokens[:-1]), percent=True)
    depth = 0
    for place, token in enumerate(tokens):
        depth += (token.value in OPENING) - (token.value in CLOSING)
        if place and depth == 0 and token.value not in CLOSING and _may_start_unit(tokens, place):
            amount = _with_tail(tokens[:place], tokens[place:], token, way)
            if amount is not None:
                return amount
    tree, scaled = _scaled(tokens, way)
    if not scaled and len(tokens) >= 2 and _glued_letter(tokens):
        way.doubts.add(f"{tokens[-1].value} may be a unit")
        if way.tight:
            return Amount(way.tree(tokens[:-1]), read_unit(tokens[-1].value))
    return Amount(tree)


def _without_currency(tokens: list[Token]) -> tuple[list[Token], Unit | None, bool]:
    at = 1 if tokens and tokens[0].value in ("-", "+") else 0
    if (
        at < len(tokens)
        and tokens[at].value in _COUNTRIES
        and at + 1 < len(tokens)
        and tokens[at + 1].value in _CURRENCIES
    ):
        at += 1
    if at < len(tokens) and tokens[at].value in _CURRENCIES:
        return tokens[at + 1 :], UNITS[_CURRENCIES[tokens[at].value]], tokens[0].value == "-"
    if len(tokens) > 1 and tokens[-1].value in _CURRENCIES:
        return tokens[:-1], UNITS[_CURRENCIES[tokens[-1].value]], False
    return tokens, None, False


def _without_word(tokens: list[Token], words: set[str]) -> list[Token]:
    last = tokens[-1]
    return tokens[:-1] if len(tokens) > 1 and last.value.lower() in words else tokens


def _may_start_unit(tokens: list[Token], place: int) -> bool:
    token, before = tokens[place], tokens[place - 1]
    if before.kind == "op" and before.value in "+-*/^_=(,[{|":
        return False
    if before.kind == "cmd" and before.value not in (r"\pi", r"\infty", r"\rfloor"):
        return False
    if token.kind == "text":
        return True
    if token.kind == "run":
        head = tokens[:place]
        if any(one.value in "+-" and at and head[at - 1].value not in "^{" for at, one in enumerate(head)) or any(
            one.kind == "run" and one.value.lower().rstrip("s") not in MAGNITUDES for one in head
        ):
            return False  # 2 + 2pt and 3 xt are no amounts in pints and tonnes
        lone = all(one.kind == "num" or one.value in ("-", "+") for one in head)
        glued = before.kind == "num" and lone and (len(token.value) > 1 or place + 1 < len(tokens))
        return token.gap or glued or (before.value in ("}", ")") and len(token.value) > 1)
    if token.value == "^":
        return (
            [t.value for t in tokens[place + 1 : place + 4]] == _DEGREE[1:] or tokens[place + 1].value == r"\circ"
            if place + 1 < len(tokens)
            else False
        )
    return token.kind == "cmd" and token.value in (r"\Omega", r"\mu")


def _with_tail(head: list[Token], tail: list[Token], token: Token, way: Way) -> Amount | None:
    text = written(tail)
    if any(t.kind == "cmd" and t.value not in _UNIT_COMMANDS for t in tail):
        return None
    if text.replace(" ", "") in (r"^{\circ}", r"^\circ"):
        if any(t.value.lstrip("\\").lower() in FUNCTIONS for t in head):
            return None
        return Amount(_scaled(head, way)[0], UNITS["degree"], degrees=True)
    unit = read_unit(text)
    if unit is not None:
        if token.kind == "run" and len(token.value) == 1:
            way.doubts.add(f"{token.value} may be a unit")
            if way.tight:
                return Amount(way.tree([*head, *tail]))
        tree, _ = _scaled(head, way)
        degrees = unit is UNITS["degree"] or unit is UNITS["deg"]
        return Amount(tree, unit, degrees=degrees)
    if not all(t.kind in ("run", "text") or t.value == "-" for t in tail):
        return None
    thing = counted_thing(text, one=[t.value.lower() for t in head] in (["one"], ["1"]))
    if thing is None or text.split()[0].lower().rstrip("s") in MAGNITUDES:
        return None
    return Amount(_scaled(head, way)[0], thing=thing)


def _scaled(tokens: list[Token], way: Way) -> tuple[Tree, bool]:
    """An expression, or a number with a magnitude behind it: `2.5 million`."""
    last = tokens[-1]
    size = MAGNITUDES.get(last.value.lower().rstrip("s")) if last.kind in ("run", "text") else None
    if size is not None and len(tokens) > 1:
        tree, _ = _scaled(tokens[:-1], way)
        return ("mul", tree, number(size)), True
    if all(token.kind in ("run", "text", "op") for token in tokens) and any(len(token.value) > 2 for token in tokens):
        value = spelled(written(tokens))
        if value is not None:
            return number(Fraction(value)), True
    return way.tree(tokens), False


def _glued_letter(tokens: list[Token]) -> bool:
    last, before = tokens[-1], tokens[-2]
    return last.kind == "run" and len(last.value) == 1 and before.kind == "num" and not last.gap and last.value in UNITS


_NUMBER = re.compile(r"-?[\d,]+(?:\.\d+)?")
_QUALIFYING = re.compile(
    r"\b(?:approx\w*|about|or|and|least|most|more|less|fewer|not|wrong|incorrect|mod|base|choose|per|times)\b", re.I
)
_ASIDE = re.compile(r"(.*[\w}%)])\s*\(\s*([A-Za-z][A-Za-z ,.'-]{1,60})\)")


def without_aside(text: str) -> str:
    """`12 (twelve)` and `9 (apples)` without what only says the same again; any other aside stays."""
    match = _ASIDE.fullmatch(text)
    if match is None:
        return text
    head, words = match.group(1).strip(), match.group(2)
    said = spelled(words)
    if said is not None and _NUMBER.fullmatch(head):
        return head if said == Fraction(head.replace(",", "")) else text
    if _NUMBER.fullmatch(head) and not _QUALIFYING.search(words):
        return f"{head} {words}" if counted_thing(words) or (len(words) > 1 and read_unit(words)) else head
    if re.search(r"\d$", head) and (counted_thing(words) or (len(words) > 1 and read_unit(words))):
        return f"{head} {words}"
    return text
