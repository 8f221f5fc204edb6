"""The rules that say where a step ends.

Invariant: a rule maps any text to the strictly increasing ends of its steps, in Python code points; the last end is
the length of the text, and an empty text has none. So steps tile the text by construction: a step begins where the
one before it ends. Every rule runs in time linear in the text, whatever the text holds: completions are hostile.

A newline belongs to the step before it, because byte-pair tokenisers glue `.` and the newline into one token; a
space between sentences belongs to the step after it, because they glue it to the next word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal

from synthflow.segment.blocks import lines, paragraphs
from synthflow.segment.markers import marker_lines, markers
from synthflow.segment.pieces import absorb_blank, is_blank, line_ends
from synthflow.segment.tool_turns import tool_turns

SegmenterName = Literal["lines", "paragraphs", "sentences", "numbered", "markers", "marker_lines", "tool_turns"]

_SENTENCE_END = re.compile(
    r"""(?<![.!?…])[.!?…]++["'”’»)\]}*]*+(?=[ \t\n\r]|$)"""  # Latin: only before white space, so never inside 3.5
    r"""|[。！？]++["'”’»)\]}」』]*+"""  # CJK full stops need no space
)
_ENUMERATOR = re.compile(r"\(?(?:\d{1,4}|[A-Za-z])$")
_ABBREVIATIONS = frozenset(
    {"e.g", "i.e", "cf", "vs", "eq", "fig", "no", "dr", "mr", "mrs", "ms", "prof", "st", "approx"}
)
_LONGEST_WORD = 16


def sentences(text: str) -> list[int]:
    """One step a sentence; a newline ends one too.

    `.`, `!`, `?` and `…` end a sentence before white space only; an enumerator that opens a line (`2.`, `(b).`) and
    a short list of abbreviations do not. Our default: the rule knows no language model.
    """
    ends: list[int] = []
    start = 0
    for line_end in line_ends(text):
        body_end = start + len(text[start:line_end].rstrip())
        for match in _SENTENCE_END.finditer(text, start, line_end):
            if match.end() >= body_end:  # the rest of the line is its newline
                break
            if not _only_looks_like_an_end(text, start, match.start()):
                ends.append(match.end())
        ends.append(line_end)
        start = line_end
    return absorb_blank(text, ends)


def _only_looks_like_an_end(text: str, line_start: int, stop: int) -> bool:
    window = text[max(line_start, stop - _LONGEST_WORD) : stop]
    word = window.split()[-1] if window and not window[-1].isspace() and window.split() else ""
    opens_line = is_blank(text[line_start : stop - len(word)]) if stop - line_start <= 2 * _LONGEST_WORD else False
    return (opens_line and bool(_ENUMERATOR.match(word))) or word.lower().lstrip("(") in _ABBREVIATIONS


_NUMBERED = re.compile(r"[ \t]{0,8}[*#_>-]{0,6}[ \t]?(?:(?:step|Step|STEP)[ \t]{0,2}\d{1,4}\b|\(?\d{1,4}[.):](?=\s))")


def numbered(text: str) -> list[int]:
    """One step a numbered item (`Step 3`, `3.`, `3)`, `(3)`, also in Markdown); what precedes the first is a step."""
    ends: list[int] = []
    start, seen_text = 0, False
    for end in line_ends(text):
        if seen_text and _NUMBERED.match(text, start, end):
            ends.append(start)
        seen_text = seen_text or not is_blank(text[start:end])
        start = end
    if text:
        ends.append(len(text))
    return ends


SEGMENTERS: Mapping[SegmenterName, Callable[[str], list[int]]] = {
    "lines": lines,
    "paragraphs": paragraphs,
    "sentences": sentences,
    "numbered": numbered,
    "markers": markers,
    "marker_lines": marker_lines,
    "tool_turns": tool_turns,
}
