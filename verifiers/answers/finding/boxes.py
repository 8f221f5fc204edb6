r"""The boxes of a text: `\boxed{…}`, `\fbox{…}`, `\boxed 5`, and which of them are one answer.

Invariants: a box counts whole or not at all; boxes that "and", "or", a comma or the numbers of parts join are one
answer, in their order; a last box that never closes leaves none. Work is linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_ANSWER = 20_000  # characters of a candidate that are kept; longer ones are refused later, as too large
_MAX_BOXES = 20  # unbalanced boxes that are passed over before the search gives up
_MAX_JOINT = 60  # characters between two boxes that are one answer

_OPEN = re.compile(r"\\f?boxed\s{0,3}\{|\\fbox\s{0,3}\{")
_PLAIN = re.compile(r"\\boxed\s{1,3}([-+]?[\w.,/]*\w|\\[a-z]+\w*)(?=\s*(?:[$.,;:)\]\\]|$|\s))")
_BRACE = re.compile(r"[{}]|\\.", re.DOTALL)
_WORDS = r"and|or|\\(?:text|textbf|mbox|mathrm|quad\\text)\s?\{\s?(?:and|or|,)\s?\}"
_JOINED = re.compile(
    rf"(?=[^a-z]*(?:,|;|&|and|or|\\text|\\mbox|\\q?quad))(?:[\s$,;&.]|{_WORDS}|\\q?quad|\\[,;:!()\[\] ]|\\\\)+"
)
_PART = re.compile(
    r"[\s$.,;*\\()\[\]]*\n[\s$*\\\[(-]*(?:\(?(?:[a-h]|[ivx]{1,4}|\d{1,2})[).]|Part \(?\w\)?:?)[\s$*\\(\[]*"
)
_FIRST_PART = re.compile(r"(?:^|\n)[\s$*\\\[(-]*(?:\(?(?:a|i|1)[).]|Part \(?[aA1]\)?:?)[\s$*\\(\[]*$")
_ECHO = re.compile(r"(?:\b(?:in|inside|within|using|with|use|the|into|of|a)\s+[\"'`$]{0,2})$")


class Box(NamedTuple):
    """Where a box or the first of several that are one begins, where the last ends, and what they hold."""

    start: int
    end: int
    content: str


def boxes(text: str, limit: int = _MAX_BOXES) -> list[str]:
    """Contents of the last balanced boxes, the last one first; at most `limit` boxes are looked at."""
    return [box.content for box in _spans(text, limit) if box is not None]


def last_box(text: str) -> Box | None:
    """The last box, with those that are joined to it.

    Returns:
        The box; one without content where the last box is empty, never closes or holds no answer; None without any.
    """
    at = text.rfind("box")
    if at < 0:
        return None
    if text.find("box", 0, at) < 0 and text.startswith("\\boxed{", at - 1):  # one box: most texts, in a few steps
        end = text.find("}", at + 6)
        if end > 0 and text[at + 6 : end].isalnum():
            return Box(at - 1, end + 1, text[at + 6 : end])
    found = _spans(text, _MAX_BOXES)
    for last in found:
        if last is None:
            return Box(len(text), len(text), "")
        if last.content.strip(" ?._…") or not _ECHO.search(text, max(0, last.start - 12), last.start):
            return _joined(text, last, found)
    return None


def _joined(text: str, last: Box, before: Iterator[Box | None]) -> Box:
    if not last.content.strip(" ?._…"):
        return Box(last.start, last.end, "")
    contents, first = [last.content], last
    parts: bool | None = None
    for box in before:
        if box is None:
            break
        between = text[box.end : first.start]
        if box.end > first.start or len(between) > _MAX_JOINT:
            break
        joint = _JOINED.fullmatch(between) is not None
        if not joint and (parts is False or not _PART.fullmatch(between)):
            break
        if parts is None:
            parts = not joint
        contents.append(box.content)
        first = box
    if parts and not _FIRST_PART.search(text, max(0, first.start - 40), first.start):
        return last  # the last of several steps, not of several answers
    return Box(first.start, last.end, ",".join(reversed(contents)))


def _spans(text: str, limit: int) -> Iterator[Box | None]:
    """Boxes, the last first; None for one that never closes."""
    at, looked = len(text), 0
    while looked < limit and (at := text.rfind("box", 0, at)) > 0:
        command = at - 2 if text[at - 1] == "f" else at - 1
        match = _OPEN.match(text, command) if command >= 0 else None
        if match is not None:
            looked += 1
            end = closing_brace(text, match.end())
            yield None if end is None else Box(command, end + 1, text[match.end() : end].strip())
        elif (plain := _PLAIN.match(text, at - 1)) and any(sign.isdigit() or sign == "\\" for sign in plain.group(1)):
            looked += 1
            yield Box(at - 1, plain.end(), plain.group(1))


def closing_brace(text: str, start: int) -> int | None:
    """Index of the brace that closes the one before `start`; escaped braces do not count."""
    stop = min(len(text), start + MAX_ANSWER)
    depth = 1
    for match in _BRACE.finditer(text, start, stop):
        brace = match.group()
        if brace == "{":
            depth += 1
        elif brace == "}":
            depth -= 1
            if depth == 0:
                return match.start()
    return None
