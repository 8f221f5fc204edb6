"""Tool turns: a step is a thought with the call it ends in; what the tool said is a step of its own.

Invariants: those of `rules`. A boundary lies after a call, before a result and after a result; white space after a
block belongs to it. A block that is never closed goes on to the end of the text, but a call ends where a line opens a
result: policies forget to close what an environment answers. Two calls without a thought between them are two steps.
The forms that are known (our choice of the common ones): tags, such as those of Hermes and Qwen (`<tool_call>`,
`<tool_response>`), of ReTool (`<code>`, `<interpreter>`) and of Search-R1 (`<search>`, `<information>`); and fenced
blocks that name a program's language, or `output`, as ToRA and Qwen2.5-Math write them.
"""

from __future__ import annotations

import re
from typing import Literal

from synthflow.segment.pieces import absorb_blank

Kind = Literal["call", "result"]

TAGS: dict[str, Kind] = {
    "tool_call": "call",
    "function_call": "call",
    "function_calls": "call",
    "code": "call",
    "search": "call",
    "tool_response": "result",
    "tool_result": "result",
    "function_results": "result",
    "interpreter": "result",
    "information": "result",
}
FENCES: dict[str, Kind] = {
    "python": "call",
    "python3": "call",
    "py": "call",
    "bash": "call",
    "sh": "call",
    "tool_call": "call",
    "tool_code": "call",
    "output": "result",
    "tool_output": "result",
    "tool_response": "result",
}
_SIGN = re.compile(
    rf"<(?P<close>/?)(?P<tag>{'|'.join(TAGS)})>|^ {{0,3}}```(?P<lang>[a-z0-9_]*+)[ \t\r]*+$", re.MULTILINE
)
_BLANK_LINES = re.compile(r"(?:[ \t\r]*+\n)++")


def tool_turns(text: str) -> list[int]:
    """One step a thought with its call, and one a result; what follows the last is a step."""
    ends: list[int] = []
    inside: tuple[Kind, str] | None = None  # the open block: its kind, and the name that closes it
    for sign in _SIGN.finditer(text):
        opened = _opened(sign)
        if inside is not None and _closes(sign, inside[1]):
            ends.append(_after(text, sign.end()))
            inside = None
        elif opened is not None and _may_open(text, sign.start(), inside, opened[0]):
            if opened[0] == "result":
                ends.append(sign.start())
            inside = opened
    ends.append(len(text))
    return absorb_blank(text, [end for end, before in zip(ends, [0, *ends], strict=False) if end > before])


def _opened(sign: re.Match[str]) -> tuple[Kind, str] | None:
    """The kind of block that a sign opens, and the name that closes it; a fence is closed by a bare one."""
    if sign["tag"] is not None:
        return None if sign["close"] else (TAGS[sign["tag"]], sign["tag"])
    kind = FENCES.get(sign["lang"])
    return None if kind is None else (kind, "")


def _closes(sign: re.Match[str], name: str) -> bool:
    return bool(sign["close"]) and sign["tag"] == name if name else sign["lang"] == ""


def _may_open(text: str, start: int, inside: tuple[Kind, str] | None, kind: Kind) -> bool:
    """Whether a block may open here: outside of any, or as the result of a call that nobody closed."""
    if inside is None:
        return True
    at_line_start = start == 0 or text[start - 1] == "\n"
    return inside[0] == "call" and kind == "result" and at_line_start


def _after(text: str, end: int) -> int:
    """Where a block ends with the rest of its line, if that is blank, and the blank lines after it."""
    rest = _BLANK_LINES.match(text, end)
    return end if rest is None else rest.end()
