"""Errors that a person can act on.

Every error a user can cause is a `UserError`: one line that says what is wrong, where, what was expected
and what to do. The command line prints it without a traceback and leaves with its exit code. Anything else
that escapes is a bug in Synthflow and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

MOST_MISTAKES = 20
"""How many mistakes in one input are told at once; reading stops there."""


class ExitCode(IntEnum):
    """What a `synthflow` process leaves with. Frozen: scripts depend on these."""

    OK = 0
    FAILED = 1  # a bug, or something nobody foresaw: a traceback is shown
    USAGE = 2  # the command line, the spec or an input file is wrong: nothing was run
    INCOMPLETE = 3  # some work is still owed (failing server, killed workers): run again to resume
    CHECK_FAILED = 4  # `check` found damage, a stage broke an invariant, or a demand of the spec is not met
    LOCKED = 5  # another run holds this run directory
    NO_SPACE = 6  # a disk, a quota or a limit on the size of files is full: make room and run again
    SPENT = 7  # the spec's cap on tokens or cost is reached: raise it and run again
    INTERRUPTED = 130  # Ctrl-C: what was finished is kept


class SynthflowError(Exception):
    """Base of everything Synthflow raises on purpose."""

    exit_code: ExitCode = ExitCode.FAILED


class UserError(SynthflowError):
    """Something the user can mend: bad spec, bad input, bad path."""

    exit_code = ExitCode.USAGE


class TemplateRefusal(UserError):
    """The policy's chat template does not take these messages: a fault of one row, not of the run."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a spec or an input file.

    `where` is what a person can open, such as `quickstart.yaml:12 stages.rollouts.n`; `fix` says what to do.
    """

    where: str
    what: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f" ({self.fix})" if self.fix else "")


class Mistakes(UserError):
    """Several mistakes found together, reported together."""

    def __init__(self, found: Sequence[Mistake], of: str) -> None:
        self.found, self.of = tuple(found), of
        count = "1 mistake" if len(self.found) == 1 else f"{len(self.found)} mistakes"
        super().__init__(f"{count} in {of}:\n" + "\n".join(f"  {m}" for m in self.found))

    def __reduce__(self) -> tuple[type[Mistakes], tuple[Sequence[Mistake], str]]:
        return Mistakes, (self.found, self.of)  # errors travel between processes


class Incomplete(SynthflowError):
    """The run stopped with work still owed; running again resumes."""

    exit_code = ExitCode.INCOMPLETE


class CapReached(SynthflowError):
    """The run has spent what its spec allows; with a higher cap, running again resumes."""

    exit_code = ExitCode.SPENT


class InfrastructureError(SynthflowError):
    """A machine, server or process failed. Never a verdict: the work is owed and will be retried."""

    exit_code = ExitCode.INCOMPLETE


class EngineFailed(InfrastructureError):
    """The engine itself failed, and with it every request in flight, one of which may be the cause."""


class InvariantBroken(SynthflowError):
    """What should always hold does not: a stage lost rows, a shard does not match its manifest entry."""

    exit_code = ExitCode.CHECK_FAILED


class PluginFailed(InvariantBroken):
    """Code of a plug-in raised what no contract allows; the message says which, and on what."""


class NotCalibrated(SynthflowError):
    """A scorer does not show what the spec demands of it before it may label."""

    exit_code = ExitCode.CHECK_FAILED


class SchemaMismatch(InvariantBroken):
    """A table does not match its declared schema; the message names field, expected and found."""


class RunLocked(UserError):
    """Another process holds the run directory."""

    exit_code = ExitCode.LOCKED


class NoSpace(SynthflowError):
    """A disk, a quota or a limit on the size of files is full. Nothing that was committed is lost."""

    exit_code = ExitCode.NO_SPACE


def suggest(name: str, known: Iterable[str]) -> str:
    """` did you mean 'x'?` for the nearest known name, or an empty string."""
    from difflib import get_close_matches  # only needed where something is wrong

    close = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else ""
