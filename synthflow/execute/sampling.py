"""An engine task: sample what is not journaled yet, and let no failure cost more than it must.

A result is journaled before anyone sees it. Failures are of four kinds. A request that
fails for reasons of infrastructure is retried with back-off; one that still fails while the engine answers others is
recorded as `failed`, and the rest goes on. One that is refused, or truncated, has a result like any other. When too
many fail or are refused, the task stops early with the server's words. One that was in flight when the engine died is
sampled again, and `suspects` finds the one that kills it.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Sequence

from synthflow.contracts import UNANSWERED, SampleRequest, SampleResult
from synthflow.errors import InfrastructureError, SynthflowError
from synthflow.execute.claims import claimed, journaled_first
from synthflow.execute.engines import MOST_DEATHS, EngineHost, host_for, is_open
from synthflow.execute.error_rate import MIN_ERRORS, ErrorRate
from synthflow.execute.one_pass import Pass
from synthflow.execute.reporting import Reporter
from synthflow.execute.stopping import Stopped, StopWatch, logs_of
from synthflow.execute.suspects import Group, is_poison, next_group, poison, probe
from synthflow.execute.tasks import EngineTask
from synthflow.stores.in_flight import Deaths, InFlightLog, deaths
from synthflow.stores.journal import JournalWriter, find
from synthflow.stores.segments import listing

BACKOFF_S = (0.5, 2.0, 8.0, 20.0)
PROBES_S = (0.0, 6.0)
"""Pauses before an engine is asked whether it is well: the second is longer than one rests that has given up."""
MOST_LOADS = 4
"""Times that a worker may die while it loads a model."""


def run_engine_task(task: EngineTask) -> list[bytes]:
    """Sample what is not journaled yet; return the journal's lines in the order of the requests.

    Raises:
        InfrastructureError: if requests are still owed after the retries, or too many fail.
        NoSpace: if the journal's disk is full.
    """
    with claimed(task.context.root, [r.rollout_id for r in task.requests], alone=task.context.one_engine):
        return _run_claimed(task)


def _run_claimed(task: EngineTask) -> list[bytes]:
    context, folder, began = task.context, task.context.root / "journal", time.time()
    problem_ids = {r.problem_id for r in task.requests}
    known = listing(folder, context.token, alone=context.one_engine)
    known.look()
    unread = [path for path in known.segments(problem_ids) if path.name not in task.read_segments]
    lines = find(unread, [r.rollout_id for r in task.requests], task.standing)
    owed = [r for r in task.requests if r.rollout_id not in lines]
    if owed:
        died = deaths(known.notes(problem_ids), [r.rollout_id for r in owed], context.attempt)
        writer = JournalWriter(folder, problem_ids, context.attempt)
        answered = [r for r in task.requests if r.rollout_id in lines]
        sampler = Sampler(task, writer, Reporter(task.stage), died, answered)
        try:
            lines.update(sampler.sample(owed))
        except SynthflowError as error:
            traceback.print_exception(error, file=sys.stderr)  # into the worker's log
            # What travels to the driver must not need the engine's libraries there.
            error.__cause__ = error.__context__ = None
            raise
        finally:
            sampler.close()
            if writer.path.exists():  # it has a record
                known.wrote(writer.path)
        if not context.one_engine:
            wanted = [r.rollout_id for r in owed]
            lines.update(journaled_first(folder, problem_ids, wanted, writer.path, began, task.standing))
    return [lines[r.rollout_id] for r in task.requests]


class Sampler:
    """Samples the requests of one task in passes, until each has a result."""

    def __init__(
        self,
        task: EngineTask,
        writer: JournalWriter,
        reporter: Reporter,
        known: Deaths,
        answered: Sequence[SampleRequest] = (),
    ) -> None:
        self._task, self._writer, self._reporter, self._deaths = task, writer, reporter, known
        self._rate = ErrorRate(task.requests, task.context.max_error_rate, len(answered))
        self._log = InFlightLog(writer.path)
        self._watch = StopWatch(task.context.root, task.context.attempt)
        self._lines: dict[str, bytes] = {}
        self._poisoned, self._answered = 0, next(iter(answered), task.answered)
        self._words = "it died with its process"

    def close(self) -> None:
        self._writer.close()
        self._log.close(keep=self._task.context.keep_notes)
        self._reporter.flush()

    def sample(self, owed: Sequence[SampleRequest]) -> dict[str, bytes]:
        """Lines of the journal by rollout_id.

        Raises:
            Stopped: if the run was asked to stop before its end.
            InfrastructureError: as `run_engine_task`.
        """
        host, left, tries = self._host(), list(owed), 0
        while left:
            done = self._pass(host, next_group(left, self._deaths))
            left = [r for r in left if r.rollout_id not in self._lines]
            if done.fatal is not None:
                raise done.fatal
            if self._rate.exceeded:
                raise InfrastructureError(f"stage {self._task.stage!r}: {self._rate.words()}")
            if left and self._watch.asked():
                raise Stopped(f"stage {self._task.stage!r}: stopped on request with requests owed")
            if done.owed:
                tries += 1
                if tries > self._task.context.retries:
                    self._record_failed(host, done, tries)
                    left = [r for r in left if r.rollout_id not in self._lines]
                else:
                    self._wait(done, tries)
        return self._lines

    def _host(self) -> EngineHost:
        context = self._task.context
        policy = context.policies[self._task.policy]
        if is_open(policy):
            return host_for(policy, context.requests_in_flight)
        if self._deaths.loading >= MOST_LOADS:
            raise InfrastructureError(
                f"stage {self._task.stage!r}: its worker died {self._deaths.loading} times while it loaded "
                f"{policy.model}; see its log in logs/, and whether memory suffices"
            )
        self._reporter.tell(f"loading {policy.model} on {policy.backend}")
        self._log.loading()
        try:
            return host_for(policy, context.requests_in_flight, logs_of(context.root, context.attempt))
        finally:
            self._log.loaded()
            self._reporter.tell("")

    def _pass(self, host: EngineHost, group: Group) -> Pass:
        if not group.single:
            done = self._open(host, group).run()
        elif is_poison(group.requests[0], self._deaths):
            self._record_poison(group.requests[0])
            return self._open(host, group)
        else:
            done = self._alone(host, group)
        self._lines.update(done.lines)
        self._answered = self._answered or done.answered
        for request, error in done.felled:
            self._deaths.seen[request.rollout_id] += 1
            self._deaths.alone[request.rollout_id] += group.single
            self._words = str(error)
        self._reporter.tell(f"the engine died: {len(done.felled)} requests are sampled again" if done.felled else "")
        if done.felled:
            self._reporter.count(engine_deaths=1)
            if max(self._deaths.seen.values()) > MOST_DEATHS:
                done.fatal = done.fatal or InfrastructureError(
                    f"stage {self._task.stage!r}: the engine dies again and again; its last words: {self._words}"
                )
        return done

    def _open(self, host: EngineHost, group: Group) -> Pass:
        return Pass(host, self._writer, self._log, self._reporter, group, self._watch, self._rate)

    def _alone(self, host: EngineHost, group: Group) -> Pass:
        """One suspect, after the engine has shown that it is well."""
        with host.turns.turn():
            host.slots.wait_until_none()
            try:
                host.submit(probe(group.requests[0], self._answered)).result()
            except InfrastructureError as error:
                done = self._open(host, group)
                done.fatal = error
                return done
        return self._open(host, group).run()

    def _record_poison(self, request: SampleRequest) -> None:
        self._poisoned += 1
        most = self._task.context.max_error_rate
        if self._poisoned >= MIN_ERRORS and self._poisoned > most * (len(self._lines) + 1):
            raise InfrastructureError(
                f"stage {self._task.stage!r}: {self._poisoned} requests kill the engine; its last words: {self._words}"
            )
        result = poison(request, self._words)
        self._lines[request.rollout_id] = self._writer.append(result, request.problem_id)
        self._reporter.count(sampled=1, poison=1)

    def _record_failed(self, host: EngineHost, done: Pass, tries: int) -> None:
        """What failed every time, while the engine answers another request, has failed by itself: it is recorded.

        Raises:
            InfrastructureError: if the engine answers nothing: then these requests are owed.
        """
        if not self._is_well(host, done.owed[-1][0]):
            raise InfrastructureError(
                f"stage {self._task.stage!r}: {len(done.owed)} requests are owed after {tries - 1} retries; "
                f"the last said: {done.owed[-1][1]}"
            )
        for request, error in done.owed:
            prompt = len(request.prompt_token_ids or ())
            reason = f"no answer in {tries} attempts, while others were answered; the last: {error}"
            result = SampleResult(request.rollout_id, "", "failed", prompt_tokens=prompt, reason=reason)
            self._lines[request.rollout_id] = self._writer.append(result, request.problem_id)
            self._reporter.count(sampled=1, failed=1)

    def _is_well(self, host: EngineHost, suspect: SampleRequest) -> bool:
        """Whether the engine answers another request; asked twice, since one that has given up rests for a while."""
        for pause in PROBES_S:
            self._sleep(pause)
            try:
                found = host.submit(probe(suspect, self._answered or host.answered)).result()
            except InfrastructureError:
                continue
            if found.finish_reason not in UNANSWERED:
                return True
        return False

    def _wait(self, done: Pass, tries: int) -> None:
        self._reporter.count(retries=len(done.owed))
        self._sleep(BACKOFF_S[min(tries, len(BACKOFF_S)) - 1])

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._watch.asked():
            time.sleep(0.1)
