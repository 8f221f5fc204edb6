"""`synthflow stats` and `synthflow sql`."""

from __future__ import annotations

from pathlib import Path

import click

from synthflow.cli.text import console, echo_json

STATS_EPILOG = """\b
Examples:
  synthflow stats runs/quickstart
  synthflow stats runs/quickstart --json
"""

SQL_EPILOG = """\b
Examples:
  synthflow sql runs/quickstart                            tables, columns, what they mean
  synthflow sql runs/quickstart "SELECT * FROM problem_stats ORDER BY pass_rate LIMIT 5"
  synthflow sql runs/quickstart "SELECT * FROM step_advantages WHERE advantage < -0.5" --format csv
"""


@click.command(epilog=STATS_EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
def stats(run: Path, as_json: bool) -> None:
    """Quality, diversity and complexity of a run, stage by stage."""
    from synthflow.report.saved import summary_of
    from synthflow.report.summary import render
    from synthflow.stores.rundir import RunDirectory

    RunDirectory.existing(run)
    summary = summary_of(run)
    if as_json:
        echo_json(summary)
    else:
        render(console(), summary)


@click.command(epilog=SQL_EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("query", required=False)
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "csv", "json", "markdown"]),
    default="table",
    show_default=True,
    help="How rows are printed.",
)
def sql(run: Path, query: str | None, style: str) -> None:
    """Query a run's tables in DuckDB SQL; without a QUERY, say what there is."""
    from synthflow.stores.catalog.sql import query as run_query
    from synthflow.stores.catalog.sql_formats import render
    from synthflow.stores.rundir import RunDirectory

    RunDirectory.existing(run)
    if query is None:
        _describe(run)
        return
    columns, rows = run_query(run, query)
    for line in render(columns, rows, style):
        click.echo(line)


def _describe(run: Path) -> None:
    """Every table and view with its columns and what they mean."""
    from synthflow.stores.catalog.sql import describe

    screen = console()
    for view in describe(run):
        screen.print(f"[bold]{view.name}[/]  [dim]{view.comment}[/]")
        width = max(len(name) for name, _, _ in view.columns)
        for name, kind, comment in view.columns:
            screen.print(f"  {name:<{width}}  {kind:<12.12}  {comment}", markup=False)
