r"""Reads a whole answer: lists, tuples, sets, intervals, regions, relations, ratios, matrices, cases, amounts, words.

Invariant: what is read is all that is written; what has no place raises `Unread` and names it. Brackets decide before
commas, commas before relations, relations before amounts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from synthflow.verifiers.answers.reading.amounts import Way, read_amount, without_aside, written
from synthflow.verifiers.answers.reading.atoms import Tree, number
from synthflow.verifiers.answers.reading.clock import read_clock, read_compound, read_date
from synthflow.verifiers.answers.reading.declarations import without_conditions
from synthflow.verifiers.answers.reading.numerals import spelled
from synthflow.verifiers.answers.reading.phrases import Words, read_words
from synthflow.verifiers.answers.reading.readings import (
    Amount,
    Based,
    Bound,
    Collection,
    Congruence,
    Family,
    Interval,
    Ratio,
    Read,
    Reading,
    Region,
    Relation,
)
from synthflow.verifiers.answers.reading.splitting import brackets_around, marks_at_top, parts_at_top, split_at_colons
from synthflow.verifiers.answers.reading.tables import read_table
from synthflow.verifiers.answers.reading.text import unwrap_text
from synthflow.verifiers.answers.reading.tokens import Token, Unread, tokens

MAX_CHARS = 2000
_INFINITY: Tree = ("inf",)
_MINUS_INFINITY: Tree = ("neg", _INFINITY)
ALL_REALS = Interval(_MINUS_INFINITY, _INFINITY, "()")
_SETS: dict[str, Reading] = {
    r"\mathbb{R}": Region((ALL_REALS,)),
    r"\Reals": Region((ALL_REALS,)),
    r"\emptyset": Collection("set", ()),
}
_WORDS: dict[str, Reading] = {rf"\mathbb{{{name}}}": Words(frozenset({name}), rf"\mathbb{{{name}}}") for name in "ZNQC"}
_MEANINGS: dict[str, Reading] = {**_SETS, r"\infty": Amount(_INFINITY), r"-\infty": Amount(_MINUS_INFINITY)}
_BASED = re.compile(r"\(?([0-9A-Fa-f]{1,60})\)?_\{?(?:\\text\{)?(?:base )?(\d{1,2}|[a-z]+)\}?\}?")
_BOUND_BEFORE = re.compile(
    r"(at least|at most|more than|less than|fewer than|no more than|no fewer than|no less than|greater than"
    r"|not less than"
    r"|approximately|approx\.?|about|roughly|around|nearly|exactly|\\approx|\\sim|\\simeq|>|<|\\le|\\ge)(?![a-zA-Z]) ?",
    re.IGNORECASE,
)
_BOUND_AFTER = re.compile(r"(.*\S) (or more|or less|or fewer|or greater|at least|at most)", re.IGNORECASE)
_MARKS = {"at least": ">=", "no fewer than": ">=", "no less than": ">=", "not less than": ">=", "or more": ">=",
    "or greater": ">=",
          "at most": "<=", "no more than": "<=", "or less": "<=", "or fewer": "<=", "more than": ">",
          "greater than": ">",
          "less than": "<", "fewer than": "<", ">": ">", "<": "<", r"\le": "<=", r"\ge": ">="}  # fmt: skip
_OUTWARD = re.compile(r"([\[\]])(.*)([\[\]])")
_BUILDER = re.compile(r"\\\{ ?([a-zA-Z])(?:\\in ?\\mathbb\{R\})? ?(?:\\mid(?![a-z])|\||:|\\colon) ?(.*)\\\}")
_SCIENTIFIC = re.compile(r"(?<![\d.])(\d)e([-+])(?=\d)")
_CROSS = re.compile(r"(?<=\d) ?[xX] ?(?=10\^)|(?<=\d) [xX] (?=\d)")
_ORDINAL = re.compile(r"\d.{0,12}(?:st|nd|rd|th)\s?\}{0,2}$")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3}){1,12}")
_EMPTY = re.compile(r"(?<!\\)\{\}")
_PYTHON_COMPLEX = re.compile(r"\(?[-+]?[\d.]+ ?[-+] ?[\d.]+j\)?")
_LABEL = re.compile(
    r"\\(?:text|textbf|mathbf|mathrm|textrm) ?\{ ?\([A-H]\) ?\} ?(?=[^\s^_'+*/=<>,-])"
    r"|\([A-H]\)(?=\d|\\frac|\\sqrt|\\\$)"
)
_BOLD = re.compile(r"^\*\*(?=[^*])|\*\*[!.]?$")
_DOLLARS = re.compile(r"\$((?:[^$\\]|\\.)+)\$")
_MATH = re.compile(r"(?<!\\)\\[()\[\]]")
_HEX = re.compile(r"(-?)0([xbo])([0-9a-fA-F]{1,60})")
_PLAIN = re.compile(r"[\w\s.,:;'’&/()%$°-]+")
_BASES = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "twelve": 12,
          "sixteen": 16}  # fmt: skip


def read(text: str) -> Read:
    """The reading of a canonical answer, and the other one where there are two.

    Raises:
        Unread: with what has not been read.
    """
    if len(text) > MAX_CHARS:
        raise Unread("it is too long")
    way = Way(tight=False)
    try:
        reading = read_text(text, way)
    except RecursionError:
        raise Unread("it is nested too deep") from None
    if not way.doubts:
        return Read(reading)
    try:
        other = read_text(text, Way(tight=True))
    except Unread:
        return Read(reading, None, frozenset(way.doubts))
    return Read(reading, other, frozenset(way.doubts))


def read_text(text: str, way: Way) -> Reading:
    """The reading of a text, in one way."""
    text = _unwrapped(_EMPTY.sub("", text))
    if _PYTHON_COMPLEX.fullmatch(text):
        text = text.replace("j", "i")
    plain = " ".join(unwrap_text(text).split()) if "\\" in text else text
    special = _special(text, plain, way)
    if special is not None:
        return special
    text = _CROSS.sub(r"\\times ", text)
    if _SCIENTIFIC.search(text):
        way.doubts.add("e may be a number")
        text = _SCIENTIFIC.sub(r"\1 e \2", text) if way.tight else text
    try:
        return read_tokens(tokens(text), way)
    except Unread:
        words = read_words(plain)
        if words is None:
            raise
        return _MEANINGS.get(words.meaning or "", words)


def _unwrapped(text: str) -> str:
    """Without what stands around the whole: a text command, braces, a label such as `Answer:`."""
    text = _MATH.sub(" ", text).strip() if "\\" in text else text.strip()
    text = _BOLD.sub("", text)
    if match := _DOLLARS.fullmatch(text):
        text = match.group(1).strip()
    for _ in range(4):
        before = text
        match = re.fullmatch(
            r"\\(?:text|textrm|textbf|textit|textnormal|mathrm|mbox|rm|operatorname) ?\{([^{}]*)\}", text
        )
        if match and len(match.group(1).strip()) > 1:
            text = match.group(1).strip()
        text = re.sub(r"^\\text ?\{ ?(?:[Ff]inal )?[Aa]nswer(?: is)?:? ?\}", "", text).strip()
        if text == before:
            break
    text = _LABEL.sub("", text, count=1) if _LABEL.match(text) else text
    return without_aside(text)


def _special(text: str, plain: str, way: Way) -> Reading | None:
    """What is read from the text as a whole: named sets, spelled numbers, times, bounds, bases, builders of sets."""
    if text in _SETS:
        return _SETS[text]
    if text == r"\{\}":
        return Collection("set", ())
    if match := _BUILDER.fullmatch(text):
        return read_text(match.group(2), way)
    if (match := _OUTWARD.fullmatch(text)) and match.group(1) + match.group(3) != "[]":
        turned = {"]": "(", "[": "["}[match.group(1)], {"[": ")", "]": "]"}[match.group(3)]
        return read_text(turned[0] + match.group(2) + turned[1], way)
    return _number_as_a_whole(text, plain, way) or _bound(plain if "\\text" in text else text, way)


def _number_as_a_whole(text: str, plain: str, way: Way) -> Reading | None:
    """What is read from its characters: hexadecimal, a base, an ordinal, grouped digits, a spelled number, a time."""
    if match := _HEX.fullmatch(text):
        sign, letter, digits = match.groups()
        base = {"x": 16, "b": 2, "o": 8}[letter]
        try:
            value = int(digits, base)
        except ValueError:
            raise Unread(f"{text!r}") from None
        return Amount(number(-value if sign else value))
    if match := _BASED.fullmatch(text):
        base_name = match.group(2)
        base = int(base_name) if base_name.isdigit() else _BASES.get(base_name, 0)
        if 2 <= base <= 36 and any(c.isdigit() for c in match.group(1)):
            return _based(match.group(1).upper(), base)
    if _ORDINAL.search(text) and (ordinal := spelled(text)) is not None:
        return Amount(number(ordinal))
    if _GROUPED.fullmatch(text):
        way.doubts.add("digits in groups or a list")
        if way.tight:
            return Collection("list", tuple(Amount(number(int(part))) for part in text.split(",")))
    if _PLAIN.fullmatch(plain):
        value_ = spelled(plain) if any(c.isalpha() for c in plain) else None
        if value_ is not None:
            return Amount(number(value_))
        timed = read_date(plain) or read_clock(plain) or read_compound(plain)
        if timed is not None:
            return timed
    return None


def _based(digits: str, base: int) -> Based:
    if any(int(digit, 36) >= base for digit in digits):
        raise Unread(f"{digits} is no number in base {base}")
    return Based(digits.lstrip("0") or "0", base)


def _bound(text: str, way: Way) -> Reading | None:
    if match := _BOUND_BEFORE.match(text):
        said = match.group(1).lower()
        inner = read_text(text[match.end() :], way)
        if said == "exactly":
            return inner
        return Bound(_MARKS.get(said, "~"), inner)
    if match := _BOUND_AFTER.fullmatch(text):
        return Bound(_MARKS[match.group(2).lower()], read_text(match.group(1), way))
    return None


def read_tokens(found: Sequence[Token], way: Way) -> Reading:
    """The reading of tokens."""
    found = list(found)
    while len(found) > 2 and brackets_around(found) == ("{", "}"):
        found = found[1:-1]
    if not found:
        raise Unread("nothing is there")
    found, integers = without_conditions(found)
    reading = _read_tokens(found, way)
    return Family(reading, integers[0]) if len(integers) == 1 else reading


def _read_tokens(found: list[Token], way: Way) -> Reading:
    parts, joint = parts_at_top(found)
    if len(parts) > 1:
        return Collection("list", tuple(read_tokens(part, way) for part in parts), joint)
    if any(token.value in (r"\pmod", r"\bmod", r"\equiv") or token.value == "mod" for token in found):
        congruence = _congruence(found, way)
        if congruence is not None:
            return congruence
    marks = marks_at_top(found)
    if marks:
        return _relation(found, marks, way)
    table = read_table(found, way, read_tokens)
    if table is not None:
        return table
    around = brackets_around(found)
    if around is not None:
        bracketed = _bracketed(found[1:-1], around, way)
        if bracketed is not None:
            return bracketed
    joined = _union(found, way)
    if joined is not None:
        return joined
    ratio = split_at_colons(found)
    if ratio is not None:
        return Ratio(tuple(way.tree(part) for part in ratio))
    name = written(found).replace(" ", "")
    return _SETS.get(name) or _WORDS.get(name) or read_amount(found, way)


def _relation(found: list[Token], marks: list[int], way: Way) -> Reading:
    edges = [-1, *marks, len(found)]
    sides = [found[edges[at] + 1 : edges[at + 1]] for at in range(len(edges) - 1)]
    signs = tuple(found[at].value for at in marks)
    if not sides[0]:
        if signs[0] in (r"\approx", r"\sim", r"\simeq", "="):
            inner = read_tokens(sides[1], way)
            return inner if signs[0] == "=" else Bound("~", inner)
        raise Unread(f"{signs[0]!r} with nothing before it")
    if not all(sides):
        raise Unread("a relation breaks off")
    return Relation(tuple(_side(side, way) for side in sides), signs)


def _side(side: list[Token], way: Way) -> Reading:
    try:
        return read_tokens(side, way)
    except Unread:
        if side[0].value in (r"\angle", r"\triangle", r"\overline", r"\measuredangle") or all(
            t.kind in ("text", "run") for t in side
        ):
            return Amount(("sym", "#name " + written(side)))
        raise


def _bracketed(inside: list[Token], around: tuple[str, str], way: Way) -> Reading | None:
    parts, _ = parts_at_top(inside, words=False)
    if around in ((r"\{", r"\}"), (r"\lbrace", r"\rbrace")):
        return Collection("set", tuple(read_tokens(part, way) for part in parts))
    if around == (r"\langle", r"\rangle"):
        return Collection("tuple", tuple(read_tokens(part, way) for part in parts))
    if around == ("(", ")") and len(parts) == 1 and marks_at_top(inside):
        return read_tokens(inside, way)
    if around[0] not in ("(", "[") or around[1] not in (")", "]") or len(parts) < 2:
        if around in (("(", ")"), ("[", "]")) and inside and inside[0].value in (r"\begin", r"\{", "("):
            return read_tokens(inside, way)
        return None
    members = tuple(read_tokens(part, way) for part in parts)
    if len(members) == 2 and all(isinstance(member, Amount) for member in members):
        low, high = (member.tree for member in members if isinstance(member, Amount))
        return Interval(low, high, around[0] + around[1], members if around in (("(", ")"), ("[", "]")) else ())
    if around[0] != "(" and around != ("[", "]"):
        return None
    return Collection("tuple", members)


def _union(found: list[Token], way: Way) -> Reading | None:
    """Intervals and points joined by union signs; the reals without some points."""
    values = [token.value for token in found]
    if r"\setminus" in values or "\\backslash" in values:
        at = values.index(r"\setminus" if r"\setminus" in values else r"\backslash")
        whole, without = read_tokens(found[:at], way), read_tokens(found[at + 1 :], way)
        if whole != Region((ALL_REALS,)) or not isinstance(without, Collection):
            raise Unread(r"\setminus")
        points = [member.tree for member in without.members if isinstance(member, Amount)]
        if len(points) != len(without.members):
            raise Unread(r"\setminus")
        return Relation(
            (Amount(("sym", "#real")), Collection("set", tuple(Amount(point) for point in points))), (r"\notin",)
        )
    if r"\cup" not in values:
        return None
    depth, start, members = 0, 0, []
    for at, value in enumerate([*values, r"\cup"]):
        depth += (value in ("(", "[", r"\{", "{")) - (value in (")", "]", r"\}", "}"))
        if value == r"\cup":
            members.append(read_tokens(found[start:at], way))
            start = at + 1
    intervals: list[Interval] = []
    for member in members:
        if isinstance(member, Interval):
            intervals.append(member)
        elif isinstance(member, Collection) and all(isinstance(point, Amount) for point in member.members):
            intervals += [Interval(p.tree, p.tree, "[]") for p in member.members if isinstance(p, Amount)]
        else:
            raise Unread(r"\cup of what is no interval")
    return Region(tuple(intervals))


def _congruence(found: list[Token], way: Way) -> Congruence | None:
    text = written(found)
    match = re.fullmatch(
        r"(?:(.+?) ?(?:\\equiv|=) ?)?(.+?) ?(?:\\pmod ?\{?(.+?)\}?|\(?(?:\\bmod|\\mod|mod) ?(.+?)\)?)", text
    )
    if match is None or (match.group(1) is None and match.group(3) is None and "(" not in text):
        return None
    name, value, *moduli = match.groups()
    modulus = next(group for group in moduli if group)
    return Congruence(
        way.tree(tokens(value)), way.tree(tokens(modulus)), None if name is None else way.tree(tokens(name))
    )
