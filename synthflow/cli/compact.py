"""`synthflow compact`."""

from __future__ import annotations

from pathlib import Path

import click

from synthflow.cli.text import console, count, echo_json, size

EPILOG = """\b
Examples:
  synthflow compact runs/first                    fewer, larger files: of the tables and of the journal
  synthflow compact runs/first --drop-journal     the journal is removed

Without its journal a run is as it was, and nothing of it is owed; but what a changed spec asks for is sampled anew.
"""


@click.command(epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--drop-journal", is_flag=True, help="Remove the journal instead of putting it together.")
@click.option("--yes", is_flag=True, help="Do not ask before the journal is removed.")
@click.option("--json", "as_json", is_flag=True, help="Files and bytes before and after, as JSON; implies --yes.")
def compact(run: Path, drop_journal: bool, yes: bool, as_json: bool) -> None:
    """Put the small files of a finished RUN together; rows, ids and what is owed stay as they are."""
    from synthflow.execute.finish import compact_run
    from synthflow.stores.lock import RunLock
    from synthflow.stores.rundir import RunDirectory

    directory = RunDirectory.existing(run)
    if drop_journal and not (yes or as_json):
        click.confirm("remove what was sampled from the journal? the tables keep it", abort=True)
    with RunLock(directory.root):
        sizes = compact_run(directory, drop_journal=drop_journal)
    if as_json:
        echo_json([each.to_json() for each in sizes])
        return
    screen = console()
    for each in sizes:
        now = f"{count(each.files_after)} files, {size(each.bytes_after)}"
        screen.print(f"{each.what:<8} {count(each.files)} files, {size(each.bytes)}  ->  {now}", markup=False)
