r"""What an announcement announces: "the answer is 72, in total", "**Final answer:**" with the answer on the next line.

Invariants: the last announcement counts; one that its sentence doubts or supposes is passed over, one that is taken
back leaves no answer, and so does one behind which nothing stands. What follows the answer ("so Bob wins", "since
8*9 = 72") is no part of it.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from synthflow.verifiers.answers.finding.boxes import MAX_ANSWER
from synthflow.verifiers.answers.finding.conclusions import conclusion
from synthflow.verifiers.answers.finding.markers import Marker, decimal_point, markers, said_choice, without_comment
from synthflow.verifiers.answers.finding.segments import each_sentence, runs, without_delimiters
from synthflow.verifiers.answers.finding.values import result_of, value_at
from synthflow.verifiers.answers.finding.vocabulary import ABOUT_IT
from synthflow.verifiers.answers.finding.wording import is_wording

_MOST = MAX_ANSWER + 1  # characters behind an announcement that are read
_LIST_ITEM = re.compile(r"[ \t>]*(?:[-*•+]|\d{1,2}[.)])[ \t]+(?=\S)")
_MARKUP = " \t*_`\"'“”>"
_LEAD = re.compile(
    r"""[\s*_`"'“”>:=：]*(?:(?:thus|indeed|therefore|simply|exactly|just|hence|then|clearly|obviously|definitely|actually|again|now|still|also|only|given\s+by
    |equal\s+to|going\s+to\s+be|found\s+to\s+be|a\s+total\s+of|in\s+total|as\s+follows|the\s+(?:number|value|fraction|integer|pair|point|expression)|that
    |option|choice|letter|answer|that\s+is|therefore)(?![\w-])[\s*_`"'“”:,]*)*""",
    re.IGNORECASE | re.VERBOSE,
)
_ROUGHLY = re.compile(
    r"(?:approximately|about|roughly|around|approx\.?|nearly|close\s+to|~|≈)(?:\s+|(?=\d))", re.IGNORECASE
)
_JSON = re.compile(r"\s*\"\s*:\s*(\"(?:[^\"\\]|\\.){0,2000}\"|[^\",}\n\]]{1,2000})")
_YES_NO = re.compile(
    r"(yes|no|true|false|none)(?=[*_)\"”]*(?:\s*[,.;:!—–-]|\s*$|\s+(?:because|since|as|it|there|we)\b))", re.IGNORECASE
)
_TAKEN_BACK = re.compile(
    r"(?:^\s*|[.!?,;\n]\s*|\bbut\s+|\band\s+)(?:(?:oh|oops|hmm+|no|but|sorry)[,.]?\s+)?(?:wait\b|actually[,\s]|oops|correction\b|on\s+second\s+thought|hold\s+on"
    r"|let\s+me\s+(?:re|correct)|sorry|i\s+made\s+(?:a|an)\s+(?:mistake|error)|scratch\s+that)"
    r"|\b(?:that|this|which|it)(?:\s+\w+)?\s+(?:is|was|seems|looks|can['’]?t|cannot)\s*(?:n['’]t|\s+not)?\s*(?:be\s+)?(?:wrong|incorrect|not\s+(?:right|correct)|right\?)"
    r"|^\W*(?:is|was)\s*(?:n['’]t|\s+not)\s+(?:right|correct|the)|^\W*(?:is|was)\s+(?:wrong|incorrect)",
    re.IGNORECASE,
)
_IS = re.compile(r"\s+(?:is|are|was|were|has|have|can|cannot|must|will|does)\b")
_SHOUTED = re.compile(r"\d!$")
_WHICH_IS = re.compile(
    r",?\s+which\s+(?:is|equals|simplifies\s+to|gives)\s+(?:equal\s+to\s+|just\s+|simply\s+)?(?=[$\\(]{0,3}[-+\d\\(A-Za-z]{1,2}(?![a-z]))"
)
_BENIGN = re.compile(
    r"""[\s*_`$")”\]}!.]*(?:$|[—–]|[,;:]\s*(?:so|as|in|which|where|when|since|because|i\.e|e\.g|or|not|and|but|if|for|with|giving|making|meaning|that|who
    |at|on|by|after|given|thus|therefore|hence|altogether|overall|exactly|respectively|assuming|rounded|approximately|the|this|it|he|she|we|they|considering
    |using|all|just|only|total|then|just|being|according|follow\w*|after|based|what)\b
    |\(\s*(?:since|because|as|for|which|where|i\.e|e\.g|that\s+is|from|by|using|after|rounded|see|when|if|not|in|we|or|approximately|about|correct|assuming)\b
    |\s(?:since|because|as|so|which|where|when|who|that|whose|for|if|with|in|on|at|by|after|from|per|each|every|to|of|total|altogether|left|more|and|but
    |ways?|different|exactly|respectively|only|rounded|now|again|here|there|this|remaining|hold\w*|follow\w*|such|distinct|possible|or)\b)""",
    re.IGNORECASE | re.VERBOSE,
)
_SPELLING = re.compile(r"[\s$*_`]|\\[()\[\]]")
_CASES = re.compile(r"[\s,]*(?:\(?if|when|for\s+(?:even|odd|all|each|every|any|some))\b")
_MOST_WORDS = 6
_DECIMALS = re.compile(r"\.\d{1,200}$")
_CLOSE = 80  # characters behind an announcement in which no other conclusion is looked for
_GOES_ON = re.compile(r"(?:^|[.\n])\s*(?:so|thus|therefore|hence|finally|in\s+conclusion)\b", re.IGNORECASE)
_PROSE = re.compile(r"(?:^|\s)(?:is|are|was|were|has|have|had|there|we|he|she|they|it|i|equals?)(?=\s)", re.IGNORECASE)


class Announced(NamedTuple):
    """An announced answer; `plain` where it was read without interpreting a sentence around it."""

    text: str
    plain: bool
    start: int
    why: str = ""


def announced(text: str, gold: str | None = None) -> Announced | None:
    """The answer of the last announcement; without text, and with why, where that one gives none; None without any."""
    for marker in markers(text):
        if marker.supposed:
            continue
        if marker.denied:
            return Announced("", False, marker.start, "the announcement says what the answer is not")
        rest = text[marker.end : marker.end + _MOST]
        if not _json_key(text, marker) and not rest.strip(" \t\r\n*_`\"'“”:：=>|#-.…?$\\"):
            return Announced("", False, marker.start, "an announcement breaks off")
        found = _read(text, marker, rest, gold)
        if found is None:
            continue
        return found
    letter = said_choice(text)
    return None if letter is None else Announced(letter, True, 0)


def taken_back(text: str) -> bool:
    """Whether what follows an answer takes it back: "is not right", "Wait, …"."""
    return _TAKEN_BACK.search(text[:_MOST]) is not None


def _json_key(text: str, marker: Marker) -> bool:
    return text[marker.start - 1 : marker.start] == '"' and text[marker.end : marker.end + 1] == '"'


def _read(text: str, marker: Marker, rest: str, gold: str | None) -> Announced | None:
    quoted = _JSON.match(text, marker.noun_end) if text[marker.noun_end : marker.noun_end + 1] == '"' else None
    if quoted is not None:
        return Announced(_json_text(quoted.group(1)), True, marker.start)
    statement = _statement(rest)
    if not statement:
        return None
    behind = rest[rest.find(statement) + len(statement) :] if statement in rest else ""
    if taken_back(behind) or taken_back(statement):
        return Announced("", False, marker.start, "the announcement is taken back")
    value, plain = _value(statement, gold) if marker.language == "en" else (_words(statement), True)
    if not value or value.lower() in ABOUT_IT:
        return None
    if gold is not None and not is_wording(gold) and not runs(value):
        plain = False  # words where mathematics is asked for
    plain = plain and not (len(behind) > _CLOSE and _GOES_ON.search(behind))
    return Announced(decimal_point(value, marker.language), plain, marker.start)


def _json_text(value: str) -> str:
    if value.startswith('"'):
        try:
            return str(json.loads(value))
        except ValueError:
            return value.strip('"')
    return value.strip()


def _statement(rest: str) -> str:
    """What stands behind an announcement: the rest of its sentence, or the next line, or the items of the next list."""
    line, _, below = rest.partition("\n")
    if line.strip(_MARKUP + ":：=."):
        return next(each_sentence(rest.lstrip(_MARKUP + ":：="), mid_line=True), "")
    below = below.lstrip()
    items = []
    for item in below.split("\n"):
        match = _LIST_ITEM.match(item)
        if match is None:
            break
        items.append(item[match.end() :].strip().rstrip(".,;"))
    if len(items) > 1:
        return ", ".join(items) if all(runs(item) and not _PROSE.search(item) for item in items) else items[0]
    if items:
        below = below[_LIST_ITEM.match(below).end() :]  # type: ignore[union-attr]
    return next(each_sentence(below, mid_line=True), "")


def _value(statement: str, gold: str | None) -> tuple[str, bool]:
    """The answer in a statement, and whether it stands there plainly."""
    lead = _LEAD.match(statement)
    start = lead.end() if lead else 0
    if gold is not None and _spelled(gold) in (_spelled(statement), _spelled(statement[start:])):
        return _words(statement if _spelled(statement) == _spelled(gold) else statement[start:]), True
    roughly = _ROUGHLY.match(statement, start)
    if roughly:
        return _words(statement[start:]), False
    said = _YES_NO.match(statement, start)
    if said:
        return said.group(1), True
    found = runs(statement)
    if found and not statement[start : found[0].start].strip(" ([*_`$") and not _IS.match(statement, found[0].end):
        value = value_at(statement, found, 0, gold)
        if value is None:
            return _words(statement[start:]), False
        text, end = value
        if (more := _WHICH_IS.match(statement, end)) and (
            again := next((r for r in found if r.start >= more.end()), None)
        ):
            return result_of(again.text, gold), False
        if not _BENIGN.match(statement, end):
            whole = _words(statement[start:])
            return whole, len(whole.split()) <= _MOST_WORDS
        result = result_of(text, gold)
        odd = _SHOUTED.search(result) or _CASES.match(statement, end)
        return result, not odd
    if found and (_PROSE.search(statement[start:]) or any("=" in run.text for run in found)):
        told = conclusion(statement, found, gold)
        return (told.text, False) if told else ("", False)
    words = _words(statement[start:])
    return words, not found and len(words.split()) <= _MOST_WORDS


def _spelled(text: str) -> str:
    return _SPELLING.sub("", text).rstrip(".")


def _words(statement: str) -> str:
    """An answer that begins with a word, without the comment behind it."""
    said = statement.strip(" 。！\n")
    if not said.endswith(".."):
        said = said.removesuffix(".")
    return _trimmed(without_delimiters(without_comment(said)))


def _trimmed(text: str) -> str:
    text = text.strip(" \t*_`\"'“”,:")
    bare = text.rstrip(" .*_`\"'“”,:。")
    endless = "..." in text[len(bare) :] and _DECIMALS.search(bare) is not None
    text = bare + "..." if endless else bare
    return text if re.match(r"\.\d", text) else text.lstrip(" .*_`\"'“”,:")
