"""Think-markers: a long chain of thought as episodes, cut where the model says that it starts over.

Invariants: those of `rules`; an episode begins at the start of a block (a paragraph, or a line) that opens with a
marker, and never before `least` blocks of the episode before it. The markers and the least of 3 paragraphs are those
of the code of MRT (Qu et al. 2025, "Optimizing Test-Time Compute via Meta Reinforcement Fine-Tuning"); that case and
a few signs before the marker do not matter, and the rule by lines, are our default.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from synthflow.segment.blocks import lines, paragraphs

LEAST = 3
"""Fewest blocks between two boundaries: MRT's."""

MARKERS = (
    "wait",
    "but wait",
    "alternatively",
    "is there another way to think about this",
    "but let me double-check",
    "but hold on",
)
_OPENS = re.compile(rf"\s{{0,16}}[*_>#-]{{0,3}} ?(?:{'|'.join(map(re.escape, MARKERS))})\b", re.IGNORECASE)


def markers(text: str) -> list[int]:
    """One step an episode of paragraphs."""
    return episodes(text, paragraphs(text))


def marker_lines(text: str) -> list[int]:
    """One step an episode of lines: for completions without blank lines."""
    return episodes(text, lines(text))


def episodes(text: str, ends: Sequence[int], least: int = LEAST) -> list[int]:
    """Join blocks to episodes.

    Args:
        text: any text.
        ends: of its blocks.
        least: fewest blocks of an episode before another may begin, at least 1.

    Returns:
        The ends of the episodes.
    """
    kept: list[int] = []
    since, start = 0, 0
    for end in ends:
        if since >= least and _OPENS.match(text, start, end):
            kept.append(start)
            since = 0
        since += 1
        start = end
    if text:
        kept.append(len(text))
    return kept
