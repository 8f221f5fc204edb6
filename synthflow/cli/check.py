"""`synthflow check`."""

from __future__ import annotations

from pathlib import Path

import click

from synthflow.cli.text import console, count, echo_json, size
from synthflow.errors import ExitCode

EPILOG = """\b
Examples:
  synthflow check runs/quickstart
  synthflow check runs/quickstart --json

Exit codes: 0 sound, 4 something is broken.
"""


@click.command(epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The findings as JSON.")
def check(run: Path, as_json: bool) -> int:
    """Re-hash every shard of a run and check everything that always holds."""
    from synthflow.check import check_run
    from synthflow.stores.rundir import RunDirectory

    RunDirectory.existing(run)
    report = check_run(run)
    if as_json:
        echo_json(report.to_json())
    else:
        screen = console()
        for finding in report.findings:
            screen.print(str(finding), markup=False)
        held = ", ".join(f"{size(n) if k == 'bytes' else count(n) + ' ' + k}" for k, n in report.counts.items())
        screen.print(f"{run}: {held}", markup=False)
        screen.print(
            f"{len(report.checked)} kinds of checks on {count(sum(report.checked.values()))} rows", markup=False
        )
        said = "sound" if report.ok else f"{len(report.errors)} errors"
        screen.print(said + (f", {len(report.warnings)} warnings" if report.warnings else ""), markup=False)
    return int(ExitCode.OK if report.ok else ExitCode.CHECK_FAILED)
