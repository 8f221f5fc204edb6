"""The driver: hand units of work to Dask, write down what is finished, and stop well.

Problem-aligned partitions flow through the stages independently; a stage of whole scope waits for all of them. At
most `partitions_in_flight` partitions are handed out at a time, which bounds memory whatever the size of the data.
Dask does the scheduling; the driver alone appends to the manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from synthflow.errors import Incomplete, InfrastructureError, InvariantBroken
from synthflow.execute.compacting import Compactor
from synthflow.execute.segment import Done, run_segment
from synthflow.execute.stopping import Stopped, Stopper
from synthflow.execute.tasks import CPU, PROGRESS, RunContext, UnitTask
from synthflow.execute.unanswered import check_answers
from synthflow.stores.graph import ALL, Graph
from synthflow.stores.manifest import Commit, Manifest

if TYPE_CHECKING:
    from distributed import Client, Future

Unit = tuple[str, str]  # (stage, unit)


@dataclass
class Watcher:
    """What the driver tells while it runs; the default tells nothing."""

    committed: Callable[[Commit], None] = lambda commit: None
    failed: Callable[[Unit, BaseException], None] = lambda unit, error: None
    counted: Callable[[Mapping[str, Any]], None] = lambda counts: None


@dataclass
class _Flight:
    """Partitions that are being worked on: stages and unit of each future, and how many each partition still owes."""

    futures: dict[Future, tuple[list[str], str]] = field(default_factory=dict)
    open_units: dict[str, int] = field(default_factory=dict)


class Driver:
    """Executes what a manifest owes."""

    def __init__(
        self,
        client: Client,
        manifest: Manifest,
        context: RunContext,
        in_flight: int,
        watcher: Watcher,
        stopper: Stopper,
        sampling: Collection[str] = (),
        lend: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Args:
            sampling: stages that sample.
            lend: is called before each group of stages that comes after the last of them.
        """
        self.client, self.manifest, self.context = client, manifest, context
        self.graph: Graph = manifest.graph
        self.in_flight, self.watcher, self.stopper = in_flight, watcher, stopper
        self.sampling, self.lend = frozenset(sampling), lend
        self.failures: dict[Unit, BaseException] = {}
        self.compactor = Compactor(client, manifest, context)

    def run(self) -> None:
        """Run until nothing is owed.

        Raises:
            Stopped: if the run was asked to stop before its end.
            Incomplete: if units failed for reasons of infrastructure, or too much of a stage has no answer; the others
                are committed.
            InvariantBroken: if a unit was neither committed nor failed, so that no run ends as done and owes work.
            SynthflowError: the first error that is a user's to mend, or a broken invariant of a stage.
        """
        self.client.subscribe_topic(PROGRESS, lambda event: self.watcher.counted(event[1]))
        try:
            groups = between_barriers(self.graph)
            for place, stages in enumerate(groups):
                if self.sampling and self.sampling.isdisjoint(stage for group in groups[place:] for stage in group):
                    self.lend()
                self._run_group(stages)
                if self.failures or self.stopper.asked:
                    break
                check_answers(self.manifest, stages, self.context.root, self.context.max_error_rate)
            if not self.failures and not self.stopper.asked:
                self.compactor.finish()
        finally:
            self.client.unsubscribe_topic(PROGRESS)
        if self.stopper.asked and self.manifest.owed():
            raise Stopped("stopped on request; what was finished is kept: run again to resume")
        if self.failures:
            (stage, _), error = next(iter(self.failures.items()))
            owed = sum(self.manifest.owed().values())
            raise Incomplete(
                f"{len(self.failures)} units of work failed, the first in stage {stage!r}: {error}\n"
                f"what was finished is kept; {owed} units are owed: run again to resume"
            )
        if left := self.manifest.owed():
            raise InvariantBroken(
                f"{sum(left.values())} units of work were passed over, the first in stage {next(iter(left))!r}"
            )

    def _run_group(self, stages: Sequence[str]) -> None:
        from distributed import as_completed

        flight = _Flight()
        chains = self._chains(stages)
        running = as_completed(loop=self.client.loop)
        self._fill(chains, flight, running)
        for future in running:
            stages, unit = flight.futures.pop(future)
            self._collect(future, stages, unit)
            flight.open_units[unit] -= 1
            if not flight.open_units[unit]:
                del flight.open_units[unit]
            future.release()
            if not self.failures and not self.stopper.asked:
                self._fill(chains, flight, running)

    def _fill(self, chains: Iterator[tuple[str, list[str]]], flight: _Flight, running: Any) -> None:
        while len(flight.open_units) < self.in_flight and not self.stopper.asked:
            following = next(chains, None)
            if following is None:
                return
            unit, stages = following
            submitted = self._submit_chain(unit, stages)
            flight.open_units[unit] = flight.open_units.get(unit, 0) + len(submitted)
            for future, segment in submitted.items():
                flight.futures[future] = (segment, unit)
                running.add(future)

    def _chains(self, stages: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
        """(unit, its owed stages in order), partition after partition."""
        seen: dict[str, list[str]] = {}
        for stage in stages:
            for unit in self.graph.units(stage):
                if self.manifest.find(stage, unit) is None:
                    seen.setdefault(unit, []).append(stage)
        yield from seen.items()

    def _submit_chain(self, unit: str, stages: Sequence[str]) -> dict[Future, list[str]]:
        self.compactor.started([(stage, unit) for stage in stages])
        futures: dict[str, Future] = {}
        submitted: dict[Future, list[str]] = {}
        for segment in self._segments(unit, stages):
            above = dict.fromkeys(a for stage in segment for a in self.graph.ancestors_of(stage))
            running = dict.fromkeys(futures[a] for a in above if a in futures)
            made = {*futures, *segment}
            tasks = [self._task(s, unit, [a for a in self.graph.ancestors_of(s) if a not in made]) for s in segment]
            future = self.client.submit(
                run_segment,
                tasks,
                *running,
                key=f"{segment[0]}-{tasks[0].key}-{self.context.attempt}-{self.context.token}",
                resources={CPU: 1},
                pure=False,
            )
            futures |= dict.fromkeys(segment, future)
            submitted[future] = segment
        return submitted

    def _segments(self, unit: str, stages: Sequence[str]) -> list[list[str]]:
        """Stages that one task runs: those of a partition that follow each other, but a sampling one by itself."""
        segments: list[list[str]] = []
        for stage in stages:
            last = segments[-1][-1] if segments else stage
            if not segments or unit == ALL or not self.sampling.isdisjoint((last, stage)):
                segments.append([])
            segments[-1].append(stage)
        return segments

    def _task(self, stage: str, unit: str, done: Sequence[str]) -> UnitTask:
        record = self.graph.stages[stage]
        commits: dict[str, dict[str, Commit]] = {}
        for name in done:
            units = [unit] if unit != ALL and self.graph.stages[name].scope != "whole" else self.graph.units(name)
            found = {u: self.manifest.find(name, u) for u in units}
            commits[name] = {u: c for u, c in found.items() if c is not None}
        return UnitTask(
            context=self.context,
            record=record,
            ancestors=tuple(self.graph.stages[a].info() for a in self.graph.ancestors_of(stage)),
            sources=tuple(self.graph.sources_of(stage)),
            unit=unit,
            key=self.graph.key(stage, unit),
            done=commits,
            released=self.manifest.released(stage),
        )

    def _collect(self, future: Future, stages: Sequence[str], unit: str) -> None:
        for stage in stages:
            self.compactor.ended((stage, unit))
        if future.status != "finished":
            error = future.exception() if future.status == "error" else None
            self._failed((stages[0], unit), _as_failure(error, future.status))
            return
        done: Done = future.result()
        for made in done.commits:
            commit = replace(made, attempt=self.context.attempt)
            self.manifest.commit(commit)
            self.compactor.committed(commit)
            self.watcher.committed(commit)
        for stage, error in done.failures.items():
            self._failed((stage, unit), error)

    def _failed(self, unit: Unit, error: BaseException) -> None:
        if isinstance(error, Stopped):
            return
        if not isinstance(error, InfrastructureError):
            raise error
        if all(str(known) != str(error) for known in self.failures.values()):
            self.watcher.failed(unit, error)
            self.failures[unit] = error


def _as_failure(error: BaseException | None, status: str) -> BaseException:
    """A worker that died, and a task lost with it, are infrastructure; anything else is what it is."""
    from distributed import KilledWorker

    if error is None or isinstance(error, KilledWorker):
        return InfrastructureError(f"a worker died under this unit again and again ({error or status})")
    return error


def between_barriers(graph: Graph) -> list[list[str]]:
    """Stages grouped so that each group needs only earlier groups whole.

    Partition-scoped stages under the same barriers form one group, through which partitions flow independently; the
    whole-scoped stages that read them form the next.
    """
    level: dict[str, int] = {}
    for name, record in graph.stages.items():
        if record.scope == "source":
            level[name] = 0
        elif record.scope == "partition":
            level[name] = max(level[p] for p in record.parents)
        else:
            level[name] = 1 + max(level[p] for p in record.parents)
    # A whole stage of a level comes before the partition stages of that level: they may read it.
    groups: dict[int, list[str]] = {}
    for name, record in graph.stages.items():
        if record.scope != "source":
            groups.setdefault(2 * level[name] + (record.scope == "partition"), []).append(name)
    return [groups[key] for key in sorted(groups)]
