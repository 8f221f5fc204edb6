r"""The one place that finds the final answer in a completion.

Rules, first that finds something: (1) the last balanced `\boxed{…}` or `\fbox{…}`, with those before it that "and",
"or" or a comma joins to it; (2) the last `<answer>…</answer>`; (3) what follows the last "the answer is", "answer:",
"####" or their like in other languages, or the letter of "the correct option is (B)"; (4) the last `$…$`, `\(…\)` or
`\[…\]`, joined in the same way; (5) the last number of the last line that is not blank. A text with boxes of which
none is balanced has no answer, nor has one whose last marker is denied ("I do not think the answer is 6"). Only the
text after the last `</think>` is looked at; a `<think>` that never closes leaves nothing. Work is linear in the length
of the text and bounded after the search for markers, whatever the text holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from synthflow.verifiers.answers.markers import DENIED, decimal_point, markers, said_choice, without_comment

Extraction = Literal["any", "boxed"]


class Extracted(NamedTuple):
    """The final answer of a completion as it was written, and how it was found.

    Invariants: `text` is empty exactly where no answer was found, and `note` says why then; `sure` is whether the rule
    may call an answer that differs wrong, which only rules may that are right in 98 of 100 of their readings.
    """

    text: str
    rule: str
    sure: bool
    note: str = ""


SURE = frozenset({"box", "tag", "announced"})
"""The rules that may call a mismatch wrong."""

MAX_ANSWER = 20_000  # characters of a candidate that are kept; longer ones are refused later, as too large
_TAIL = 20_000  # characters from the end in which rules 2 to 5 look
_MAX_LINE = 2000  # characters of a last line in which rule 5 looks
_MAX_BOXES = 20  # unbalanced boxes that are passed over before rule 1 gives up

_BOX = re.compile(r"\\f?boxed\s{0,3}\{|\\fbox\s{0,3}\{")
_BRACE = re.compile(r"[{}]|\\.", re.DOTALL)
_JOINED = re.compile(r"(?=[^a-z]*(?:,|;|&|and|or))(?:[\s$,;&]|and|or|\\text\s?\{\s?(?:and|or)\s?\}|\\q?quad|\\[,;()])+")
_MAX_JOINT = 40  # characters between two answers that are one
_TAGGED = re.compile(r"<answer>([^<]{0,2000})</answer>", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?](?:\s|\*|$)|[;\n。！？।]")
_MATH = re.compile(
    r"\$\$([^$]{1,2000})\$\$|\$([^$\n]{1,2000})\$|\\\(([^\n]{1,2000}?)\\\)|\\\[(.{1,2000}?)\\\]", re.DOTALL
)
_NUMBER = re.compile(
    r"(?<![\w.,/])[-+\u2212]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:/\d+)?%?(?![\w/]|\.\d|,\d)"
)


def after_thinking(text: str) -> str:
    """The text after the last `</think>`; empty if a reasoning block was opened and never closed."""
    end = text.rfind("</think>")
    tail = text if end < 0 else text[end + len("</think>") :]
    return "" if "<think>" in tail else tail


def boxes(text: str, limit: int = _MAX_BOXES) -> list[str]:
    """Contents of the last balanced boxes, the last one first; at most `limit` boxes are looked at."""
    return [text[start:end].strip() for _, start, end in _box_spans(text, limit)]


def _box_spans(text: str, limit: int) -> Iterator[tuple[int, int, int]]:
    """Start of the command, start and end of the content, the last box first."""
    at, looked = len(text), 0
    while looked < limit and (at := text.rfind("box", 0, at)) > 0:
        command = at - 2 if text[at - 1] == "f" else at - 1
        match = _BOX.match(text, command) if command >= 0 else None
        if match is not None:
            looked += 1
            end = _closing(text, match.end())
            if end is not None:
                yield command, match.end(), end


def _boxed(text: str) -> str | None:
    """The last box, with those that are joined to it."""
    at = text.rfind("box")
    if at < 0:
        return None
    if text.find("box", 0, at) < 0 and text.startswith("\\boxed{", at - 1):  # one box: most texts, in a few steps
        end = text.find("}", at + 6)
        if end > 0 and text[at + 6 : end].isalnum():
            return text[at + 6 : end]
    spans = _box_spans(text, _MAX_BOXES)
    last = next(spans, None)
    if last is None:
        return None
    first, start, end = last
    contents = [text[start:end].strip()]
    for command, start, end in spans:
        between = text[end + 1 : first]
        if end >= first or len(between) > _MAX_JOINT or not _JOINED.fullmatch(between):
            break
        contents.append(text[start:end].strip())
        first = command
    return ",".join(reversed(contents))


def _closing(text: str, start: int) -> int | None:
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


def extract(completion: str, how: Extraction = "any") -> str | None:
    """The final answer as written, or None where there is none."""
    return find(completion, how).text or None


def find(completion: str, how: Extraction = "any") -> Extracted:
    """The final answer and the rule that found it.

    Args:
        how: `any` for all rules, `boxed` for the first alone.
    """
    text = after_thinking(completion)
    boxed = _boxed(text)
    if boxed is not None:
        return _extracted("box", boxed, "the box is empty")
    if how == "boxed":
        return _none("no box")
    if "box" in text and _BOX.search(text):
        return _none("the box never closes")  # a number found inside it is no answer either
    tail = text[-_TAIL:]
    tagged = _TAGGED.findall(tail) if "nswer>" in tail else []
    if tagged and tagged[-1].strip():
        return _extracted("tag", strip_math(tagged[-1].strip()), "the tag is empty")
    marked = _after_marker(tail)
    if marked is not None:
        return _extracted("announced", marked, "the announcement is taken back")
    formula = _last_math(tail)
    return _extracted("formula", formula, "") if formula else _extracted("last_number", _last_number(tail) or "", "")


def _extracted(rule: str, text: str, why_empty: str) -> Extracted:
    return Extracted(text, rule, rule in SURE) if text else _none(why_empty)


def _none(why: str) -> Extracted:
    return Extracted("", "none", False, why or "no answer found")


def _after_marker(text: str) -> str | None:
    """What the last marker announces: None without a marker, empty if the marker is denied."""
    for marker in markers(text):
        if marker.denied or DENIED.search(text, max(0, marker.start - 120), marker.start):
            return ""
        rest = text[marker.end : marker.end + MAX_ANSWER + 1]
        rest = rest.lstrip(" \t*:：=\n")
        end = _sentence_end(rest)
        answer = strip_math(_trimmed(without_comment(rest[:end])))
        if answer:
            return decimal_point(answer, marker.language)
    return said_choice(text)


def _sentence_end(text: str) -> int:
    spans = [(m.start(), m.end()) for m in _MATH.finditer(text)]
    for match in _SENTENCE_END.finditer(text):
        if not any(start < match.start() < stop for start, stop in spans):
            return match.start()
    return len(text)


def _trimmed(text: str) -> str:
    text = text.strip(" \t*_`\"'“”,:").rstrip(" .*_`\"'“”,:")
    return text if re.match(r"\.\d", text) else text.lstrip(" .*_`\"'“”,:")


def _last_math(text: str) -> str | None:
    """The last formula, with those that are joined to it."""
    spans = list(_MATH.finditer(text)) if "$" in text or "\\" in text else []
    if not spans:
        return None
    first = spans[-1].start()
    contents = [_content(spans[-1])]
    for match in reversed(spans[-_MAX_BOXES:-1]):
        between = text[match.end() : first]
        if len(between) > _MAX_JOINT or not _JOINED.fullmatch(between):
            break
        contents.append(_content(match))
        first = match.start()
    return ",".join(reversed(contents)) or None


def _content(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group is not None).strip()


def _last_number(text: str) -> str | None:
    line = text.rstrip().rpartition("\n")[2]
    found = _NUMBER.findall(line) if len(line) <= _MAX_LINE else []
    return found[-1] if found else None


def strip_math(text: str) -> str:
    r"""Without math delimiters: `$x$ or $y$` becomes `x or y`; an escaped dollar stays."""
    if "\\" in text:
        text = re.sub(r"\\[()\[\]]", " ", text)
    return re.sub(r"(?<!\\)\$+", " ", text).strip() if "$" in text else text


def gold_answer(answer: str) -> str:
    """The gold answer alone: of its last box or after its last `####` if it has one, else as it stands."""
    if "box" in answer:
        found = boxes(answer)
        if found and found[0]:
            return found[0]
    if "####" in answer:
        answer = answer.rpartition("####")[2]
    return strip_math(answer.strip())
