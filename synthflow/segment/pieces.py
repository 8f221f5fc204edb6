"""What the rules of segmentation share: lines, and what to do with pieces that hold nothing but white space.

Invariant: pieces are given by their strictly increasing ends; joining some of them leaves the others as they are.
"""

from __future__ import annotations


def line_ends(text: str) -> list[int]:
    """Ends of the lines, each with its `\\n`. Other line separators (lone `\\r`, U+2028) do not end a line."""
    ends: list[int] = []
    at = text.find("\n")
    while at != -1:
        ends.append(at + 1)
        at = text.find("\n", at + 1)
    if text and (not ends or ends[-1] != len(text)):
        ends.append(len(text))
    return ends


def is_blank(text: str) -> bool:
    return not text or text.isspace()


def absorb_blank(text: str, ends: list[int]) -> list[int]:
    """Join whitespace-only pieces to the piece before them; those at the very start to the piece after."""
    kept: list[int] = []
    start, seen_text = 0, False
    for end in ends:
        blank = is_blank(text[start:end])
        if kept and (blank or not seen_text):
            kept[-1] = end
        else:
            kept.append(end)
        seen_text = seen_text or not blank
        start = end
    return kept
