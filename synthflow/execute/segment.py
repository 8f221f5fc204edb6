"""Stages over one partition that follow each other on one worker: what is read for one is there for the next.

Invariants: each stage has the rows that it has by itself; a stage that fails takes with it those below it alone, unless
its error ends the run; what was finished is committed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from synthflow.errors import InfrastructureError
from synthflow.execute.held import Held
from synthflow.execute.tasks import UnitTask
from synthflow.execute.unit import run_unit
from synthflow.stores.manifest import Commit


@dataclass(frozen=True, slots=True)
class Done:
    """What a segment made, and what its stages that failed raised, by stage."""

    commits: tuple[Commit, ...]
    failures: Mapping[str, Exception] = field(default_factory=dict)


def run_segment(tasks: Sequence[UnitTask], *before: Done) -> Done:
    """Run stages over one unit of work, in order.

    Args:
        before: what the segments above made in this attempt. What stands below a stage that failed there is left out.

    Raises:
        Exception: of the first stage that failed, if nothing was made.
    """
    finished = [commit for done in before for commit in done.commits]
    out = {stage for done in before for stage in done.failures}
    made: list[Commit] = []
    failures: dict[str, Exception] = {}
    held = Held(tasks[0].context.memory_mb << 19)
    for task in tasks:
        name = task.record.name
        if not out.isdisjoint(above.name for above in task.ancestors):
            out.add(name)
            continue
        try:
            made.append(run_unit(task, *finished, *made, held=held))
        except Exception as error:
            out.add(name)
            failures[name] = error
            if not isinstance(error, InfrastructureError):
                break
    if failures and not made:
        raise next(iter(failures.values()))
    return Done(tuple(made), failures)
