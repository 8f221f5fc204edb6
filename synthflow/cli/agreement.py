"""`synthflow agreement`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from synthflow.cli.text import console, count, echo_json

EPILOG = """\b
Examples:
  synthflow agreement runs/labels                     a table here, and the page runs/labels/agreement.html
  synthflow agreement runs/labels --html report.html
  synthflow agreement runs/labels --json
"""

PAGE = "agreement.html"
_ON_THE_PAGE = ("auroc_newly_wrong", "first_within_one", "first_named", "first_false", "spearman")
"""Statistics for which a terminal has no room."""


@click.command(epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help=f"Where the page goes.  [RUN/{PAGE}]")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON; no page is written.")
def agreement(run: Path, html: Path | None, as_json: bool) -> None:
    """Which step labeler of a run to believe: AUROC, first errors, calibration, tokens."""
    from synthflow.errors import UserError
    from synthflow.report.agreement_page import agreement_of, page, truth_rows
    from synthflow.stores.catalog.build import open_catalog
    from synthflow.stores.files import write_text
    from synthflow.stores.rundir import RunDirectory

    RunDirectory.existing(run)
    with open_catalog(run) as con:
        found = agreement_of(con)
    if not found["agreement"]:
        raise UserError(f"{run}: nothing was compared; add a stage measure.step_agreement that reads the label stages")
    if as_json:
        echo_json(found)
        return
    _print(truth_rows(found))
    path = html if html is not None else run / PAGE
    write_text(path, page(found, run.resolve().name))
    click.echo(f"plots: {path}")


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from synthflow.report.agreement_page import HEADLINE

    metrics = [m for m in HEADLINE if any(row[m] is not None for row in rows)]
    shown = [m for m in metrics if m not in _ON_THE_PAGE]
    table = Table(title=f"step labelers against {rows[0]['reference']}" if rows else None, title_justify="left")
    table.add_column("labeler", no_wrap=True)
    for name in ("tokens a rollout", "problems", *(HEADLINE[m] for m in shown)):
        table.add_column(name, justify="right")
    for row in rows:
        tokens = (row["tokens"] or 0) / max(row["rollouts"] or 1, 1)
        cells = (_cell(row, m) for m in shown)
        table.add_row(Text(row["labeler"]), count(tokens), count(row["n_problems"]), *cells)
    console().print(table)


def _cell(row: dict[str, Any], metric: str) -> str:
    value, low, high = row[metric], row[f"{metric}_low"], row[f"{metric}_high"]
    if value is None:
        return "–"
    return f"{value:.2f}" + ("" if low is None else f" ({low:.2f}–{high:.2f})")
