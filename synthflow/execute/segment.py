"""Stages over one partition that follow each other on one worker: what is read for one is there for the next.

Invariants: each stage has the rows that it has by itself; what was finished before a stage failed is told with its
failure, so that it is committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from synthflow.execute.held import Held
from synthflow.execute.tasks import UnitTask
from synthflow.execute.unit import run_unit
from synthflow.stores.manifest import Commit


@dataclass(frozen=True, slots=True)
class Done:
    """What a segment made. `failed` is the stage that raised `error`, after the commits were made."""

    commits: tuple[Commit, ...]
    failed: str | None = None
    error: Exception | None = None


def run_segment(tasks: Sequence[UnitTask], *before: Done) -> Done:
    """Run stages over one unit of work, in order.

    Args:
        before: what the segments above made in this attempt.

    Raises:
        Exception: of the first stage, or of a segment above.
    """
    finished: list[Commit] = []
    for done in before:
        if done.error is not None:
            raise done.error
        finished.extend(done.commits)
    made: list[Commit] = []
    held = Held(tasks[0].context.memory_mb << 19)
    for task in tasks:
        try:
            made.append(run_unit(task, *finished, *made, held=held))
        except Exception as error:
            if not made:
                raise
            return Done(tuple(made), task.record.name, error)
    return Done(tuple(made))
