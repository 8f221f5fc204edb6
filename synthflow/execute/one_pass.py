"""One pass over a group of requests: they are handed to the engine in order, and each ends in the journal or in a list.

Invariant: a result is journaled before anybody sees it, by the task's own thread, in one write with all others that
have come meanwhile; whatever happens, the pass waits for all that it handed in, and gives back every slot that it took.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue

from synthflow.contracts import UNANSWERED, SampleRequest, SampleResult
from synthflow.errors import EngineFailed, InfrastructureError, NoSpace, SynthflowError
from synthflow.execute.engines import EngineHost
from synthflow.execute.error_rate import ErrorRate
from synthflow.execute.reporting import Reporter
from synthflow.execute.stopping import StopWatch
from synthflow.execute.suspects import Group
from synthflow.stores.in_flight import InFlightLog
from synthflow.stores.journal import JournalWriter

Failed = tuple[SampleRequest, InfrastructureError]
_AT_ONCE = 32
"""Requests that are handed in between two looks at what has ended."""


class Pass:
    """What finished (its lines in the journal), what failed, what fell with the engine, and what must stop the task
    (`fatal`); `answered` is a request that was."""

    def __init__(
        self,
        host: EngineHost,
        writer: JournalWriter,
        log: InFlightLog,
        reporter: Reporter,
        group: Group,
        watch: StopWatch,
        rate: ErrorRate,
    ) -> None:
        self.lines: dict[str, bytes] = {}
        self.owed: list[Failed] = []
        self.felled: list[Failed] = []
        self.fatal: BaseException | None = None
        self.answered: SampleRequest | None = None
        self._host, self._writer, self._log, self._reporter = host, writer, log, reporter
        self._group, self._watch, self._rate = group, watch, rate
        self._ended: SimpleQueue[tuple[SampleRequest, Future[SampleResult]]] = SimpleQueue()
        self._open = 0

    def run(self) -> Pass:
        """Hand in the requests, and wait for all that were handed in."""
        host = self._host
        with host.turns.turn():
            if self._group.alone:
                host.slots.wait_until_none()
            self._hand_in()
            if self._group.alone:
                host.slots.wait_until_none()
        while self._open:
            self._take_back(wait=True)
        if self.fatal is not None and not isinstance(self.fatal, SynthflowError):
            self.fatal = InfrastructureError(f"engine failed: {type(self.fatal).__name__}: {self.fatal}")
        return self

    def _hand_in(self) -> None:
        left = self._group.requests
        while left:
            taken = self._host.slots.take(min(len(left), _AT_ONCE))
            self._take_back()
            if self.fatal is not None or self._watch.asked() or self._rate.exceeded:
                self._host.slots.release(taken)
                return
            now, left = left[:taken], left[taken:]
            submitted = 0
            try:
                self._log.opened(*(request.rollout_id for request in now), alone=self._group.single)
                for request in now:
                    future = self._host.submit(request)
                    submitted, self._open = submitted + 1, self._open + 1
                    future.add_done_callback(lambda f, r=request: self._has_ended(r, f))  # type: ignore[misc]
            except Exception as error:  # the disk is full, the engine cannot be brought back, or a backend raises
                self._host.slots.release(taken - submitted)
                self.fatal = self.fatal or error
                return
            finally:
                self._reporter.count(handed_in=submitted)

    def _has_ended(self, request: SampleRequest, future: Future[SampleResult]) -> None:
        """Called in the engine's thread. The slot is free only after the result can be seen: whoever waits for a slot
        then finds it."""
        self._ended.put((request, future))
        self._host.slots.release()

    def _take_back(self, *, wait: bool = False) -> None:
        """Sort what has ended, and journal what has a result."""
        results = []
        before = self._open
        with suppress(Empty):
            while True:
                request, future = self._ended.get(block=wait)
                wait, self._open = False, self._open - 1
                try:
                    results.append((request, future.result()))
                except EngineFailed as error:
                    self.felled.append((request, error))
                except InfrastructureError as error:
                    self._has_failed(request, error)
                except BaseException as error:  # reported when all have ended
                    self.fatal = self.fatal or error
        if results:
            try:
                self._keep(results)
            except BaseException as error:
                self.fatal = self.fatal or error
        if ended := before - self._open:
            self._reporter.count(handed_back=ended)

    def _has_failed(self, request: SampleRequest, error: InfrastructureError) -> None:
        self._rate.failed(request, str(error))
        self.owed.append((request, error))
        with suppress(NoSpace):  # without the note it counts as in flight if the process dies: a second try
            self._log.failed(request.rollout_id)

    def _keep(self, results: Sequence[tuple[SampleRequest, SampleResult]]) -> None:
        lines = self._writer.append_all([(result, request.problem_id) for request, result in results])
        self._rate.ended(results)
        counts: Counter[str] = Counter()
        for (request, result), line in zip(results, lines, strict=True):
            counts["sampled" if request.score is None else "scored"] += 1
            counts["prompt_tokens"] += result.prompt_tokens or 0
            if result.finish_reason in UNANSWERED:
                counts[result.finish_reason] += 1
            else:
                self.answered = request
            if result.n_tokens is None:
                counts["uncounted"] += len(result.text.encode("utf-8", "surrogatepass"))
            else:
                counts["tokens"] += result.n_tokens
            self.lines[request.rollout_id] = line
        self._reporter.count(**counts)
        self._host.finished(self.answered)
