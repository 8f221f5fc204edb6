"""One pass over a group of requests: they are handed to the engine in order, and each ends in the journal or in a list.

Invariant: a result is journaled in the thread that produced it, before anybody sees it; whatever happens, the pass
waits for all that it handed in, and gives back every slot that it took.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextlib import suppress

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


class Pass:
    """What finished, what failed, what fell with the engine, and what must stop the task (`fatal`)."""

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
        self.results: dict[str, SampleResult] = {}
        self.owed: list[Failed] = []
        self.felled: list[Failed] = []
        self.fatal: BaseException | None = None
        self._host, self._writer, self._log, self._reporter = host, writer, log, reporter
        self._group, self._watch, self._rate = group, watch, rate
        self._lock, self._ended = threading.Lock(), threading.Semaphore(0)

    def run(self) -> Pass:
        """Hand in the requests, and wait for all that were handed in."""
        host = self._host
        with host.turns.turn():
            if self._group.alone:
                host.slots.wait_until_none()
            submitted = self._hand_in()
            if self._group.alone:
                host.slots.wait_until_none()
        for _ in range(submitted):
            self._ended.acquire()
        if self.fatal is not None and not isinstance(self.fatal, SynthflowError):
            self.fatal = InfrastructureError(f"engine failed: {type(self.fatal).__name__}: {self.fatal}")
        return self

    def _hand_in(self) -> int:
        """How many requests the engine took."""
        for number, request in enumerate(self._group.requests):
            self._host.slots.take()
            if self.fatal is not None or self._watch.asked() or self._rate.exceeded:
                self._host.slots.release()
                return number
            try:
                self._log.opened(request.rollout_id, alone=self._group.single)
                future = self._host.submit(request)
                self._reporter.count(handed_in=1)
            except Exception as error:  # the disk is full, the engine cannot be brought back, or a backend raises
                self._host.slots.release()
                self.fatal = self.fatal or error
                return number
            future.add_done_callback(lambda f, r=request: self._finished(r, f))  # type: ignore[misc]
        return len(self._group.requests)

    def _finished(self, request: SampleRequest, future: Future[SampleResult]) -> None:
        try:
            self._keep(request, future.result())
        except EngineFailed as error:
            with self._lock:
                self.felled.append((request, error))
        except InfrastructureError as error:
            self._rate.failed(request, str(error))
            with self._lock:
                self.owed.append((request, error))
            with suppress(NoSpace):  # without the note it counts as in flight if the process dies: a second try
                self._log.failed(request.rollout_id)
        except BaseException as error:  # reported by the task's own thread
            with self._lock:
                self.fatal = self.fatal or error
        finally:
            self._reporter.count(handed_back=1)
            self._host.slots.release()
            self._ended.release()

    def _keep(self, request: SampleRequest, result: SampleResult) -> None:
        self._writer.append(result, request.problem_id)
        self._rate.ended(request, result)
        unanswered = result.finish_reason in UNANSWERED
        what = {"sampled": 1} if request.score is None else {"scored": 1}
        what |= {result.finish_reason: 1} if unanswered else {}
        size = {"uncounted": len(result.text.encode("utf-8", "surrogatepass"))}
        what |= size if result.n_tokens is None else {"tokens": result.n_tokens}
        self._reporter.count(**what, prompt_tokens=result.prompt_tokens or 0)
        self._host.finished(None if unanswered else request)
        with self._lock:
            self.results[request.rollout_id] = result
