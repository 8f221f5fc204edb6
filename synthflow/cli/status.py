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
    from synthflow.stores.lock import is_stale, read_lock
    from synthflow.stores.rundir import RunDirectory

    run = RunDirectory.existing(root)
    manifest = run.manifest()
    holder = read_lock(run.root)
    owed = manifest.owed()
    alive = holder is not None and not is_stale(holder)
    if alive:
        state = "running"
    elif not manifest.attempt:
        state = "not started"
    else:
        state = "incomplete" if owed else "complete"
    progress = _last_progress(run.root, manifest.attempt)
    graph = manifest.graph
    return {
        "run": str(root),
        "name": manifest.latest_attempt.get("name"),
        "state": state,
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
    }


def _last_progress(root: Path, attempt: int) -> dict[str, Any] | None:
    path = root / "logs" / f"attempt-{attempt}" / "progress.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return found


def _print(found: dict[str, Any]) -> None:
    from synthflow.cli.display import facts

    screen = console()
    screen.print(f"{found['run']}: {found['state']}, attempt {found['attempt']}", markup=False)
    if found["holder"]:
        holder = found["holder"]
        screen.print(f"held by process {holder['pid']} on {holder['host']}", markup=False)
    elif found["died"]:
        screen.print("its last process died without closing; run again to resume", markup=False)
    progress = found["progress"] or {"stages": [], "at": None}
    said = {s["stage"]: s for s in progress["stages"]}
    for stage in found["stages"]:
        last = said.get(stage["stage"])
        done, total = stage["units_done"], stage["units_total"]
        mark = "✓" if done >= total else " "
        eta = f"  ETA {duration(last['eta_s'])}" if last and last["eta_s"] and found["state"] == "running" else ""
        screen.print(f" {mark} {stage['stage']:<16} {done}/{total:<6} {facts(last) if last else ''}{eta}", markup=False)
    if progress["at"]:
        screen.print(f"progress of {duration(time.time() - progress['at'])} ago", markup=False)
    if found["state"] == "incomplete":
        screen.print(f"work is owed: run the same spec again with --out {found['run']}", markup=False)
