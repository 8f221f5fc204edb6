"""A completion as steps: spans that tile it, at most so many.

Invariants: the spans of a completion are half-open ranges of Python code points that tile `[0, len)` in order, so the
joined steps are the completion; an empty completion has no steps. `Segmented.label` names everything the cut depends
on: a label and a text give the same spans again (`segment_like`), so a step id never stands for two spans.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

from synthflow.errors import UserError, suggest
from synthflow.segment.merge import merge_groups
from synthflow.segment.rules import SEGMENTERS, SegmenterName

Overflow = Literal["even", "tail"]

MAX_GROUP = 999
_SEGMENTER = re.compile(r"(?P<name>[a-z_]+)(?:\*(?P<group>[1-9]\d{0,2}))?")
_LABEL = re.compile(r"(?P<segmenter>[a-z_]+(?:\*\d+)?)(?:/(?P<most>\d+)(?P<tail>-tail)?)?")


class Span(NamedTuple):
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Segmented:
    """Spans of one completion, and the label of how it was cut: `lines`, `lines*3` where every three steps were joined,
    or `lines/64` where so many were merged."""

    label: str
    spans: tuple[Span, ...]


def segment(
    text: str, segmenter: SegmenterName | str = "lines", max_steps: int | None = None, overflow: Overflow = "even"
) -> Segmented:
    """Cut `text` into at most `max_steps` steps.

    Args:
        text: any text.
        segmenter: a name in `SEGMENTERS`; `NAME*k` joins every k steps to one.
        max_steps: most steps; None is no limit.
        overflow: how more than that are merged (our default: `even`). `even` joins runs of neighbours whose numbers
            of steps differ by one at most, so that late steps keep a value of their own; `tail` keeps the first
            `max_steps - 1` and joins the rest into the last, so that early prefixes stay those of a shorter text.

    Raises:
        UserError: for a segmenter nobody knows.
        ValueError: for max_steps below 1.
    """
    name, group = parse_segmenter(segmenter)
    if max_steps is not None and max_steps < 1:
        raise ValueError(f"max_steps is {max_steps}; expected at least 1")
    ends, label = SEGMENTERS[name](text), str(name)
    if group > 1:
        ends, label = merge_groups(ends, group), f"{name}*{group}"
    if max_steps is not None and len(ends) > max_steps:
        ends = _merge(ends, max_steps, overflow)
        label = f"{label}/{max_steps}" + ("-tail" if overflow == "tail" else "")
    return Segmented(label, tuple(map(Span, [0, *ends], ends)))  # the shorter list, the ends, decides


def parse_segmenter(segmenter: str) -> tuple[SegmenterName, int]:
    """The rule that a segmenter names, and how many of its steps are joined to one.

    Raises:
        UserError: for a segmenter nobody knows.
    """
    name, star, _ = segmenter.partition("*")
    if name not in SEGMENTERS:
        hint = suggest(name, SEGMENTERS) or f"known: {', '.join(SEGMENTERS)}"
        raise UserError(f"no segmenter is called {name!r}; {hint}")
    match = _SEGMENTER.fullmatch(segmenter)
    if match is None:
        raise UserError(f"{segmenter!r} joins no number of steps; write {name}*k with k from 1 to {MAX_GROUP}")
    return cast(SegmenterName, name), int(match["group"]) if star else 1


def _merge(ends: list[int], most: int, overflow: Overflow) -> list[int]:
    if overflow == "tail":
        return [*ends[: most - 1], ends[-1]]
    return [ends[(k + 1) * len(ends) // most - 1] for k in range(most)]


def segment_like(text: str, label: str) -> Segmented:
    """Cut `text` as `label` (of a `Segmented`, or `steps.segmenter`) says.

    Raises:
        UserError: for a label that no segmenter here wrote, or of steps that a text alone does not tell.
    """
    if label.startswith("entropy:"):
        raise UserError(
            f"{label!r}: these steps were cut at tokens of high entropy, which a text does not tell; take their spans "
            "from the table steps, or cut anew with segment.entropy from the entropies of a scoring pass"
        )
    match = _LABEL.fullmatch(label)
    if match is None:
        raise UserError(f"{label!r} is not a segmenter's label; expected a form such as 'lines' or 'lines/64'")
    most = int(match["most"]) if match["most"] else None
    return segment(text, match["segmenter"], most, "tail" if match["tail"] else "even")
