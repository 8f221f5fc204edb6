r"""The one place that finds the final answer in a completion.

Rules, first that finds something: (1) the last balanced `\boxed{…}` or `\fbox{…}`; (2) what follows the last "the
answer is", "answer:" or "####"; (3) the last `$…$`, `\(…\)` or `\[…\]`; (4) the last number of the last line that
is not blank. A text with boxes of which none is balanced has no answer. Only the text after the last `</think>` is
looked at; a `<think>` that never closes leaves nothing. Work is linear in the length of the text and bounded after the
search for markers, whatever the text holds.
"""

from __future__ import annotations

import re
from typing import Literal

Extraction = Literal["any", "boxed"]

MAX_ANSWER = 20_000  # characters of a candidate that are kept; longer ones are refused later, as too large
_TAIL = 20_000  # characters from the end in which rules 2 to 4 look
_MAX_LINE = 2000  # characters of a last line in which rule 4 looks
_MAX_BOXES = 20  # unbalanced boxes that are passed over before rule 1 gives up

_BOX = re.compile(r"\\f?boxed\s{0,3}\{|\\fbox\s{0,3}\{")
_MARKER = re.compile(r"\banswer(?:\*\*)?\s{0,3}(?:is\b\s{0,3}:?|[:：=])|(?:^|\n)\s{0,3}####", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?](?:\s|\*|$)|[;\n]")
_MATH = re.compile(
    r"\$\$([^$]{1,2000})\$\$|\$([^$\n]{1,2000})\$|\\\(([^\n]{1,2000}?)\\\)|\\\[(.{1,2000}?)\\\]", re.DOTALL
)
_NUMBER = re.compile(r"(?<![\w.,/])[-+\u2212]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?%?(?![\w/]|\.\d|,\d)")


def after_thinking(text: str) -> str:
    """The text after the last `</think>`; empty if a reasoning block was opened and never closed."""
    end = text.rfind("</think>")
    tail = text if end < 0 else text[end + len("</think>") :]
    return "" if "<think>" in tail else tail


def boxes(text: str, limit: int = _MAX_BOXES) -> list[str]:
    """Contents of the last balanced boxes, the last one first; at most `limit` boxes are looked at."""
    starts = [match.end() for match in _BOX.finditer(text)][-limit:]
    found = []
    for start in reversed(starts):
        end = _closing(text, start)
        if end is not None:
            found.append(text[start:end].strip())
    return found


def _closing(text: str, start: int) -> int | None:
    """Index of the brace that closes the one before `start`; escaped braces do not count."""
    depth, at = 1, start
    stop = min(len(text), start + MAX_ANSWER)
    while at < stop:
        char = text[at]
        if char == "\\":
            at += 1
        elif char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                return at
        at += 1
    return None


def extract(completion: str, how: Extraction = "any") -> str | None:
    """The final answer as written, or None where there is none.

    Args:
        how: `any` for all rules, `boxed` for the first alone.
    """
    text = after_thinking(completion)
    found = boxes(text)
    if found:
        return found[0] or None
    if how == "boxed" or _BOX.search(text):
        return None  # a broken box is no answer, and a number found inside it even less
    tail = text[-_TAIL:]
    return _after_marker(tail) or _last_math(tail) or _last_number(tail)


def _after_marker(text: str) -> str | None:
    last = None
    for last in _MARKER.finditer(text):  # noqa: B007
        pass
    if last is None:
        return None
    rest = text[last.end() :].lstrip(" \t*:：=\n")
    rest = rest[: MAX_ANSWER + 1]
    spans = [(m.start(), m.end()) for m in _MATH.finditer(rest)]
    end = len(rest)
    for match in _SENTENCE_END.finditer(rest):
        if not any(start < match.start() < stop for start, stop in spans):
            end = match.start()
            break
    return strip_math(rest[:end].strip(" \t*_`\"'“”.,:")) or None


def _last_math(text: str) -> str | None:
    last = None
    for last in _MATH.finditer(text):  # noqa: B007
        pass
    return None if last is None else next(g for g in last.groups() if g is not None).strip() or None


def _last_number(text: str) -> str | None:
    line = text.rstrip().rpartition("\n")[2]
    found = _NUMBER.findall(line) if len(line) <= _MAX_LINE else []
    return found[-1] if found else None


def strip_math(text: str) -> str:
    r"""Without math delimiters: `$x$ or $y$` becomes `x or y`; an escaped dollar stays."""
    text = re.sub(r"\\[()\[\]]", " ", text)
    return re.sub(r"(?<!\\)\$+", " ", text).strip()


def gold_answer(answer: str) -> str:
    """The gold answer alone: of its last box or after its last `####` if it has one, else as it stands."""
    found = boxes(answer)
    if found and found[0]:
        return found[0]
    if "####" in answer:
        answer = answer.rpartition("####")[2]
    return strip_math(answer.strip())
