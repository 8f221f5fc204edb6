"""`synthflow verify RUN`: what flips when a run's rollouts are judged again, before anything is replaced."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synthflow.cli.text import console, count, echo_json
from synthflow.errors import ExitCode, Incomplete

if TYPE_CHECKING:
    from rich.console import Console

    from synthflow.workflows.reverify.churn import Churn
    from synthflow.workflows.reverify.reverify import Rejudged, Rerun

_MOST_CELLS = 30


def verify_run(root: Path, settings: dict[str, Any], options: dict[str, Any]) -> int:
    """Judge again, print the churn, and replace the verdicts if told to."""
    from synthflow.workflows.reverify.reverify import Rejudge, rejudge

    quiet, as_json = options["quiet"], options["as_json"]
    asked = Rejudge(root, options["stage"], options["verifier"], settings)
    try:
        found = rejudge(asked, None if quiet else _telling(console(err=True)))
    except KeyboardInterrupt:
        click.echo("interrupted; nothing was replaced, and what was judged is kept: the same command goes on", err=True)
        return int(ExitCode.INTERRUPTED)
    screen = console(err=as_json)
    if not quiet:
        _print(screen, root, found, bool(options["apply_"]))
    applied = False
    try:
        if options["apply_"] and found.stages:
            _apply(screen, root, found, quiet)
            applied = True
    finally:
        if as_json:
            echo_json({"run": str(root), "applied": applied, **found.to_json()})
    return int(ExitCode.OK)


def _telling(screen: Console) -> Any:
    last = time.monotonic()

    def tell(done: int, of: int) -> None:
        nonlocal last
        if time.monotonic() - last >= 10.0:
            last = time.monotonic()
            screen.print(f"judged {done}/{of} partitions", markup=False)

    return tell


def _print(screen: Console, root: Path, found: Rerun, applies: bool) -> None:
    if not found.stages:
        known = "".join(f"\n  {record.name}: {record.use} {record.version}" for record in found.looked_at)
        what = "verdicts are by these verifiers, versions and configurations already"
        screen.print(f"{root}: nothing to judge again: {what}{known}", markup=False)
        return
    for one in found.stages:
        _print_stage(screen, root, one)
    if applies:
        return
    below = ", ".join(found.redone) or "nothing"
    screen.print(f"nothing was replaced; the same command with --apply does it, and makes again: {below}", markup=False)
    if found.samplers:
        names = ", ".join(found.samplers)
        screen.print(f"of these, {names} may owe samples where groups change; --apply samples none", markup=False)


def _print_stage(screen: Console, root: Path, one: Rejudged) -> None:
    churn = one.churn
    screen.print(f"{root}, stage {one.stage}: {count(churn.rows)} rollouts judged again, none sampled", markup=False)
    for when, record, scorers in (("before", one.before, churn.before), ("now", one.now, churn.now)):
        for scorer, version, config in sorted(scorers) or [(record.use, record.version, "")]:
            screen.print(f"  {when:<7} {scorer} {version}  {config}", markup=False)
    for field, value in one.changes.items():
        screen.print(f"  {field}: {one.before.config.get(field)} → {value}", markup=False)
    share = f" ({churn.flipped / churn.rows:.1%})" if churn.rows else ""
    other = churn.changed - churn.flipped
    also = f"; {count(other)} more keep theirs for another reason" if other else ""
    screen.print(f"\nchurn: {count(churn.flipped)} of {count(churn.rows)} verdicts flip{share}{also}", markup=False)
    if churn.changed:
        _cells(screen, churn)
    before, now = churn.pass_rates()
    if before is not None and now is not None:
        screen.print(f"pass rate {before:.4f} → {now:.4f}", markup=False)
    for example in churn.examples:
        _example(screen, example)
    if churn.changed:
        screen.print(f"\nevery change: {root / one.flips}", markup=False)


def _cells(screen: Console, churn: Churn) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("before", "why", "now", "why"):
        table.add_column(name)
    table.add_column("rollouts", justify="right")
    changed = [(cell, n) for cell, n in churn.cells.most_common() if cell.changes]
    for cell, n in changed[:_MOST_CELLS]:
        table.add_row(cell.before, cell.reason_before or "", cell.now, cell.reason_now or "", count(n))
    if len(changed) > _MOST_CELLS:
        rest = sum(n for _, n in changed[_MOST_CELLS:])
        table.add_row("(others)", "", "", "", count(rest))
    screen.print(table)


def _example(screen: Console, flip: dict[str, Any]) -> None:
    sides = []
    for side in ("before", "now"):
        said = f"{flip[f'verdict_{side}']} {flip[f'reason_{side}'] or ''}".strip()
        detail = flip[f"detail_{side}"]
        sides.append(f"{said} ({detail[:80]!r})" if detail else said)
    if flip["rule_now"]:
        sides[1] += f", found by {flip['rule_now']}"
    screen.print(f"\n{flip['target_id']}: {sides[0]} → {sides[1]}; gold {str(flip['gold'])[:80]!r}", markup=False)
    if flip["completion"]:
        screen.print(f"  …{' '.join(flip['completion'].split())[-120:]}", markup=False)


def _apply(screen: Console, root: Path, found: Rerun, quiet: bool) -> None:
    from contextlib import nullcontext

    from synthflow.cli.display import display_for
    from synthflow.cli.run import stop_on_signals
    from synthflow.execute.stopping import Stopper
    from synthflow.workflows.reverify.reverify import apply_rejudged

    stopper = Stopper()
    stop_on_signals(stopper)
    changed = [(one.stage, field, value) for one in found.stages for field, value in one.changes.items()]
    fields = "".join(f" -o stages.{stage}.{field}={value}" for stage, field, value in changed)
    try:
        done = apply_rejudged(
            found,
            root,
            stopper=stopper,
            display=lambda tracker: nullcontext() if quiet else display_for(tracker, screen),
        )
    except Incomplete as error:
        again = f"synthflow run SPEC --out {root}{fields}"
        raise Incomplete(f"{error}\nthe verdicts are replaced; `{again}` samples what is owed") from error
    if quiet:
        return
    redone = ", ".join(found.redone) or "nothing"
    screen.print(f"\nreplaced, in attempt {done.attempt}; made again: {redone}; sampled: nothing", markup=False)
    if fields:
        screen.print(f"put the change into your spec, or the next run of it changes back:{fields}", markup=False)
