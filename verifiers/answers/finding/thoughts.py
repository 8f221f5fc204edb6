r"""What a completion says after its thoughts, for every marker that a published model's chat template writes.

Invariants: only what follows the last closed thought is left, and a thought that never closes leaves nothing; a marker
counts in any case, and one in plain words opens a thought only as the first words of a text, where templates put it;
work is linear in the length of the text.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_NAMES = (
    "think|thinking|thought|thoughts|reasoning|reason|scratchpad|seed:think|seed:cot|longcat_think|antthinking|"
    "inner_monologue|reflection"
)
_TAG = re.compile(rf"<\s?(/?)\s?(?:{_NAMES})\s?>|[\[◁](/?)think(?:ing)?[\]▷]", re.IGNORECASE)
_OPENS = r"<\|(?:begin_of_thought|start_of_thought|start_thinking|thought_start|think_start|think|thinking)\|>"
_CLOSES = (
    r"<\|(?:end_of_thought|end_thinking|thought_end|think_end|/think|/thinking)\|>"
    r"|<\|channel\|>final(?:<\|constrain\|>\w+)?<\|message\|>"
)
_CONTROL = re.compile(rf"(?P<open>{_OPENS}|<\|channel\|>(?:analysis|commentary)\b)|(?P<close>{_CLOSES})", re.IGNORECASE)
_SAID = re.compile(
    r"(?P<open>\A\W{0,9}here(?: is|['’]s| are) my (?:thought process|thinking|reasoning steps)\s?:)"
    r"|(?P<close>here(?: is|['’]s) my (?:response|final response|final answer)\s?:|\[begin final response\])",
    re.IGNORECASE,
)
_HARMONY_SPOKEN = re.compile(r"analysis(?![a-z ]).*assistantfinal(?![a-z])", re.DOTALL)
_WRAPPERS = re.compile(
    r"<\|(?:begin|end|start)_of_(?:solution|answer)\|>|<\|(?:start|end)_response\|>|</?response>|<\|end\|>"
    r"|\[end final response\]",
    re.IGNORECASE,
)


class _Mark(NamedTuple):
    start: int
    end: int
    closes: bool


def after_thinking(text: str) -> str:
    """The text after the last closed thought; empty if a thought was opened after that and never closed."""
    found = _marks(text)
    if not found:
        return text
    closed = max((mark.end for mark in found if mark.closes), default=0)
    if any(mark.start >= closed for mark in found if not mark.closes):
        return ""
    return _WRAPPERS.sub(" ", text[closed:])


def thoughts(text: str) -> list[tuple[int, int]]:
    """Where thoughts begin and end; one whose opening the prompt wrote begins with the text."""
    spans: list[tuple[int, int]] = []
    opened: int | None = None
    for mark in sorted(_marks(text)):
        if not mark.closes:
            opened = mark.start if opened is None else opened
        elif opened is not None or not spans:
            spans.append((0 if opened is None else opened, mark.end))
            opened = None
    return spans if opened is None else [*spans, (opened, len(text))]


def _marks(text: str) -> list[_Mark]:
    """Where thoughts open and close; a text without a marker costs a few searches for single signs."""
    found: list[_Mark] = []
    angle, square = "<" in text, "[" in text
    if ((angle or square or "◁" in text) and ("hink" in text or "HINK" in text)) or (angle and _may_hold_a_tag(text)):
        found += [_Mark(m.start(), m.end(), bool(m.group(1) or m.group(2))) for m in _TAG.finditer(text)]
    if angle and "<|" in text:
        found += [_Mark(m.start(), m.end(), m.group("close") is not None) for m in _CONTROL.finditer(text)]
    if (square or ":" in text) and (" my " in text or "FINAL RESPONSE" in text):
        found += [_Mark(m.start(), m.end(), m.group("close") is not None) for m in _SAID.finditer(text)]
    if text.startswith("analysis") and (match := _HARMONY_SPOKEN.match(text)):
        found.append(_Mark(0, match.end(), closes=True))
    return found


def _may_hold_a_tag(text: str) -> bool:
    """Whether a search for the rarer tags can find one: a substring is found much faster than a pattern."""
    lower = text.lower()
    return (
        "thought" in lower or "reason" in lower or "scratchpad" in lower or "seed:" in lower or "monologue" in lower
        or "reflection" in lower
    )  # fmt: skip
