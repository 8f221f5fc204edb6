"""`synthflow verify`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synthflow.cli.text import console, count, duration, echo_json
from synthflow.errors import ExitCode, UserError

if TYPE_CHECKING:
    from rich.console import Console

    from synthflow.workflows.verify_file import FileVerdicts, Progress

EPILOG = """\b
Examples, a file:
  synthflow verify answers.jsonl --verifier math               into answers.verified.jsonl
  synthflow verify eval.csv --verifier exact --answer-column output --gold-column target
  synthflow verify big.parquet --verifier math --set timeout_s=1 --set workers=8 --out judged.parquet
  synthflow verify s3://bucket/answers.jsonl.zst --verifier math --json
  synthflow verify answers.jsonl --verifier math --explain 3         how the verdict on the third row came about

\b
Examples, a finished run:
  synthflow verify runs/first                          judge again with what is installed now: what flips?
  synthflow verify runs/first --set extract=boxed      ... with another configuration
  synthflow verify runs/first --set extract=boxed --apply
  synthflow verify runs/first --explain r_1f3a         ... of one rollout; the beginning of its id is enough

\b
A file gets the columns verdict (correct, wrong, unknown), reason, value, detail (what was compared, or not read),
extracted (the answer as written), rule (which found it), scorer, scorer_version.
Exit codes: 0 done, whatever the verdicts; 2 a mistake in the command or the input, nothing is written;
3 the verifier could not work, or work is owed; 5 the run is locked; 6 disk full.
"""


@click.command(epilog=EPILOG)
@click.argument("target", metavar="FILE|RUN")
@click.option("--verifier", metavar="NAME", help="Who judges (`synthflow list verifiers`); of a run: its own.")
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="A field of the verifier.")
@click.option("--config", type=click.Path(path_type=Path), help="The verifier's fields as a YAML file.")
@click.option("--answer-column", metavar="C", help="The answers to judge.  [default: completion, response, ...]")
@click.option("--gold-column", metavar="C", help="The gold answers.  [default: gold, answer, ...]")
@click.option("--out", metavar="FILE", help="Where to, format by suffix.  [default: FILE with .verified in it]")
@click.option("--overwrite", is_flag=True, help="Replace columns of these names, and an output that is there.")
@click.option(
    "--on-bad-row",
    type=click.Choice(["fail", "unknown"]),
    help="What a row does that cannot be read.  [default: fail]",
)
@click.option(
    "--truncated",
    type=click.Choice(["unknown", "wrong", "judge"]),
    help="What an answer is whose column finish_reason says length.  [default: unknown]",
)
@click.option("--stage", metavar="NAME", help="Of a run with several verify stages, which one.")
@click.option("--apply", "apply_", is_flag=True, help="Of a run: replace the verdicts and redo what follows.")
@click.option("--explain", metavar="ROW", help="How one verdict came about: a row's number, or a rollout's id.")
@click.option("--quiet", is_flag=True, help="No progress and no summary.")
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON on standard output.")
def verify(target: str, **options: Any) -> int:
    """Verdicts for a file of answers; or judge a finished run again, and see what flips."""
    from synthflow.cli.verify_options import verifier_config

    config = verifier_config(options.pop("config"), options.pop("settings"))
    if "://" not in target and Path(target).is_dir():
        from synthflow.cli.verify_run import verify_run

        _refuse(options, _OF_FILES, "a run", "a file")
        if options["explain"] is not None:
            from synthflow.cli.verify_explain import explain_run

            _refuse(options, ("apply_",), "--explain", "judging again")
            explain_run(Path(target), config, options)
            return int(ExitCode.OK)
        status: int = verify_run(Path(target), config, options)
        return status
    from synthflow.io.paths import expand

    if "://" not in target and not Path(target).exists():
        expand([target])  # says what is there
    _refuse(options, ("stage", "apply_"), "a file", "a run")
    if options["verifier"] is None:
        from synthflow.registry import names

        raise UserError(f"say who judges with --verifier NAME; known: {', '.join(names('verifiers'))}")
    return _verify_file(target, config, options)


_OF_FILES = ("answer_column", "gold_column", "out", "overwrite", "on_bad_row", "truncated")


def _refuse(options: dict[str, Any], names: tuple[str, ...], of: str, other: str) -> None:
    given = [f"--{name.strip('_').replace('_', '-')}" for name in names if options[name]]
    if given:
        raise UserError(f"{', '.join(given)}: not for {of}, only for {other}")


def _verify_file(target: str, config: dict[str, Any], options: dict[str, Any]) -> int:
    from synthflow.workflows.verify_file import VerifyFile, verify_file

    asked = VerifyFile(
        path=target,
        verifier=options["verifier"],
        config=config,
        answer_column=options["answer_column"],
        gold_column=options["gold_column"],
        out=options["out"],
        overwrite=options["overwrite"],
        bad_rows_unknown=options["on_bad_row"] == "unknown",
        truncated=options["truncated"] or "unknown",
    )
    quiet, as_json = options["quiet"], options["as_json"]
    if options["explain"] is not None:
        from synthflow.cli.verify_explain import explain_file

        explain_file(asked, options["explain"], as_json)
        return int(ExitCode.OK)
    try:
        done = verify_file(asked, None if quiet else _telling(console(err=True)))
    except KeyboardInterrupt:
        click.echo("interrupted; nothing was written", err=True)
        return int(ExitCode.INTERRUPTED)
    if as_json:
        echo_json(done.to_json())
    elif not quiet:
        _summary(console(), done)
    return int(ExitCode.OK)


def _telling(screen: Console) -> Progress:
    """One line that is written over on a terminal; a line every ten seconds in a log."""
    every = 0.25 if screen.is_terminal else 10.0
    last = time.monotonic()

    def tell(done: FileVerdicts, total: int | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < every:
            return
        last = now
        of = f"/{count(total)}" if total else ""
        rate = done.rows / done.elapsed_s if done.elapsed_s else 0.0
        eta = f"  ETA {duration((total - done.rows) / rate)}" if total and rate else ""
        mix = "  ".join(f"{count(done.verdicts[v])} {v}" for v in ("correct", "wrong", "unknown"))
        line = f"{count(done.rows)}{of} rows  {rate:.0f}/s  {mix}{eta}"
        is_live = screen.is_terminal
        screen.print(line.ljust(screen.width - 1) if is_live else line, markup=False, end="\r" if is_live else "\n")

    return tell


def _summary(screen: Console, done: FileVerdicts) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name, side in (("verdict", "left"), ("reason", "left"), ("rows", "right"), ("share", "right")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    for verdict in ("correct", "wrong", "unknown"):
        table.add_row(verdict, "", count(done.verdicts[verdict]), f"{done.verdicts[verdict] / done.rows:.1%}")
        for (of, reason), rows in done.reasons.most_common(20):
            if of == verdict:
                table.add_row("", reason, count(rows), f"{rows / done.rows:.1%}")
    screen.print(table)
    if done.rules:
        _rules(screen, done)
    speed = done.rows / done.elapsed_s if done.elapsed_s else 0.0
    gold = f", gold in {done.columns.gold!r}" if done.columns.gold else ""
    screen.print(
        f"{count(done.rows)} rows in {duration(done.elapsed_s)} ({speed:.0f}/s) by {done.scorer} "
        f"{done.scorer_version}; answers in {done.columns.answer!r}{gold}\n{done.out}",
        markup=False,
    )


def _rules(screen: Console, done: FileVerdicts) -> None:
    """Which rule found the answers, and what came of them."""
    from rich.table import Table

    verdicts = ("correct", "wrong", "unknown")
    table = Table(box=None, pad_edge=False)
    table.add_column("answer found by")
    for name in (*verdicts, "share"):
        table.add_column(name, justify="right")
    for rule, counts in done.by_rule():
        rows = sum(counts.values())
        table.add_row(rule, *(count(counts[v]) for v in verdicts), f"{rows / done.rows:.1%}")
    screen.print()
    screen.print(table)
