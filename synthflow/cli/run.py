"""`synthflow run`."""

from __future__ import annotations

import signal
import sys
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synthflow.cli.text import OUT_HELP, SPEC_HELP, console, count, duration, echo_json
from synthflow.errors import UserError

if TYPE_CHECKING:
    from synthflow.execute.stopping import Stopper
    from synthflow.plan.costs import Change
    from synthflow.report.summary import Summary
    from synthflow.spec.pipeline import Pipeline
    from synthflow.stores.manifest import Manifest

EPILOG = """\b
Examples:
  synthflow run quickstart                        into runs/quickstart
  synthflow run pipeline.yaml --out runs/first
  synthflow run pipeline.yaml --out s3://bucket/first      shards and releases there too
  synthflow run pipeline.yaml -o stages.rollouts.n=64      48 more, if there were 16
  synthflow run pipeline.yaml --retry refused     ask again for what a server refused
  synthflow run pipeline.yaml --scheduler tcp://10.0.0.1:8786
  synthflow run pipeline.yaml --scheduler scheduler.json --wait 3600

\b
Running again on the same directory resumes it: what is finished is kept, what changed
is run again.
Exit codes: 0 done, 2 a mistake in the spec or input, 3 work is owed (run again), 5 locked, 6 disk full,
7 the cap on tokens or cost is reached (raise it, run again).
"""


@click.command(epilog=EPILOG, help=f"Run a pipeline; resume it, or top it up, where it was.\n\n{SPEC_HELP}")
@click.argument("spec")
@click.option("--out", metavar="PATH|URL", help=OUT_HELP)
@click.option("--replace", is_flag=True, help="Go on in a directory that holds the run of another pipeline.")
@click.option("-o", "--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Change a field of the spec.")
@click.option("--scheduler", metavar="ADDRESS|FILE", help="A Dask scheduler to use instead of a local cluster.")
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the scheduler's workers.",
)
@click.option(
    "--retry",
    multiple=True,
    type=click.Choice(["refused", "failed", "poison"]),
    help="Ask again for rollouts that ended so; may be given several times.",
)
@click.option("--prometheus", type=click.IntRange(1, 65535), metavar="PORT", help="Serve metrics at /metrics.")
@click.option("--quiet", is_flag=True, help="No progress and no summary.")
@click.option("--json", "as_json", is_flag=True, help="A JSON summary on standard output at the end.")
def run(
    spec: str,
    out: str | None,
    replace: bool,
    overrides: tuple[str, ...],
    scheduler: str | None,
    wait: float,
    retry: tuple[str, ...],
    prometheus: int | None,
    quiet: bool,
    as_json: bool,
) -> None:
    screen = console(err=as_json)
    if not quiet:
        screen.print(f"reading {spec}", markup=False)  # before libraries load, which may take a while
    from synthflow.cli.change import change_line
    from synthflow.cli.display import display_for
    from synthflow.cli.places import place_of
    from synthflow.execute.run import run_pipeline
    from synthflow.execute.stopping import Stopper
    from synthflow.spec import load_pipeline

    stopper = Stopper()
    stop_on_signals(stopper)
    if prometheus is not None:
        overrides = (*overrides, f"execution.prometheus_port={prometheus}")
    pipeline = load_pipeline(spec, overrides)
    root, remote = place_of(out, pipeline.name)
    if remote is not None:
        remote.check()
    if not quiet:
        screen.print(f"{pipeline.name} → {root}", markup=False)
        if remote is not None:
            screen.print(
                f"journal, lock and working files stay there; the rest is copied to {remote.url}", markup=False
            )
    replace = replace or _may_replace(pipeline, root)
    changes: list[dict[str, Any]] = []

    def told(change: Change) -> None:
        changes.append(change.to_json())
        if not quiet:
            screen.print(change_line(changes[-1]), markup=False)

    result = run_pipeline(
        pipeline,
        root,
        scheduler=scheduler,
        wait_s=wait,
        stopper=stopper,
        retry=retry,
        display=lambda tracker: nullcontext() if quiet else display_for(tracker, screen),
        replace=replace,
        told=told if as_json or not quiet else None,
    )
    summary = _summary(root, result.manifest)
    if result.attempt is None and not quiet:
        screen.print(f"nothing to do: every stage of {pipeline.name!r} is done in {root}", markup=False)
    elif not quiet:
        screen.print(f"attempt {result.attempt} done in {duration(result.elapsed_s)}", markup=False)
    if remote is not None:
        sent = remote.send(root)
        if not quiet:
            screen.print(f"{count(sent)} files copied to {remote.url}", markup=False)
    if as_json:
        done = {"attempt": result.attempt, "elapsed_s": round(result.elapsed_s, 3)}
        echo_json({"run": str(root), **done, "change": changes[0] if changes else None, **summary})
    elif not quiet:
        _print(root, summary)


def _summary(root: Path, manifest: Manifest) -> Summary:
    """What the run holds; only its releases where that cannot be summed up, since a run that is done has not failed."""
    from synthflow.report.saved import summary_of
    from synthflow.report.summary import releases

    try:
        return summary_of(root, manifest, keep=True)
    except UserError as error:
        click.echo(error, err=True)
        return releases(root)


def _may_replace(pipeline: Pipeline, root: Path) -> bool:
    """Ask, where a person is there to answer, before a run of another pipeline is taken over."""
    from synthflow.plan.other_run import other_run
    from synthflow.stores.manifest import Manifest

    other = None
    with suppress(OSError):  # an impossible place is the run's own to refuse
        if sys.stdin.isatty() and root.is_dir():
            other = other_run(pipeline, Manifest(root))
    return other is not None and click.confirm(f"{root} {other}; put {pipeline.name!r} in its place?")


def stop_on_signals(stopper: Stopper) -> None:
    """The first Ctrl-C (or SIGTERM) finishes what is in flight, the second stops at once."""

    def handle(number: int, frame: object) -> None:
        if stopper.asked:
            raise KeyboardInterrupt
        stopper.ask()
        click.echo("stopping: finishing what is in flight; once more to stop at once", err=True)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)


def _print(root: Path, summary: Summary) -> None:
    from synthflow.report.summary import render

    screen, view = console(), "step_advantages" if summary.get("steps") else "verdicts"
    if "rollouts" in summary:
        render(screen, summary, brief=True)
    screen.print(f"\nFiles: {root}", markup=False)
    if any((root / "exports").glob("[!.]*")):
        screen.print(f"Releases: {root / 'exports'}", markup=False)
    screen.print(
        f"\nNext:  synthflow stats {root}\n"
        f'       synthflow sql {root} "SELECT * FROM {view} LIMIT 10"\n'
        f"       synthflow check {root}",
        markup=False,
    )
