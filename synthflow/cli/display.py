"""Progress of a run: a live table for a person, single lines for a log file."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from synthflow.cli.text import count, duration, money
from synthflow.contracts.stage import ROWS_OF
from synthflow.execute.progress import Tracker

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 10.0, 60.0
_DOING_EVERY_S = 5.0
_TOLD_IF_ANY = ("unknown", "dropped", "rejected", "refused", "failed", "poison", "retries", "engine_deaths")
_WORDS = {"rejected": "left out", "engine_deaths": "engine deaths"}


def facts(stage: dict[str, Any]) -> str:
    """What is worth saying of a stage: rollouts, speed, pass rate, retries."""
    counts, said = stage["counts"], [stage["doing"]] if stage["doing"] else []
    sampled = counts.get("sampled", 0) + counts.get("from_journal", 0)
    if sampled:
        of = f"/{count(stage['expected_requests'])}" if stage["expected_requests"] else ""
        said.append(f"{count(sampled)}{of} rollouts")
    said.extend(_speed(_rate(stage, "rollouts_per_s"), _rate(stage, "tokens_per_s")))
    if not sampled and counts.get("rows"):
        said.append(f"{count(counts['rows'])} rows{_configs(counts)}")
    if stage["pass_rate"] is not None:
        whose = " of continuations" if counts.get("continuations") else ""
        said.append(f"pass rate {stage['pass_rate']:.2f}{whose}")
    return "  ".join([*said, *_unusual(counts)])


def _unusual(counts: Mapping[str, float]) -> list[str]:
    return [f"{count(counts[name])} {_WORDS.get(name, name)}" for name in _TOLD_IF_ANY if counts.get(name)]


def _so_far(stage: dict[str, Any]) -> str:
    """How far a stage is, in few words: `steps 1/10 (80 rollouts, 2 retries)`."""
    counts, said = stage["counts"], []
    if answered := sum(counts.get(name, 0) for name in ("sampled", "scored", "from_journal")):
        of = f"/{count(stage['expected_requests'])}" if stage["expected_requests"] else ""
        said.append(f"{count(answered)}{of} rollouts")
    words = ", ".join([*said, *_unusual(counts)])
    return f"{stage['stage']} {stage['units_done']}/{stage['units_total']}{f' ({words})' if words else ''}"


def _configs(counts: Mapping[str, float]) -> str:
    """Rows of each config of an export that has several."""
    configs = {name.removeprefix(ROWS_OF): n for name, n in counts.items() if name.startswith(ROWS_OF)}
    return f" ({', '.join(f'{name} {count(n)}' for name, n in configs.items())})" if len(configs) > 1 else ""


def _rate(stage: dict[str, Any], name: str) -> float | None:
    """The recent rate; for a stage that is done, or where there is none yet, that since it began."""
    recent: float | None = stage.get(f"recent_{name}")
    since: float | None = stage[name]
    return since if recent is None else recent


def _speed(rollouts_per_s: float | None, tokens_per_s: float | None) -> list[str]:
    said = []
    if rollouts_per_s:
        said.append(f"{rollouts_per_s:.0f}/s" if rollouts_per_s >= 10 else f"{rollouts_per_s:.2g}/s")
    if tokens_per_s:
        said.append(f"{count(tokens_per_s)} tok/s")
    return said


def totals(snapshot: dict[str, Any]) -> str:
    """What is worth saying of the whole attempt: tokens, speed, cost, ETA; empty while nothing is sampled."""
    total = snapshot.get("total") or {}
    if not total.get("tokens"):
        return ""
    said = [f"{count(total['tokens'])} tokens"]
    said.extend(_speed(total.get("rollouts_per_s"), total.get("tokens_per_s")))
    if total.get("cost") is not None:
        projected = total.get("cost_projected") or 0.0
        of = f" of about {money(projected)}" if projected > 1.005 * total["cost"] else ""
        said.append(f"cost {money(total['cost'])}{of}")
    if total.get("eta_s") is not None:
        said.append(f"ETA {duration(total['eta_s'])}")
    return "  ".join(said)


def _differ_in_numbers(one: str, other: str) -> bool:
    return [c for c in one if not c.isdigit()] == [c for c in other if not c.isdigit()]


class LiveDisplay:
    """One row a stage, redrawn four times a second."""

    def __init__(self, tracker: Tracker, console: Console) -> None:
        self._tracker = tracker
        self._live = Live(console=console, refresh_per_second=4, get_renderable=self._table)

    def _table(self) -> Table:
        snapshot = self._tracker.snapshot()
        table = Table.grid(padding=(0, 2))
        for stage in snapshot["stages"]:
            done, total = stage["units_done"], stage["units_total"]
            finished = total and done >= total
            fraction = done / total if total else 0.0
            sampled = stage["counts"].get("sampled", 0) + stage["counts"].get("from_journal", 0)
            if stage["expected_requests"] and not finished:
                fraction = max(fraction, sampled / stage["expected_requests"])
            mark = "[green]✓[/]" if finished else ("[cyan]▸[/]" if stage["counts"] else " ")
            bar = ProgressBar(total=1.0, completed=min(1.0, fraction), width=18)
            table.add_row(mark, f"[bold]{stage['stage']}[/]", bar, f"{done}/{total}", escape(facts(stage)))
        words = (f"{duration(snapshot['elapsed_s'])} elapsed", totals(snapshot), escape(snapshot["doing"]))
        table.add_row("", "", "", "", f"[dim]{'  '.join(w for w in words if w)}[/]")
        return table

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


class LineDisplay:
    """Plain lines: what is waited for, each stage when it is done, and in between one on those at work, if they moved.

    Pauses between lines on work grow from ten seconds to a minute, so that a log of a day stays readable.
    """

    def __init__(self, tracker: Tracker, console: Console) -> None:
        self._tracker, self._console = tracker, console
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True, name="synthflow-display")
        self._told: set[str] = {s["stage"] for s in tracker.snapshot()["stages"] if s["units_done"] >= s["units_total"]}
        self._last: dict[str, tuple[Any, ...]] = {}
        self._doing, self._doing_at = "", 0.0

    def _loop(self) -> None:
        pause = _FIRST_PAUSE_S
        due_at = time.monotonic() + pause
        while not self._stop.wait(0.5):
            due = time.monotonic() >= due_at
            self._tell(due)
            if due:
                pause = min(_LONGEST_PAUSE_S, pause + _FIRST_PAUSE_S)
                due_at = time.monotonic() + pause

    def _tell(self, due: bool) -> None:
        snapshot = self._tracker.snapshot()
        self._tell_doing(snapshot)
        stages = snapshot["stages"]
        for stage in stages:
            if stage["stage"] not in self._told and stage["units_done"] >= stage["units_total"]:
                self._told.add(stage["stage"])
                self._say(snapshot, f"{stage['stage']:<14} {'done':<8} {facts(stage)}")
        if due:
            self._tell_work(snapshot, [s for s in stages if s["stage"] not in self._told and self._has_moved(s)])

    def _tell_work(self, snapshot: dict[str, Any], moved: list[dict[str, Any]]) -> None:
        """One line. Stages that sample are what a run waits for; others are told where none of those moved."""
        at_work = [s for s in moved if s["samples"]]
        if at_work:
            words = (", ".join(map(_so_far, at_work)), totals(snapshot))
            self._say(snapshot, ": ".join(word for word in words if word))
        elif moved:
            self._say(snapshot, ", ".join(map(_so_far, moved)))

    def _tell_doing(self, snapshot: dict[str, Any]) -> None:
        """What the run, or else a stage, waits for: when it changes, and not more often than every few seconds."""
        doing = next((d for d in (snapshot["doing"], *(s["doing"] for s in snapshot["stages"])) if d), "")
        now = time.monotonic()
        if doing != self._doing and (
            now - self._doing_at >= _DOING_EVERY_S or not _differ_in_numbers(doing, self._doing)
        ):
            self._doing, self._doing_at = doing, now
            if doing:
                self._say(snapshot, doing)

    def _has_moved(self, stage: dict[str, Any]) -> bool:
        now = (stage["units_done"], *stage["counts"].values())
        moved = self._last.get(stage["stage"], (0,)) != now
        self._last[stage["stage"]] = now
        return moved

    def _say(self, snapshot: dict[str, Any], text: str) -> None:
        line = f"[{duration(snapshot['elapsed_s'])}] {text}".rstrip()
        self._console.print(line, markup=False, soft_wrap=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=2)
        self._tell(due=False)


def display_for(tracker: Tracker, console: Console) -> LiveDisplay | LineDisplay:
    """Live for a terminal, lines for anything else."""
    return LiveDisplay(tracker, console) if console.is_terminal else LineDisplay(tracker, console)
