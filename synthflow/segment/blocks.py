"""Lines and paragraphs: the blocks of text that other rules build on.

Invariants: those of `rules`.
"""

from __future__ import annotations

from synthflow.segment.pieces import absorb_blank, is_blank, line_ends


def lines(text: str) -> list[int]:
    """One step a line, the default. A whitespace-only line joins the step before it."""
    return absorb_blank(text, line_ends(text))


def paragraphs(text: str) -> list[int]:
    """One step a paragraph: a new one starts at the first line with text after a whitespace-only line."""
    ends: list[int] = []
    start, after_blank, seen_text = 0, False, False
    for end in line_ends(text):
        blank = is_blank(text[start:end])
        if not blank and after_blank and seen_text:
            ends.append(start)
        after_blank = blank
        seen_text = seen_text or not blank
        start = end
    if text:
        ends.append(len(text))
    return ends
