"""Where a thought ends and the answer begins, in a completion that holds both.

Invariant: the two parts tile the completion; a completion whose thought is never closed is no answer, and one without
markers is not told apart.
"""

from __future__ import annotations

from typing import NamedTuple


class Markers(NamedTuple):
    """What opens and closes a thought."""

    opened: str
    closed: str


THINKING = Markers("<think>", "</think>")
"""The markers of DeepSeek-R1, QwQ, Qwen3 and most models since."""


def answer_start(text: str, markers: Markers = THINKING) -> int | None:
    """Where the answer begins, in code points: after the last marker that closes a thought, and the blank
    after it.

    None where no thought is closed.
    """
    at = text.rfind(markers.closed)
    if at < 0:
        return None
    rest = text[at + len(markers.closed) :]
    return len(text) - len(rest.lstrip())
