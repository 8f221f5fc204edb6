"""`synthflow`: the entry point, the list of commands, and how errors reach a person.

A user's mistake is one line on standard error and an exit code (`synthflow.errors.ExitCode`), never a traceback. A bug
keeps its traceback and says that it is one.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

from synthflow import __version__
from synthflow.errors import ExitCode, SynthflowError

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("synthflow.cli.run:run", "Run a pipeline; resume it, or top it up, where it was."),
    "plan": ("synthflow.cli.plan:plan", "Check a pipeline and print what will run, without running it."),
    "status": ("synthflow.cli.status:status", "How far a run is, from any terminal, also after a crash."),
    "stats": ("synthflow.cli.inspect:stats", "Quality, diversity and complexity of a run, stage by stage."),
    "agreement": ("synthflow.cli.agreement:agreement", "Which step labeler of a run to believe, as a table and plots."),
    "sql": ("synthflow.cli.inspect:sql", "Query a run's tables in DuckDB SQL."),
    "verify": ("synthflow.cli.verify:verify", "Verdicts for a file of answers, or for a finished run once more."),
    "check": ("synthflow.cli.check:check", "Re-hash a run and check everything that always holds."),
    "runs": ("synthflow.cli.runs:runs", "The runs in a folder: state, rows, size, policies, cost."),
    "compact": ("synthflow.cli.compact:compact", "Put the small files of a run together; its journal, too."),
    "clean": ("synthflow.cli.runs:clean", "Remove from a run what neither a release nor a resume needs."),
    "list": ("synthflow.cli.listing:listing", "Stages, verifiers, filters, backends, exports and recipes."),
    "init": ("synthflow.cli.init:init", "Write a first pipeline and some problems to start from."),
    "doctor": ("synthflow.cli.doctor:doctor", "What this machine has, what it lacks, and what to do."),
}

EPILOG = """\b
Examples:
  synthflow run quickstart                 the main job on the demo policy, into runs/quickstart
  synthflow plan pipeline.yaml             what a pipeline would do
  synthflow run pipeline.yaml --out runs/a
  synthflow status runs/a
  synthflow sql runs/a "SELECT group_state, count(*) FROM problem_stats GROUP BY 1"
"""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from synthflow.errors import suggest

            hint = suggest(args[0], COMMANDS) or f"known: {', '.join(COMMANDS)}"
            raise click.UsageError(f"no command is called {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="synthflow")
def cli() -> None:
    """Problems in, training data out: rollouts, verdicts, step advantages, pairs, curricula, Parquet."""


def main(argv: list[str] | None = None) -> Any:
    """Run the command line; never returns normally."""
    try:
        outcome = cli.main(args=argv, prog_name="synthflow", standalone_mode=False)
        sys.exit(outcome if isinstance(outcome, int) else ExitCode.OK)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; what was finished is kept: run again to resume", err=True)
        sys.exit(ExitCode.INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(ExitCode.USAGE)
    except SynthflowError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(ExitCode.OK)
    except OSError as error:
        from synthflow.stores.files import unwritable

        told = unwritable(error)
        if told is None:
            raise
        click.echo(f"error: {told}", err=True)
        sys.exit(told.exit_code)


if __name__ == "__main__":
    main()
