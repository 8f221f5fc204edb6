"""A pilot as a person reads it: what was measured in a line, what is projected in a table with its range."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rich.table import Table

from synthflow.cli.text import console, count, duration, money, size

Number = Callable[[float], str]


def print_pilot(found: dict[str, Any]) -> None:
    """Print what `Pilot.to_json` gives."""
    screen = console()
    for line in ("", *_measured(found)):
        screen.print(line, markup=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(f"projected for {count(found['problems'])} problems", no_wrap=True)
    table.add_column("about", justify="right", no_wrap=True)
    table.add_column(f"{found['interval']:.0%} range", justify="right", no_wrap=True)
    table.add_column("")
    for name, value, number, note in _rows(found):
        if value is not None:
            table.add_row(name, number(value["value"]), _range(value, number), note)
    screen.print(table)
    screen.print(
        f"the pilot's own run is {found['run']}; the real run samples none of its rollouts again", markup=False
    )


def _measured(found: dict[str, Any]) -> Iterator[str]:
    said = found["measured"]
    fresh = f", {count(said['sampled_now'])} of them now" if said["sampled_now"] < said["rollouts"] else ""
    yield (
        f"pilot: {count(said['problems'])} of {count(found['problems'])} problems, {count(said['rollouts'])} "
        f"rollouts{fresh}, {count(said['tokens'])} tokens, in {duration(said['elapsed_s'])}"
    )
    facts = []
    if said["tokens_per_s"] is not None:
        facts.append(f"{count(said['tokens_per_s'])} tokens/s while requests were open ({duration(said['busy_s'])})")
    if said["start_s"] is not None:
        facts.append(f"{duration(said['start_s'])} until the first request")
    if said["bytes_per_rollout"] is not None:
        facts.append(f"{size(said['bytes_per_rollout'])} of disk a rollout")
    if facts:
        yield ", ".join(facts)
    if said["tokens_per_s"] is None:
        yield "no time was measured (nothing was sampled, or a recording answered), so no hours are projected"


def _rows(found: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any] | None, Number, str]]:
    total, stages = found["total"], found["stages"]
    for stage in stages if len(stages) > 1 else []:
        yield f"tokens of {stage['stage']}", stage["tokens"], count, _tokens_note(stage)
    yield "requests", total["requests"], count, ""
    yield "tokens", total["tokens"], count, _tokens_note(stages[0]) if len(stages) == 1 else ""
    yield "engine time", total["engine_s"], duration, f"{found['measured']['engines']} engine(s), all together"
    yield "wall time", total["wall_s"], duration, "releases and reports not included"
    yield "disk", total["disk_bytes"], size, "releases not included"
    yield "cost", total["cost"], money, ""
    several = len(total["mixed_groups"]) > 1
    for stage, value in total["mixed_groups"].items():
        share = found["measured"]["mixed_share"].get(stage)
        note = "" if share is None else f"{share:.0%} of the pilot's groups"
        yield "mixed groups" + (f" by {stage}" if several else ""), value, count, note
    yield "labelled steps", total["labelled_steps"], count, ""
    for level, value in total["pairs"].items():
        yield f"{level} pairs", value, count, ""


def _tokens_note(stage: dict[str, Any]) -> str:
    if stage["tokens_per_rollout"] is None:
        return "none were asked for"
    return f"{stage['tokens_per_rollout']:,.0f} a rollout, {stage['truncated_share']:.0%} truncated"


def _range(value: dict[str, Any], number: Number) -> str:
    low, high = ("?" if end is None else number(end) for end in (value["low"], value["high"]))
    return low if low == high else f"{low} – {high}"
