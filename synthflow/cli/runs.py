"""`synthflow runs` and `synthflow clean`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from synthflow.cli.text import console, count, echo_json, money, size

if TYPE_CHECKING:
    from synthflow.stores import cleaning

RUNS_EPILOG = """\b
Examples:
  synthflow runs                 the runs in runs/
  synthflow runs /data/runs --json
"""

CLEAN_EPILOG = """\b
Examples:
  synthflow clean runs/first --dry-run      what could go, and how much room it takes
  synthflow clean runs/first                the same, and a question
  synthflow clean runs/first --yes

What was sampled is never removed, nor what the latest spec of the run counts.
"""


@click.command(epilog=RUNS_EPILOG)
@click.argument("folder", type=click.Path(path_type=Path), default=Path("runs"))
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
def runs(folder: Path, as_json: bool) -> None:
    """Run directories in FOLDER [runs]: name, state, rows, size, policies, cost."""
    from synthflow.errors import UserError
    from synthflow.report.runs import run_lines

    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    found = run_lines(folder)
    if as_json:
        echo_json([line.to_json() for line in found])
        return
    screen = console()
    if not found:
        screen.print(f"no run in {folder}", markup=False)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("run", "name", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("problems", "rollouts", "rows", "size", "tokens", "cost"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("policies")
    for line in found:
        table.add_row(
            line.run,
            line.name or "–",
            line.state,
            *(count(n or None) for n in (line.problems, line.rollouts, line.rows)),
            size(line.bytes),
            count(line.tokens or None),
            "–" if line.cost is None else money(line.cost),
            ", ".join(line.policies),
        )
    screen.print(table)


@click.command(epilog=CLEAN_EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="What is removed, as JSON; implies --yes unless --dry-run.")
def clean(run: Path, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Remove from a RUN what neither a release nor a resume needs, after saying what."""
    from synthflow.stores import cleaning
    from synthflow.stores.lock import RunLock
    from synthflow.stores.rundir import RunDirectory

    directory = RunDirectory.existing(run)
    with RunLock(directory.root):
        manifest = directory.manifest()
        found = cleaning.removable(directory, manifest)
        if as_json:
            echo_json([{"what": one.what, "files": len(one.paths), "bytes": one.bytes} for one in found])
        else:
            _tell(run, found)
        if found and not dry_run and (yes or as_json or click.confirm("remove it?")):
            cleaning.clean(directory, manifest, found)


def _tell(run: Path, found: list[cleaning.Removable]) -> None:
    screen = console()
    if not found:
        screen.print(f"{run}: nothing to remove", markup=False)
        return
    for one in found:
        screen.print(f"{size(one.bytes):>10}  {len(one.paths):>6}  {one.what}", markup=False)
    screen.print(f"{size(sum(one.bytes for one in found)):>10}  in all", markup=False)
