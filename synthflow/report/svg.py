"""Plots as SVG text, without a plotting library: points with whiskers, lines, axes.

Invariant: every text that comes from a run is escaped, and a number that is not there is not drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999933", "#882255", "#44aa99",
    "#661100", "#6699cc",
)  # fmt: skip
"""Okabe and Ito's, then some of Tol's, which most colour-blind people tell apart; then they repeat."""

INK, FAINT = "#333", "#ddd"
Map = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Point:
    """A point with its 95% interval; `size` is a radius in pixels."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    size: float = 4.0
    tip: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    colour: str
    points: Sequence[Point]
    joined: bool = False
    labelled: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """`ticks` are (value, label) pairs; the axis reaches from `low` to `high`."""

    title: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]


def colour_of(names: Sequence[str], name: str) -> str:
    return COLOURS[list(names).index(name) % len(COLOURS)]


def unit_axis(title: str, low: float = 0.0, high: float = 1.0) -> Axis:
    """An axis of shares, ticked every tenth or fifth."""
    step = 0.1 if high - low <= 0.61 else 0.2
    count = round((high - low) / step)
    return Axis(title, low, high, [(low + i * step, f"{low + i * step:.1f}") for i in range(count + 1)])


def token_axis(values: Iterable[float]) -> tuple[Axis, Map]:
    """A logarithmic axis of tokens with a place for 0 at its left, and where a number of tokens lies on it."""
    positive = [v for v in values if v > 0]
    if not positive:
        return Axis("tokens sampled a rollout", -1, 1, [(0, "0")]), lambda v: 0.0
    low, high = math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive)) + 1e-9)
    high = max(high, low + 1)
    ticks = [(float(e), _short(10.0**e)) for e in range(low, high + 1)]
    return (
        Axis(
            "tokens sampled a rollout (logarithmic; 0 at the left)",
            low - 1.0,
            float(high) + 0.2,
            [(low - 0.7, "0"), *ticks],
        ),
        lambda v: math.log10(v) if v > 0 else low - 0.7,
    )


def _short(value: float) -> str:
    for limit, sign in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:g}{sign}"
    return f"{value:g}"


def chart(
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    *,
    width: int = 560,
    height: int = 340,
    dashed: Sequence[tuple[tuple[float, float], tuple[float, float]]] = (),
) -> str:
    """A chart as one `<svg>` element.

    Args:
        dashed: reference lines, each from a point to a point.
    """
    left, right, top, bottom = 58, 16, 12, 46
    place_x = _scale(x, left, width - right)
    place_y = _scale(y, height - bottom, top)
    parts = [f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">']
    parts += _frame(x, y, place_x, place_y, (left, width - right, top, height - bottom))
    for (x1, y1), (x2, y2) in dashed:
        parts.append(_line(place_x(x1), place_y(y1), place_x(x2), place_y(y2), "#999", dash="4 4"))
    taken: list[tuple[float, float]] = []
    for each in series:
        parts += _drawn(each, place_x, place_y, (width - right, top), taken)
    return "\n".join([*parts, "</svg>"])


def _scale(axis: Axis, start: float, end: float) -> Map:
    span = axis.high - axis.low or 1.0
    return lambda v: start + (min(max(v, axis.low), axis.high) - axis.low) / span * (end - start)


def _frame(x: Axis, y: Axis, place_x: Map, place_y: Map, box: tuple[float, float, float, float]) -> list[str]:
    left, right, top, bottom = box
    parts = []
    for value, label in y.ticks:
        parts.append(_line(left, place_y(value), right, place_y(value), FAINT))
        parts.append(_text(left - 8, place_y(value) + 4, label, "end"))
    for value, label in x.ticks:
        parts.append(_line(place_x(value), bottom, place_x(value), bottom + 4, INK))
        parts.append(_text(place_x(value), bottom + 18, label, "middle"))
    parts.append(_line(left, bottom, right, bottom, INK))
    parts.append(_text((left + right) / 2, bottom + 38, x.title, "middle", bold=True))
    middle = (top + bottom) / 2
    parts.append(
        f'<text x="14" y="{middle:.1f}" text-anchor="middle" class="axis" transform="rotate(-90 14 {middle:.1f})">'
        f"{escape(y.title)}</text>"
    )
    return parts


def _drawn(
    each: Series, place_x: Map, place_y: Map, corner: tuple[float, float], taken: list[tuple[float, float]]
) -> list[str]:
    parts = []
    at = [(place_x(p.x), place_y(p.y)) for p in each.points]
    if each.joined and len(at) > 1:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{each.colour}" stroke-width="1.5"/>')
    for point, (x, y) in zip(each.points, at, strict=True):
        if point.low is not None and point.high is not None:
            parts.append(_line(x, place_y(point.low), x, place_y(point.high), each.colour, width=1.5, opacity=0.6))
        tip = f"<title>{escape(point.tip)}</title>" if point.tip else ""
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{point.size:.1f}" fill="{each.colour}">{tip}</circle>')
        if each.labelled:
            parts.append(_label(each, x, y, corner, taken))
    return parts


def _label(each: Series, x: float, y: float, corner: tuple[float, float], taken: list[tuple[float, float]]) -> str:
    """The name beside a point, on the side with room, moved down where another name stands."""
    is_right = x > corner[0] - 8 * len(each.name) - 12
    place = x - 9 if is_right else x + 9
    down = y + 4
    while any(abs(place - tx) < 90 and abs(down - ty) < 13 for tx, ty in taken):
        down += 13
    taken.append((place, down))
    return _text(place, down, each.name, "end" if is_right else "start", colour=each.colour, bold=True)


def _line(
    x1: float, y1: float, x2: float, y2: float, colour: str, *, width: float = 1, dash: str = "", opacity: float = 1
) -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}" '
        f'stroke-opacity="{opacity}"{dashed}/>'
    )


def _text(x: float, y: float, text: str, anchor: str, *, colour: str = "", bold: bool = False) -> str:
    fill = f' fill="{colour}"' if colour else ""
    kind = "axis" if bold else "tick"
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}"{fill}>{escape(text)}</text>'
