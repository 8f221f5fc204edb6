r"""Where a completion gives a choice: in a box, a tag, after "the answer is", alone in its last line, or as all of it.

Invariants: places come in the order of the text; one that is denied ("I do not think the answer is B") or that holds
no letter is told as such, so that it may take back what stands before it. Only the last 4,000 characters are read, and
work is linear in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from synthflow.verifiers.choice_letters import Choice, Options, choice_in, plain
from synthflow.verifiers.choice_words import (
    ADVERBS,
    CONCLUDING,
    CONCLUDING_UNSPACED,
    DENIED,
    DENIED_UNSPACED,
    SPACED,
    UNSPACED,
    any_of,
)

Rule = Literal[
    "box", "tag", "announced", "denied", "picked", "concluded", "called_right", "first_line", "last_line", "whole"
]

TAIL = 4000  # characters from the end that are read; an answer stands at the end
_PLACE = 500  # characters of a place
_MOST = 40  # announcements, the last ones
_HEADING = 40  # characters of a line that may be a heading: "## Final answer"
_WHOLE = 200  # characters of a completion that is an answer

_BOX_OPEN, _BOX_CLOSE = "\ue000", "\ue001"
_BOX = re.compile(r"\\f?boxed\s{0,3}\{|\\fbox\s{0,3}\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_TAG = re.compile(r"<(answer|final_answer|choice)>\s*([^<>]{0,500}?)\s*</\1>", re.IGNORECASE)
_DRESSING = re.compile(r"[\s:\"]{0,20}")
_BULLET = re.compile(r"[\s>#*•·✅☑✓✔→⇒-]+")


@dataclass(frozen=True, slots=True)
class Place:
    """One place: from where to where in the text, by which rule, and what it gives.

    `firm` places speak of the answer for certain; another one may be a remark, and takes nothing back.
    """

    start: int
    end: int
    rule: Rule
    text: str
    choice: Choice
    firm: bool = True


_WORD = re.compile(r"[^\W\d_]+")


def _first_words(*alternatives: str) -> frozenset[str]:
    words = (_WORD.match(word.replace("\\", "")) for each in alternatives for word in each.split("|"))
    return frozenset(word.group() for word in words if word)


_ANSWER, _OPTION = any_of("answer", SPACED), any_of("option", SPACED)
_LINK = rf"(?:[:=]|[-–—]+>?(?=\s)|[→⇒]|=>|\s(?:{any_of('link', SPACED)})(?![^\W\d_]))"
# These are tried in the text in lower case.
_NOUN = re.compile(
    rf"(?:(?P<answer>{_ANSWER})|(?P<option>{_OPTION}))(?![^\W\d_])"
    rf"(?P<rest>[\"'»)\]]{{0,3}}(?:\s{{1,3}}(?:{any_of('after', SPACED)})(?![^\W\d_])){{0,3}}"
    rf"(?:\s(?:to|for|of|in)\s[^.:;,\n]{{1,60}}?(?=\s{{0,3}}{_LINK}))?"
    rf"(?P<link>(?:\s{{0,3}}{_LINK}){{1,2}})?(?:\s{{1,3}}(?:{ADVERBS})(?![^\W\d_]),?){{0,3}})"
)
_NOUN_UNSPACED = re.compile(
    rf"(?:(?P<answer>{any_of('answer', UNSPACED)})|(?P<option>{any_of('option', UNSPACED)}))"
    rf"(?P<rest>\s?(?:{any_of('after', UNSPACED)})?\s?(?P<link>\s?(?:{any_of('link', UNSPACED)})?\s?(?:[:=]|[-–—]+)?))"
    rf"\s?(?:{any_of('option', UNSPACED)})?"
)
_NOUNS_BEGIN, _PICKS_BEGIN = _first_words(_ANSWER, _OPTION), _first_words(any_of("pick", SPACED))
_PICK = re.compile(rf"(?:{any_of('pick', SPACED)})(?![^\W\d_])\s{{0,3}}(?:{ADVERBS})?\s{{0,3}}")
_PICK_UNSPACED = re.compile(rf"(?:{any_of('pick', UNSPACED)})\s?(?:{any_of('option', UNSPACED)})?\s?:?\s?")
_SUBJECT = re.compile(
    r"(?:\b(?:i|we|i'd|i’d|i'll|let's|let us|let me|so|thus|therefore|hence|must|should|will|would|to)"
    r"\s[\w ]{0,12}|^\s*)$"
)
_CALLED = re.compile(
    rf"(?<![a-z0-9_'’])[(\[]?(?P<letter>[a-j])[)\]]?(?![a-z0-9_'’])"
    rf"(?:\s{{1,3}}(?:{any_of('link', SPACED)})(?:\s[^\W\d_]{{1,15}}){{0,3}}?"
    rf"\s(?:{any_of('right', SPACED)})(?![^\W\d_])(?:\s(?:{_ANSWER}|{_OPTION})(?![^\W\d_]))?"
    rf"|\s?(?:{any_of('right', UNSPACED)}))"
)
_NAMED = re.compile(rf"(?:{_ANSWER}|{_OPTION}|{any_of('answer', UNSPACED)})")
_JOINED = re.compile(r"(?:\b(?:and|or|nor|y|et|und|e|o|ou|oder)|[,&/、和或与])\s?[(\[]?$")
_DENIED = re.compile(rf"(?<![^\W_])(?:{DENIED})(?![^\W\d_])|(?:n't|n’t)\b|{DENIED_UNSPACED}", re.IGNORECASE)
_NOT_NEXT = re.compile(
    rf"[\s:]{{0,3}}(?:is|are|was|ca|could|would)?\s?(?:{DENIED})(?![^\W\d_])|(?:is|ca)n['’]t\b|[은는이가は]?\s?(?:{DENIED_UNSPACED})",
    re.IGNORECASE,
)
_ASKED = re.compile(r"\s*(?:is|are|was|could|would|est-ce|ist)\s")
_ALONE = re.compile(r"(?!\s?(?:is|are|was|has|does|would|could|can|cannot|says|because)\b)")
_ENDS = re.compile(r"[\s*\"'”)]{0,4}(?:[.!。]|$)")
_CONCLUDING = re.compile(
    rf"(?:(?:^|(?<![^\W_]))(?:{CONCLUDING})|{CONCLUDING_UNSPACED})[\s,:，：]{{0,3}}(?:the\s)?(?:(?:correct|right|best|final)\s)?$"
)
_CONCLUDES = re.compile(
    rf"(?:(?<![^\W_])(?:{CONCLUDING})(?![^\W\d_])|{CONCLUDING_UNSPACED})[\s,:，：]{{1,3}}"
    r"(?:it (?:is|must be)\s|it's\s)?"
)
_COPULA = re.compile(r"\s?(?:です|である|입니다|이다|है|होगा|হবে|است|ہے)")
_CLAUSE = re.compile(
    r"[.,;:!?\n。！？，；。]|\b(?:so|thus|therefore|hence|then|but|and|which means|meaning)\b|所以|因此|故",
    re.IGNORECASE,
)
_LABEL_LINE = re.compile(r"^[\s>*•·-]*[(\[]?([A-Ja-j])\s?[.):\]]\s?", re.MULTILINE)


def places(text: str, options: Options, furthest: int) -> tuple[str, list[Place]]:
    """The plain end of a text, which stands after the thought, and all places in it, in its order."""
    text = plain(_with_boxes(text[-TAIL:])).rstrip()
    read = _Reader(text, options, furthest)
    found = [*read.boxes(), *read.tags(), *read.announced(), *read.picked()]
    last = read.last_line([place for place in found if place.choice.letters])
    found += [last] if last else []
    if not any(place.choice.letters for place in found):
        first = read.first_line()
        found += [first] if first and not found else [*read.concluded()] or read.called_right()
    return text, sorted(found, key=lambda place: (place.start, -place.end))


def _with_boxes(text: str) -> str:
    """The text with each box that closes set between two marks; of boxes in boxes, the outer ones."""
    if "box" not in text:
        return text
    parts, at = [], 0
    for match in _BOX.finditer(text):
        if match.start() < at:
            continue
        end = _closing(text, match.end())
        if end is not None:
            parts += [text[at : match.start()], _BOX_OPEN, text[match.end() : end], _BOX_CLOSE]
            at = end + 1
    return "".join([*parts, text[at:]])


def _closing(text: str, start: int) -> int | None:
    depth = 1
    for brace in _BRACE.finditer(text, start, min(len(text), start + _PLACE)):
        depth += {"{": 1, "}": -1}.get(brace.group(), 0)
        if depth == 0:
            return brace.start()
    return None


class _Reader:
    """Finds places in one text, whose boxes are marked."""

    def __init__(self, text: str, options: Options, furthest: int) -> None:
        self.text, self.options, self.furthest = text, options, furthest
        lowered = text.lower()
        self.lowered = lowered if len(lowered) == len(text) else "".join(c.lower()[:1] for c in text)

    def _place(self, start: int, at: int, end: int, rule: Rule, firm: bool = True) -> Place:
        """What stands from `at` to `end`, whether or not in a box."""
        text = _unboxed(self.text[at:end])
        choice = choice_in(text, self.options, self.furthest)
        return Place(start, at + choice.length if choice.letters else end, rule, text.strip(), choice, firm)

    def _words(self, spaced: re.Pattern[str], first: frozenset[str], unspaced: re.Pattern[str]) -> list[re.Match[str]]:
        """The last places where a word of `spaced` stands, whose first words are `first`, or one of `unspaced`."""
        starts = (word.start() for word in _WORD.finditer(self.lowered) if word.group() in first)
        found = [match for match in (spaced.match(self.lowered, at) for at in starts) if match]
        if not self.text.isascii():
            found = sorted([*found, *unspaced.finditer(self.lowered)], key=re.Match.start)
        return found[-_MOST:]

    def boxes(self) -> Iterator[Place]:
        for match in re.finditer(f"{_BOX_OPEN}([^{_BOX_OPEN}{_BOX_CLOSE}]*){_BOX_CLOSE}", self.text):
            choice = choice_in(match.group(1), self.options, self.furthest)
            yield Place(match.start(), match.end(), "box", match.group(1).strip(), choice)

    def tags(self) -> Iterator[Place]:
        for match in _TAG.finditer(self.text):
            yield Place(match.start(), match.end(), "tag", *self._tagged(match.group(2)))

    def _tagged(self, content: str) -> tuple[str, Choice]:
        content = _unboxed(content).strip()
        return content, choice_in(content, self.options, self.furthest)

    def announced(self) -> Iterator[Place]:
        for match in self._words(_NOUN, _NOUNS_BEGIN, _NOUN_UNSPACED):
            place = self._announced(match)
            if place is not None:
                yield place

    def _announced(self, match: re.Match[str]) -> Place | None:
        is_answer, link = match.group("answer") is not None, (match.group("link") or "").strip()
        end = self._line_end(match.end())
        denied = _NOT_NEXT.match(self.lowered, match.end())
        if denied is not None and is_answer:
            return self._place(match.start(), denied.end(), end, "denied")
        if denied is not None or self._is_denied(match.start()):
            return None
        dressing = _DRESSING.match(self.text, match.end())
        if dressing is not None and dressing.end() >= end and is_answer and (link or self._is_heading(match)):
            end = self._line_end(dressing.end())
        place = self._place(match.start(), match.end(), end, "announced", link.endswith((":", "=")))
        if place.choice.letters:
            behind = self.text[place.end : end]
            is_concluded = _CONCLUDING.search(self.lowered, max(0, match.start() - 40), match.start())
            if link or (_ALONE if is_answer else _COPULA).match(behind) or (is_concluded and _ENDS.match(behind)):
                return place
            return None
        return place if is_answer and link else None

    def concluded(self) -> Iterator[Place]:
        """ "Thus, (B).", in the last line."""
        start = self.text.rfind("\n") + 1
        for match in _CONCLUDES.finditer(self.lowered, start):
            place = self._place(match.start(), match.end(), len(self.text), "concluded", False)
            if place.choice.letters and _ENDS.match(self.text, place.end) and not self.text[place.end :].strip(' .!*"'):
                yield place

    def _is_heading(self, match: re.Match[str]) -> bool:
        line = self.text[self.text.rfind("\n", 0, match.start()) + 1 : match.end()]
        return len(line) <= _HEADING

    def picked(self) -> Iterator[Place]:
        for match in self._words(_PICK, _PICKS_BEGIN, _PICK_UNSPACED):
            before = self.lowered[max(0, match.start() - 30) : match.start()]
            if match.re is _PICK and not _SUBJECT.search(before):
                continue
            if not self._is_denied(match.start()):
                place = self._place(match.start(), match.end(), self._line_end(match.end()), "picked", False)
                if place.choice.letters:
                    yield place

    def called_right(self) -> list[Place]:
        """ "B is the correct answer", where no other letter is called so."""
        found = []
        for match in [*_CALLED.finditer(self.lowered)][-_MOST:]:
            at = match.start("letter")
            if _JOINED.search(self.lowered, max(0, at - 12), match.start()):
                return []
            if self.text[at].isupper() and not self._is_denied(at) and not _DENIED.search(match.group()):
                choice = Choice((self.text[at],))
                firm = bool(_NAMED.search(match.group()))
                found.append(
                    Place(match.start(), match.end(), "called_right", self.text[slice(*match.span())], choice, firm)
                )
        return found if len({place.choice.letters for place in found}) == 1 else []

    def last_line(self, given: Sequence[Place]) -> Place | None:
        """The last line where it is a letter; or, where nothing else gives a choice, a label or an option's text."""
        start = self.text.rfind("\n") + 1
        if any(place.start >= start for place in given):
            return None
        is_whole = not self.text[:start].strip()
        return self._line(start, len(self.text), "whole" if is_whole else "last_line", not given)

    def first_line(self) -> Place | None:
        """The first line where it is a letter or a label, and the rest explains."""
        end = self.text.find("\n")
        return self._line(0, end, "first_line", True) if end >= 0 else None

    def _line(self, start: int, end: int, rule: Rule, may_label: bool) -> Place | None:
        bullet = _BULLET.match(self.text, start, end)
        at = start if bullet is None else bullet.end()
        place = self._place(start, at, end, rule)
        if not place.choice.letters or end - start > _WHOLE or place.text.strip(" .!") in ("a", "i"):
            return None
        if not self.text[place.end : end].strip(" .!。*\"'”)"):
            return place
        # A line that labels a text may be one of the options, told again.
        is_listed = rule != "whole" and len(_LABEL_LINE.findall(self.text)) > 1
        return place if may_label and not is_listed else None

    def _line_end(self, at: int) -> int:
        end = self.text.find("\n", at, at + _PLACE)
        return end if end >= 0 else min(len(self.text), at + _PLACE)

    def _is_denied(self, start: int) -> bool:
        """Whether the clause before an announcement takes it back or asks."""
        before = _CLAUSE.split(self.lowered[max(0, start - 80) : start])[-1]
        return bool(_DENIED.search(before) or _ASKED.match(before))


def _unboxed(text: str) -> str:
    return text.replace(_BOX_OPEN, " ").replace(_BOX_CLOSE, " ")
