"""`synthflow status`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from synthflow.cli.text import console, duration, echo_json

EPILOG = """\b
Examples:
  synthflow status runs/quickstart
  watch synthflow status runs/quickstart
  synthflow status runs/quickstart --json
"""


@click.command(epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
def status(run: Path, as_json: bool) -> None:
    """How far a run is, from any terminal, also after a crash."""
    found = run_status(run)
    if as_json:
        echo_json(found)
        return
    _print(found)


def run_status(root: Path) -> dict[str, Any]:
    """State of a run directory: who holds it, what is done and owed, the last progress that was saved."""
    from synthflow.report.runs import state_of
    from synthflow.stores.lock import is_stale, read_lock
    from synthflow.stores.rundir import RunDirectory

    run = RunDirectory.existing(root)
    manifest = run.manifest()
    holder = read_lock(run.root)
    owed = manifest.owed()
    alive = holder is not None and not is_stale(holder, run.root)
    progress, of_attempt = _last_progress(run.root, manifest.attempt)
    graph = manifest.graph
    return {
        "run": str(root),
        "name": manifest.latest_attempt.get("name"),
        "state": state_of(run.root, manifest),
        "attempt": manifest.attempt,
        "holder": holder if alive else None,
        "died": holder is not None and not alive,
        "stages": [
            {
                "stage": name,
                "use": record.use,
                "units_total": len(graph.units(name)),
                "units_done": len(graph.units(name)) - owed.get(name, 0),
            }
            for name, record in graph.stages.items()
        ],
        "progress": progress,
        "progress_attempt": of_attempt,
        "progress_age_s": None if progress is None else max(0.0, round(time.time() - progress["at"], 3)),
    }


def _last_progress(root: Path, attempt: int) -> tuple[dict[str, Any] | None, int | None]:
    """The last progress that was saved, and the attempt it is of: an attempt may die before it saves any."""
    for number in range(attempt, 0, -1):
        path = root / "logs" / f"attempt-{number}" / "progress.json"
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            continue
        return found, number
    return None, None


def _said_when(found: dict[str, Any], progress: dict[str, Any]) -> str:
    """What the run said of itself last, and how long ago. One that was killed still says that it is running."""
    doing = f" ({progress['doing']})" if progress.get("doing") else ""
    state = f"{progress.get('state', 'unknown')}{doing}"
    return f"progress of attempt {found['progress_attempt']}, {duration(found['progress_age_s'])} ago: {state}"


def _print(found: dict[str, Any]) -> None:
    from synthflow.cli.display import facts, totals

    screen = console()
    screen.print(f"{found['run']}: {found['state']}, attempt {found['attempt']}", markup=False)
    if found["holder"]:
        holder = found["holder"]
        screen.print(f"held by process {holder['pid']} on {holder['host']}", markup=False)
    elif found["died"]:
        screen.print("its last process died without closing; run again to resume", markup=False)
    progress = found["progress"]
    running = found["state"] == "running"
    said = {s["stage"]: s for s in progress["stages"]} if progress else {}
    for stage in found["stages"]:
        last = said.get(stage["stage"])
        done, total = stage["units_done"], stage["units_total"]
        mark = "✓" if done >= total else " "
        screen.print(f" {mark} {stage['stage']:<16} {done}/{total:<6} {facts(last) if last else ''}", markup=False)
    if progress:
        if totals(progress):
            screen.print(f"{'in all' if running else 'it last said'}: {totals(progress)}", markup=False)
        screen.print(_said_when(found, progress), markup=False)
        if found["progress_attempt"] > 1:
            whole = f"`synthflow stats {found['run']}` counts the whole run"
            screen.print(f"rollouts, rows and rates are those of this attempt; {whole}", markup=False)
    if found["state"] == "incomplete":
        screen.print(f"work is owed: run the same spec again with --out {found['run']}", markup=False)
