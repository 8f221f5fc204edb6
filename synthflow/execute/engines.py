"""One engine a policy a worker process, shared by every stage and every partition that samples from it.

An engine is started by the first request and stays until the worker ends, so its batch drains neither at a
partition's end nor between stages. Tasks hand in their requests one after the other, in the order in which they came:
partitions then end one after the other, so that one is verified while the next is sampled, and requests that share a
prefix stay adjacent. A result is journaled in the thread that produced it, before anyone sees it. A
request that fails for reasons of infrastructure is retried with back-off; when too many fail, the task stops early
with the last words of the server, and what was finished is in the journal.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field

from synthflow.contracts import Backend, PolicyConfig, SampleRequest, SampleResult
from synthflow.errors import InfrastructureError, SynthflowError
from synthflow.execute.reporting import Reporter
from synthflow.execute.stopping import Stopped, StopWatch
from synthflow.execute.tasks import EngineTask
from synthflow.ids import canonical
from synthflow.stores.journal import JournalWriter, lookup

_BACKOFF_S = (0.5, 2.0, 8.0, 20.0)
_MIN_ERRORS = 20
"""Fewer failures than this never stop a task early, whatever their rate: our default."""


class Turns:
    """A lock that is given in the order in which it was asked for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._next_ticket = self._serving = 0

    @contextmanager
    def turn(self) -> Iterator[None]:
        with self._changed:
            mine, self._next_ticket = self._next_ticket, self._next_ticket + 1
            self._changed.wait_for(lambda: self._serving == mine)
        try:
            yield
        finally:
            with self._changed:
                self._serving += 1
                self._changed.notify_all()


class EngineHost:
    """A started backend, the bound on its open requests, and the order in which tasks hand theirs in."""

    def __init__(self, policy: PolicyConfig, in_flight: int | None) -> None:
        from synthflow.backends import open_backend

        self.backend: Backend = open_backend(policy)
        started = time.monotonic()
        self.backend.start()
        self.start_s = time.monotonic() - started
        self.slots = threading.BoundedSemaphore(in_flight or self.backend.max_in_flight)
        self.turns = Turns()


_hosts: dict[str, EngineHost] = {}
_opening = threading.Lock()


def host_for(policy: PolicyConfig, in_flight: int | None) -> EngineHost:
    """The engine of this process for a policy; started once."""
    key = canonical(policy)
    with _opening:
        if key not in _hosts:
            _hosts[key] = EngineHost(policy, in_flight)
        return _hosts[key]


def is_open(policy: PolicyConfig) -> bool:
    return canonical(policy) in _hosts


def close_engines() -> None:
    """Stop every engine of this process. Idempotent."""
    with _opening:
        for host in _hosts.values():
            host.backend.close()
        _hosts.clear()


atexit.register(close_engines)


@dataclass
class _Pass:
    """One pass over some requests: what finished, what is owed, and what must stop the task."""

    results: dict[str, SampleResult] = field(default_factory=dict)
    owed: list[tuple[SampleRequest, InfrastructureError]] = field(default_factory=list)
    fatal: BaseException | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


def run_engine_task(task: EngineTask) -> list[SampleResult]:
    """Sample what is not journaled yet; return results in the order of the requests.

    Raises:
        InfrastructureError: if requests are still owed after the retries, or too many fail.
        NoSpace: if the journal's disk is full.
    """
    context = task.context
    problem_ids = {r.problem_id for r in task.requests}
    results, _ = lookup(
        context.root / "journal", problem_ids, [r.rollout_id for r in task.requests], task.read_segments
    )
    owed = [r for r in task.requests if r.rollout_id not in results]
    if owed:
        policy = context.policies[task.policy]
        reporter = Reporter(task.stage)
        if not is_open(policy):
            reporter.tell(f"loading {policy.model} on {policy.backend}")
        host = host_for(policy, context.requests_in_flight)
        reporter.tell("")
        writer = JournalWriter(context.root / "journal", problem_ids, context.attempt)
        try:
            results.update(_with_retries(task, host, writer, reporter, owed))
        finally:
            writer.close()
            reporter.flush()
    return [results[r.rollout_id] for r in task.requests]


def _with_retries(
    task: EngineTask, host: EngineHost, writer: JournalWriter, reporter: Reporter, owed: list[SampleRequest]
) -> dict[str, SampleResult]:
    results: dict[str, SampleResult] = {}
    watch = StopWatch(task.context.root, task.context.attempt)
    for attempt in range(task.context.retries + 1):
        done = _sample_once(host, writer, reporter, owed, watch)
        results.update(done.results)
        if done.fatal is not None:
            raise done.fatal
        if watch.asked() and len(done.results) < len(owed):
            raise Stopped(f"stage {task.stage!r}: stopped on request with requests owed")
        if not done.owed:
            return results
        owed = [request for request, _ in done.owed]
        rate = len(owed) / (len(owed) + len(results))
        last = done.owed[-1][1]
        if len(owed) >= _MIN_ERRORS and rate > task.context.max_error_rate:
            raise InfrastructureError(
                f"stage {task.stage!r}: {len(owed)} of {len(owed) + len(results)} requests failed, more than "
                f"max_error_rate {task.context.max_error_rate:g}; the last said: {last}"
            )
        if attempt < task.context.retries:
            reporter.count(retries=len(owed))
            time.sleep(_BACKOFF_S[min(attempt, len(_BACKOFF_S) - 1)])
    raise InfrastructureError(
        f"stage {task.stage!r}: {len(owed)} requests are owed after {task.context.retries} retries; "
        f"the last said: {last}"
    )


def _sample_once(
    host: EngineHost, writer: JournalWriter, reporter: Reporter, requests: list[SampleRequest], watch: StopWatch
) -> _Pass:
    state = _Pass()
    open_count = threading.Semaphore(0)

    def finished(request: SampleRequest, future: Future[SampleResult]) -> None:
        try:
            result = future.result()
            writer.append(result, request.problem_id)
            reporter.count(sampled=1, tokens=result.n_tokens, prompt_tokens=result.prompt_tokens)
            with state.lock:
                state.results[request.rollout_id] = result
        except InfrastructureError as error:
            with state.lock:
                state.owed.append((request, error))
        except BaseException as error:  # reported by the task's own thread below
            with state.lock:
                state.fatal = state.fatal or error
        finally:
            host.slots.release()
            open_count.release()

    submitted = 0
    with host.turns.turn():
        for request in requests:
            host.slots.acquire()
            if state.fatal is not None or watch.asked():
                host.slots.release()
                break
            future = host.backend.submit(request)
            submitted += 1
            future.add_done_callback(lambda f, r=request: finished(r, f))  # type: ignore[misc]
    for _ in range(submitted):
        open_count.acquire()
    if state.fatal is not None and not isinstance(state.fatal, SynthflowError):
        state.fatal = InfrastructureError(f"engine failed: {type(state.fatal).__name__}: {state.fatal}")
    return state
