"""A pool of killable worker processes: `map` gives one outcome an item, in order, whatever the items do.

Invariants: every item has its own wall-clock limit, which starts when its worker takes it up; a worker that exceeds it,
runs out of memory or crashes costs only that item, and what was sent to it behind that item goes to its
successor. No child outlives this process. `map` may be called from any thread, and from several at once: each call
borrows the workers that are idle, at least one. Nothing starts before the first `map`. Once an item looks stuck or a
worker has died, one spare is kept warm, so that what waits behind a poisoned item does not wait for imports too.
Neither `multiprocessing` nor signals are used, so callers may be daemonic processes and threads.
"""

from __future__ import annotations

import json
import os
import select
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from synthflow.errors import InfrastructureError
from synthflow.verifiers.workers._child import CPU_SIGNAL, MEMORY_EXIT
from synthflow.verifiers.workers.worker import Worker

_WINDOW = 8  # items a worker holds at once: enough to hide the pipe's latency, few enough to requeue cheaply
_WINDOW_BYTES = 1 << 18
_SUSPICIOUS_S = 0.25  # an item that takes longer may have to be killed: long before, its successor starts to import
# One thread a worker (numeric libraries reserve address space per thread), and the same set order in every child.
_ENV = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
# GMP computes without ever returning to the interpreter, and with other limits: the same arithmetic everywhere.
_ENV |= {"SYMPY_GROUND_TYPES": "python", "MPMATH_NOGMPY": "1"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an item: its `value`, or a `reason` (timeout, memory, verifier_error) with `detail`."""

    value: Any = None
    reason: str | None = None
    detail: str | None = None
    elapsed_s: float = 0.0


@dataclass(slots=True)
class _Slot:
    worker: Worker | None = None

    def drop(self) -> None:
        if self.worker is not None:
            self.worker.kill()
            self.worker = None


def _drop_all(slots: list[_Slot], owner: int) -> None:
    for slot in slots:
        if slot.worker is not None and os.getpid() != owner:
            slot.worker.forget()
            slot.worker = None
        slot.drop()


class WorkerPool:
    """Up to `workers` child processes that run `task` (`module:function`, JSON value to JSON value).

    Args:
        timeout_s: wall-clock seconds an item may take before its worker is killed.
        cpu_s: CPU seconds an item may take before its worker is killed: unlike the other, the same on a busy machine.
        memory_mb: address space of a worker (RLIMIT_AS), libraries included.
        recycle_after: answers after which a worker is replaced, so that leaks stay bounded.
        start_timeout_s: seconds a worker may take to import its task.
        path: directories put in front of the child's `sys.path`.
        lock_down: forbid the child to start programs, connect, and write files.
    """

    def __init__(
        self,
        task: str,
        *,
        workers: int = 1,
        timeout_s: float = 3.0,
        cpu_s: float | None = None,
        memory_mb: int = 1024,
        recycle_after: int = 5000,
        start_timeout_s: float = 120.0,
        path: Sequence[str] = (),
        lock_down: bool = True,
    ) -> None:
        self.timeout_s, self.recycle_after, self.start_timeout_s = timeout_s, recycle_after, start_timeout_s
        self.cpu_s = cpu_s
        self._config = {
            "task": task,
            "memory_mb": memory_mb,
            "cpu_s": cpu_s,
            "path": list(path),
            "lock_down": lock_down,
        }
        self._count = workers
        self._closed = False
        self._reset()

    def _reset(self) -> None:
        self._owner = os.getpid()
        self._slots = [_Slot() for _ in range(self._count)]
        self._idle = list(self._slots)
        self._spare, self._spare_lock, self._wary = _Slot(), threading.Lock(), False
        self._changed = threading.Condition()
        self._finalizer = weakref.finalize(self, _drop_all, [*self._slots, self._spare], self._owner)

    def map(self, items: Sequence[Any]) -> list[Outcome]:
        """One outcome an item, in order. Items must be JSON values.

        Raises:
            InfrastructureError: if a worker cannot start (its libraries are missing, no memory): no item's fault.
            RuntimeError: if the pool is closed.
        """
        if not items:
            return []
        if self._owner != os.getpid():  # we are a fork: the workers belong to our parent
            self._finalizer()
            self._reset()
        with self._borrow(len(items)) as slots:
            return _Batch(self, slots, items).run()

    def start_worker(self) -> Worker:
        """A new worker process."""
        return Worker(self._config, _ENV)

    def take_worker(self) -> Worker:
        """The spare if there is one, else a new worker.

        Raises:
            InfrastructureError: if no process can be started.
        """
        with self._spare_lock:
            worker, self._spare.worker = self._spare.worker, None
        if worker is not None and not worker.alive:
            worker.kill()
            worker = None
        if worker is None:
            worker = self.start_worker()
        if self._wary:
            self.keep_spare()
        return worker

    def keep_spare(self) -> None:
        """Start a spare worker if there is none; from now on there is one."""
        with self._spare_lock:
            self._wary = True
            if self._spare.worker is None and not self._closed:
                with suppress(InfrastructureError):  # a spare is no need: whoever needs a worker will raise
                    self._spare.worker = self.start_worker()

    @property
    def pids(self) -> list[int]:
        """Processes that live now, the spare included."""
        return [worker.pid for slot in [*self._slots, self._spare] if (worker := slot.worker) is not None]

    @contextmanager
    def _borrow(self, wanted: int) -> Iterator[list[_Slot]]:
        with self._changed:
            self._changed.wait_for(lambda: self._idle or self._closed)
            if self._closed:
                raise RuntimeError("the worker pool is closed")
            # Running workers first: starting one costs more than a small batch.
            self._idle.sort(key=lambda slot: slot.worker is None)
            mine, self._idle = self._idle[:wanted], self._idle[wanted:]
        try:
            yield mine
        finally:
            with self._changed:
                for slot in mine:
                    if self._closed or (slot.worker is not None and slot.worker.in_flight):
                        slot.drop()  # stopped in the middle: its answers would reach the wrong caller
                self._idle += mine
                self._changed.notify_all()

    def close(self) -> None:
        """Kill the workers and refuse further items. Idempotent; a `map` in another thread ends its batch first."""
        with self._changed:
            self._closed = True
            for slot in self._idle:
                if self._owner == os.getpid():
                    slot.drop()
            self._changed.notify_all()
        with self._spare_lock:
            if self._owner == os.getpid():
                self._spare.drop()


class _Batch:
    """The event loop of one `map`: fill the workers, wait, collect, look at the clocks."""

    def __init__(self, pool: WorkerPool, slots: list[_Slot], items: Sequence[Any]) -> None:
        self._pool, self._slots, self._items = pool, slots, items
        self._pending = deque(range(len(items)))
        self._outcomes: list[Outcome | None] = [None] * len(items)
        self._left = len(items)

    def run(self) -> list[Outcome]:
        while self._left:
            for slot in self._slots:
                self._fill(slot)
            self._wait()
            for slot in self._slots:
                self._collect(slot)
                self._watch(slot)
        return [outcome for outcome in self._outcomes if outcome is not None]

    def _fill(self, slot: _Slot) -> None:
        idle = slot.worker is not None and not slot.worker.in_flight
        if (
            slot.worker is not None
            and idle
            and (slot.worker.served >= self._pool.recycle_after or not slot.worker.alive)
        ):
            slot.drop()  # used up, or killed by somebody while it was idle
        if not self._pending:
            return
        if slot.worker is None:
            slot.worker = self._pool.take_worker()
        worker = slot.worker
        while self._pending and len(worker.in_flight) < _WINDOW and worker.unsent < _WINDOW_BYTES:
            if worker.served + len(worker.in_flight) >= self._pool.recycle_after:
                break
            index = self._pending.popleft()
            worker.send(index, json.dumps(self._items[index]).encode("ascii"))

    def _wait(self) -> None:
        poll, soonest = select.poll(), time.monotonic() + 1.0
        for slot in self._slots:
            worker = slot.worker
            if worker is None:
                continue
            poll.register(worker.stdout, select.POLLIN)
            poll.register(worker.stderr, select.POLLIN)
            if worker.unsent:
                poll.register(worker.stdin, select.POLLOUT)
            if not worker.ready:
                soonest = min(soonest, worker.born + self._pool.start_timeout_s)
            elif worker.in_flight:
                soonest = min(soonest, worker.clock + self._pool.timeout_s)
                if time.monotonic() < (suspicious := worker.clock + _SUSPICIOUS_S):
                    soonest = min(soonest, suspicious)
        poll.poll(max(0.0, soonest - time.monotonic()) * 1000 + 1)

    def _collect(self, slot: _Slot) -> None:
        worker = slot.worker
        if worker is None:
            return
        worker.flush()
        for answer in worker.receive():
            worker.clock = time.monotonic()
            if "ready" in answer:
                worker.ready = True
                continue
            index = worker.in_flight.popleft()
            assert index == answer["index"], "a worker answered out of order"
            worker.served += 1
            worker.leaving = answer.get("leaving", False)
            self._done(
                index,
                Outcome(answer.get("value"), answer.get("reason"), answer.get("detail"), answer["elapsed_s"]),
            )
        if worker.ended:
            self._died(slot, worker)

    def _watch(self, slot: _Slot) -> None:
        worker = slot.worker
        if worker is None:
            return
        if not worker.ready:
            if time.monotonic() - worker.born > self._pool.start_timeout_s:
                slot.drop()
                raise InfrastructureError(f"a verifier's worker did not start in {self._pool.start_timeout_s:g} s")
        elif worker.in_flight:
            took = time.monotonic() - worker.clock
            if took > min(_SUSPICIOUS_S, self._pool.timeout_s):
                self._pool.keep_spare()
            if took > self._pool.timeout_s:
                slot.drop()
                self._blame(worker, Outcome(None, "timeout", f"killed after {self._pool.timeout_s:g} s", took))

    def _died(self, slot: _Slot, worker: Worker) -> None:
        took = time.monotonic() - worker.clock
        slot.drop()
        if worker.ready:
            self._pool.keep_spare()
        if not worker.ready:
            raise InfrastructureError(f"a verifier's worker did not start: {worker.last_words()}")
        if worker.leaving:
            self._pending.extendleft(reversed(worker.in_flight))
        elif worker.in_flight:
            self._blame(worker, self._last_outcome(worker, took))

    def _last_outcome(self, worker: Worker, took: float) -> Outcome:
        if worker.exit_status == -CPU_SIGNAL:
            return Outcome(None, "timeout", f"killed after {self._pool.cpu_s:g} s of CPU", took)
        reason = "memory" if worker.exit_status == MEMORY_EXIT else "verifier_error"
        return Outcome(None, reason, worker.last_words(), took)

    def _blame(self, worker: Worker, outcome: Outcome) -> None:
        """The item it worked on pays; those behind it go back to the front of the queue."""
        guilty, *innocent = worker.in_flight
        self._done(guilty, outcome)
        self._pending.extendleft(reversed(innocent))

    def _done(self, index: int, outcome: Outcome) -> None:
        self._outcomes[index] = outcome
        self._left -= 1
