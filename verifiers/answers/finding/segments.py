r"""A text as sentences, and a sentence as runs of mathematics between runs of prose.

Invariants: a dollar sign before a number pairs with nothing unless what it encloses is mathematics (`$18 for 3 and $54`
is money, `$18$` is a formula); a run is never a piece of an expression: it ends where a word, the end of the sentence
or another formula ends it. Work is linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from synthflow.verifiers.answers.finding.vocabulary import CONSTANTS, FUNCTIONS, LITTLE

_MAX_FORMULA = 2000
_TOKEN = re.compile(r"\\\\|\\[()\[\]]|\\.|\$\$?", re.DOTALL)
_CLOSER = {"$": "$", "$$": "$$", r"\(": r"\)", r"\[": r"\]"}
_TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mbox|operatorname)\s?\{[^{}]*\}|\\[a-zA-Z]+")
_CURRENCY = re.compile(r"(?:US|CA|AU|NZ|HK|[CAS])$")
_LONG_WORD = re.compile(r"[^\W\d_]{3,}")
_JOINING = frozenset(("and", "or"))


class Span(NamedTuple):
    """A formula: where it begins and ends with its delimiters, and what is between them."""

    start: int
    end: int
    content: str


class Run(NamedTuple):
    """Mathematics in a sentence: its place and its text without delimiters."""

    start: int
    end: int
    text: str


def formulas(text: str) -> list[Span]:
    r"""The `$…$`, `$$…$$`, `\(…\)` and `\[…\]` of a text in their order."""
    if "$" not in text and "\\" not in text:
        return []
    found: list[Span] = []
    opened: re.Match[str] | None = None
    for token in _TOKEN.finditer(text):
        mark = token.group()
        if opened is None:
            opened = token if mark in _CLOSER else None
            continue
        if mark == _CLOSER[opened.group()]:
            content = text[opened.end() : token.start()]
            if _is_formula(content, mark, text[token.end() : token.end() + 1]):
                found.append(Span(opened.start(), token.end(), content.strip()))
                opened = None
            else:
                opened = token if mark == "$" else None
        elif mark in _CLOSER and (mark != "$" or opened.group() == "$$") and opened.group() != r"\[":
            opened = token  # the one before was no opening sign, or never closes
    return found


def _is_formula(content: str, mark: str, behind: str) -> bool:
    if not content.strip() or len(content) > _MAX_FORMULA:
        return False
    if mark != "$":
        return True
    if "\n\n" in content or behind.isdigit() or content[0].isspace() != content[-1].isspace():
        return False
    bare = content.strip()
    if not bare[0].isdigit() or (not content[-1].isspace() and not _CURRENCY.search(content)):
        return bare[-1] not in "+-*/=<>(,;"
    if bare[-1] in "+-*/=<>(,;":
        return False
    words = _LONG_WORD.findall(_TEXT.sub(" ", bare))
    return all(word.lower() in FUNCTIONS or word.lower() in _JOINING for word in words)


def without_delimiters(text: str) -> str:
    """A text with its formulas as they are between their delimiters."""
    parts, at = [], 0
    for span in formulas(text):
        parts += [text[at : span.start], span.content]
        at = span.end
    return "".join([*parts, text[at:]])


_END = re.compile(r"[.?!。！？।](?=[\s*\"'”’)\]]|$)|[。！？।]|\n")
_ABBREVIATED = re.compile(
    r"(?:\b(?:i\.e|e\.g|approx|resp|vs|cf|etc|No|Mr|Mrs|Ms|Dr|St|a\.m|p\.m|[ap]\.m|eq)|(?<!\.)\.\.)$"
)
_ENVIRONMENT = re.compile(r"\\begin\{(\w+\*?)\}.{0,2000}?\\end\{\1\}", re.DOTALL)
_NUMBERED = re.compile(r"(?:^|\n)\s*\d{1,3}$")


def sentences(text: str) -> list[str]:
    """The sentences of a text, without those that are blank; a formula holds no end of a sentence."""
    return list(each_sentence(text))


def each_sentence(text: str, mid_line: bool = False) -> Iterator[str]:
    """The sentences of a text, one by one; one that begins in the middle of a line begins with no item's number."""
    spans = formulas(text)
    if "\\begin" in text:
        spans = sorted([*spans, *(Span(m.start(), m.end(), m.group()) for m in _ENVIRONMENT.finditer(text))])
    start = at = 0
    for match in _END.finditer(text):
        place = match.start()
        while at < len(spans) and spans[at].end <= place:
            at += 1
        if at < len(spans) and spans[at].start < place:
            continue
        sign = match.group()
        if sign == "." and (_ABBREVIATED.search(text, max(0, place - 8), place) or _numbers(text, place, mid_line)):
            continue
        if sign == "!" and not re.search(r"[^\W\d_]{2}[*_\"”)]*$", text[max(0, place - 6) : place]):
            continue  # a factorial
        stop = match.end() if sign != "\n" else place
        if sentence := text[start:stop].strip():
            yield sentence
        start = match.end()
    if sentence := text[start:].strip():
        yield sentence


def _numbers(text: str, place: int, mid_line: bool) -> bool:
    """Whether a point stands behind the number of an item: `2. Then`."""
    start = max(0, place - 8)
    match = _NUMBERED.search(text[start:place])
    return match is not None and (match.group().startswith("\n") or (start == match.start() == 0 and not mid_line))


_MONEY = r"(?:US|CA|AU|NZ|HK|[CAS])?\\?[$€£¥₹](?=\s?[-\d.])"
_NUMBER = r"(?:\d{1,3}(?:(?:,|\{,\})\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][-+]?\d+(?![\w.]))?(?:st|nd|rd|th)?|\.\d+"
_WORD = r"(?:\d+-)?[^\W\d_]{2,}(?:[-'’][^\W_]+)*|(?<![A-Za-z])[aAI](?=\s+(?:\d|(?!and\b|or\b|is\b|are\b)[^\W\d_]{2,}))"
_MATRIX = r"\\begin\{(?P<environment>\w+\*?)\}.{0,2000}?\\end\{(?P=environment)\}"
_SIGNS = r"-+*/^=<>≤≥≠≈≡±×·÷⋅()\[\]{}|!_%°√∞′−–—∈∪∩…∑∏⌊⌋⌈⌉→&~⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉⁻⁺ⁿ½⅓¼¾⅔#'"
_ATOM = re.compile(
    rf"""
      (?P<word>{_WORD})
    | (?P<clock>\d{{1,2}}:\d\d(?::\d\d)?(?:\s?(?:[aApP]\.[mM]\.|[aApP][mM]\b))?)
    | (?P<atom>{_MATRIX}|{_MONEY}|(?:{_NUMBER})|\\[a-zA-Z]+\s?(?:\{{[^{{}}]*\}})?|\\[^\sa-zA-Z]|[^\W\d_]'*|\.\.\.
      |[{_SIGNS}])
    | (?P<comma>[,;:])
    | (?P<space>[ \t\u00a0]+)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_CONTENT = re.compile(r"[\w∞∅πℝ½⅓¼¾⅔]")
_EDGE = " \t,;:~&#'—–"


def runs(sentence: str) -> list[Run]:
    """The mathematics of a sentence, in its order: formulas, and what is written without delimiters."""
    found: list[Run] = []
    at = 0
    for span in [*formulas(sentence), None]:
        stop = len(sentence) if span is None else span.start
        found += _plain_runs(sentence, at, stop)
        if span is not None:
            found.append(Run(span.start, span.end, _unpointed(span.content)))
            at = span.end
    return _glued(sentence, found)


def _unpointed(content: str) -> str:
    """A formula without the sign that ends its sentence; an ellipsis is part of it."""
    bare = content.rstrip(" .,;")
    at = content.rfind("...", len(bare))
    return bare if at < 0 else content[: at + 3]


def _plain_runs(text: str, start: int, stop: int) -> Iterator[Run]:
    first = last = None
    depth = 0
    pending = False  # a comma since the last atom
    for match in _ATOM.finditer(text, start, stop):
        kind = "atom" if match.group("environment") else match.lastgroup
        token = match.group()
        if (kind == "word" and token.lower() in FUNCTIONS) or (
            kind == "word"
            and last is not None
            and (
                (last == match.start() and text[last - 1].isdigit() and "-" not in token)  # 50km
                or (len(token) <= 3 and text[last - 1] in "+-*/^=(−·×" and token.lower() not in LITTLE)  # a product: xy
            )
        ):
            kind = "atom"
        if kind == "space":
            continue
        if kind in ("atom", "clock"):
            if first is None:
                first = match.start()
            depth += (token in "([{") - (token in ")]}")
            last, pending = match.end(), False
            continue
        if kind == "comma" and first is not None and not pending and (depth > 0 or _goes_on(text, match.end(), stop)):
            pending = True
            continue
        if first is not None and last is not None:
            run = _trimmed(text, first, last)
            if run is not None:
                yield run
        first = last = None
        depth, pending = 0, False
    if first is not None and last is not None:
        run = _trimmed(text, first, last)
        if run is not None:
            yield run


_GOES_ON = re.compile(rf"\s?(?:{_MONEY}|[-−+]?\d|\\[a-zA-Z(]|[^\W\d_](?=\s?[=<>≤≥^_(])|[(\[{{])")


def _goes_on(text: str, at: int, stop: int) -> bool:
    """Whether mathematics follows a comma, so that it joins a list."""
    return _GOES_ON.match(text, at, stop) is not None


def _trimmed(text: str, first: int, last: int) -> Run | None:
    """A run without signs at its edges that belong to the prose, or None where nothing is left."""
    while first < last and text[first] in _EDGE:
        first += 1
    while first < last and text[last - 1] in _EDGE:
        last -= 1
    run = text[first:last]
    run, first, last = _unbalanced(run, first, last)
    run, first, last = _emphasis(run, first, last)
    if not _CONTENT.search(run) or (run.isalpha() and len(run) > 1 and run.lower() not in CONSTANTS):
        return None
    if last < len(text) and run.endswith("-"):
        return None  # "4-digit"
    return Run(first, last, run)


def _unbalanced(run: str, first: int, last: int) -> tuple[str, int, int]:
    """Without a bracket at the edge that the prose closes: `(12` of "(12 apples)"; `[3, 7)` is an interval."""
    while run and run[-1] in "([\\":
        run, last = run[:-1].rstrip(), last - (len(run) - len(run[:-1].rstrip()))
    opened, closed = _count(run, "(["), _count(run, ")]")
    while opened > closed and run and run[0] in "([":
        run, first, opened = run[1:].lstrip(), first + len(run) - len(run[1:].lstrip()), opened - 1
    while closed > opened and run and run[-1] in ")]":
        run, last, closed = run[:-1].rstrip(), last - (len(run) - len(run[:-1].rstrip())), closed - 1
    if opened > closed and (cut := _unmatched(run)) > 0:
        run, last = run[:cut].rstrip(), last - (len(run) - len(run[:cut].rstrip()))  # 99 (100 - 1, because n > 1)
    return run, first, last


def _unmatched(run: str) -> int:
    """Where the first bracket opens that never closes."""
    opened: list[int] = []
    for place, sign in enumerate(run):
        if sign in "([":
            opened.append(place)
        elif sign in ")]" and opened:
            opened.pop()
    return opened[0] if opened else -1


def _count(run: str, signs: str) -> int:
    return sum(run.count(sign) for sign in signs)


def _emphasis(run: str, first: int, last: int) -> tuple[str, int, int]:
    """Without the stars and underscores of Markdown around it."""
    bare = run.lstrip("*_ ")
    first += len(run) - len(bare)
    run = bare.rstrip("*_ ")
    return run, first, last - (len(bare) - len(run))


def _glued(sentence: str, found: list[Run]) -> list[Run]:
    """Runs with nothing but spaces between them are one: `$x$ = 5`."""
    joined: list[Run] = []
    for run in found:
        if joined and not sentence[joined[-1].end : run.start].strip(" *_"):
            before = joined.pop()
            joined.append(Run(before.start, run.end, f"{before.text} {run.text}"))
        else:
            joined.append(run)
    return joined
