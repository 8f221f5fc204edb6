"""Numbers, times and tables as people read them."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console

SPEC_HELP = "SPEC is a pipeline file or the name of a recipe (`synthflow list recipes`)."

OUT_HELP = "Run directory.  [default: runs/NAME]"


def console(*, err: bool = False) -> Console:
    """A console that writes plain text where nobody looks, and never wraps a table in a pipe."""
    plain = Console(stderr=err, highlight=False)
    return plain if plain.is_terminal else Console(stderr=err, highlight=False, width=140, no_color=True)


def count(value: float | None) -> str:
    """1234 -> `1,234`, 1.2e6 -> `1.2M`; an en dash for nothing."""
    if value is None:
        return "–"
    for limit, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if abs(value) >= limit:
            return f"{value / limit:.1f}{suffix}"
    return f"{value:,.0f}"


def money(value: float) -> str:
    """1234.5 -> `1,234.50`; below one, two digits that count."""
    return f"{value:,.2f}" if value >= 1 or value == 0 else f"{value:.2g}"


def size(n_bytes: float) -> str:
    for limit, suffix in ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if n_bytes >= limit:
            return f"{n_bytes / limit:.1f} {suffix}"
    return f"{n_bytes:.0f} B"


def duration(seconds: float | None) -> str:
    """Seconds as m:ss or h:mm:ss."""
    if seconds is None:
        return "–"
    whole = int(seconds + 0.5)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def echo_json(value: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(value, ensure_ascii=False, default=str))
