"""`synthflow plan`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from synthflow.cli.text import SPEC_HELP, console, count, echo_json, size

if TYPE_CHECKING:
    from rich.console import Console

EPILOG = """\b
Examples:
  synthflow plan quickstart
  synthflow plan pipeline.yaml --out runs/first      what is done there, and what is owed
  synthflow plan pipeline.yaml -o stages.rollouts.n=64 --json
  synthflow plan pipeline.yaml --pilot          run 16 problems for real, project tokens, hours, disk and yield
  synthflow plan pipeline.yaml --pilot 64

A pilot changes nothing of the real run, which finds its rollouts and does not sample them again.
"""


@click.command(epilog=EPILOG, help=f"Check a pipeline and print what will run, without running it.\n\n{SPEC_HELP}")
@click.argument("spec")
@click.option("--out", type=click.Path(path_type=Path), help="Run directory.  [default: runs/NAME]")
@click.option("-o", "--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Change a field of the spec.")
@click.option("--pilot", is_flag=False, flag_value=16, type=click.IntRange(min=1), metavar="[N]",
              help="Run N problems for real and project the rest.  [N: 16]")  # fmt: skip
@click.option("--scheduler", metavar="ADDRESS", help="With --pilot: a Dask scheduler to use.")
@click.option("--json", "as_json", is_flag=True, help="The plan as JSON.")
def plan(
    spec: str,
    out: Path | None,
    overrides: tuple[str, ...],
    pilot: int | None,
    scheduler: str | None,
    as_json: bool,
) -> None:
    if scheduler is not None and pilot is None:
        raise click.UsageError("--scheduler says where a pilot runs; give --pilot with it, or leave it out")
    from synthflow.plan.plan import make_plan
    from synthflow.spec import load_pipeline

    pipeline = load_pipeline(spec, overrides)
    root = out or Path("runs") / pipeline.name
    planned = make_plan(pipeline, root).to_json()
    if not as_json:
        _print(planned)
    if pilot is not None:
        from synthflow.cli.display import display_for
        from synthflow.cli.pilot import print_pilot
        from synthflow.cli.run import stop_on_signals
        from synthflow.execute.stopping import Stopper
        from synthflow.workflows.pilot.pilot import run_pilot

        screen, stopper = console(err=as_json), Stopper()
        stop_on_signals(stopper)
        found = run_pilot(
            pipeline,
            root,
            pilot,
            scheduler=scheduler,
            stopper=stopper,
            display=lambda tracker: display_for(tracker, screen),
        )
        planned["pilot"] = found.to_json()
        if not as_json:
            print_pilot(planned["pilot"])
    if as_json:
        echo_json(planned)


def _print(planned: dict[str, Any]) -> None:
    screen = console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, right in (("stage", 0), ("use", 0), ("done", 1), ("rows", 1), ("requests", 1), ("tokens ≤", 1)):
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    table.add_column("what")
    for stage in planned["stages"]:
        rows = sum(stage["rows"].values()) or None
        table.add_row(
            stage["name"],
            stage["use"],
            f"{stage['units_done']}/{stage['units']}",
            count(rows),
            count(stage["requests"] or None),
            count(stage["tokens"] or None),
            stage["note"],
        )
    screen.print(table)
    total = planned["total"]
    screen.print(
        f"\n{planned['name']}: {count(total['problems'])} problems, at most {count(total['requests'])} requests, "
        f"{count(total['tokens'])} tokens, about {size(total['disk_bytes'])} of disk",
        markup=False,
    )
    if total["cost"] is not None:
        screen.print(f"at most {total['cost']:,.2f} at the price per million tokens given", markup=False)
    _print_golds(screen, planned["golds"])
    owed = sum(s["units"] - s["units_done"] for s in planned["stages"])
    where = planned["run"]
    screen.print(
        f"nothing is owed in {where}" if not owed else f"{owed} units of work are owed in {where}", markup=False
    )


def _print_golds(screen: Console, golds: dict[str, Any]) -> None:
    """Gold answers that no verifier can read, on which every verdict will be unknown."""
    from synthflow.plan.golds import Golds

    for source, found in golds.items():
        told = Golds(**{**found, "examples": ()}).note()
        if told:
            screen.print(f"{source}: {told}; every verdict on them will be unknown (gold_unparsable)", markup=False)
        for example in found["examples"]:
            screen.print(f"  {example['problem_id'][:14]}  {example['answer']!r}: {example['why']}", markup=False)
