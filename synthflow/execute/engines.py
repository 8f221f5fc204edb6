"""One engine a policy a worker process, shared by every stage and every partition that samples from it.

An engine is started by the first request and stays until the worker ends, so its batch drains neither at a
partition's end nor between stages. Tasks hand in their requests one after the other, in the order in which they came:
partitions then end one after the other, so that one is verified while the next is sampled, and requests that share a
prefix stay adjacent. An engine that died is started again by the next request, later after each death in a row.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from synthflow.contracts import Backend, PolicyConfig, SampleRequest, SampleResult
from synthflow.errors import InfrastructureError
from synthflow.ids import canonical

MOST_DEATHS = 16
"""Deaths without one finished request in between after which an engine is given up: a search for a request that kills
the engine takes up to log2 of those in flight, and then some. Our default."""
BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 10.0


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


class Slots:
    """At most `most` requests open at once."""

    def __init__(self, most: int) -> None:
        self._most, self._open = most, 0
        self._changed = threading.Condition()

    def take(self, wanted: int = 1) -> int:
        """Wait for a free slot, and take it and others that are free, up to so many; says how many."""
        with self._changed:
            self._changed.wait_for(lambda: self._open < self._most)
            taken = min(wanted, self._most - self._open)
            self._open += taken
            return taken

    def release(self, slots: int = 1) -> None:
        with self._changed:
            self._open -= slots
            self._changed.notify_all()

    def wait_until_none(self) -> None:
        """Wait until no request is open. Whoever holds the turn knows that none will be opened meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: not self._open)


class EngineHost:
    """A started backend, the bound on its open requests, and the order in which tasks hand theirs in.

    Attributes:
        answered: a request that was answered lately; None before the first.
    """

    def __init__(self, policy: PolicyConfig, in_flight: int | None, logs: Path | None = None) -> None:
        self._policy, self._logs = policy, logs
        self._life = threading.RLock()
        self._deaths = 0
        started = time.monotonic()
        self.backend = self._start()
        self.start_s = time.monotonic() - started
        self.answered: SampleRequest | None = None
        self.slots = Slots(in_flight or self.backend.max_in_flight)
        self.turns = Turns()

    def _start(self) -> Backend:
        from synthflow.backends import open_backend

        backend = open_backend(self._policy)
        backend.logs = self._logs
        backend.start()
        return backend

    def submit(self, request: SampleRequest) -> Future[SampleResult]:
        """Queue a request; an engine that died is started again first.

        Raises:
            InfrastructureError: if it does not start, or dies again and again.
        """
        with self._life:
            if not self.backend.alive():
                self._start_again()
            return self.backend.submit(request)

    def finished(self, answered: SampleRequest | None) -> None:
        """A request has a result: what died before was not in vain. `answered` is the request, if it has an answer."""
        self._deaths = 0
        self.answered = answered or self.answered

    def _start_again(self) -> None:
        self._deaths += 1
        if self._deaths > MOST_DEATHS:
            raise InfrastructureError(
                f"the engine of {self._policy.model} died {self._deaths} times without finishing a request in between"
            )
        time.sleep(min(LONGEST_BACKOFF_S, BACKOFF_S * 2.0 ** (self._deaths - 1)))
        self.backend.close()
        self.backend = self._start()

    def close(self) -> None:
        with self._life:
            self.backend.close()


_hosts: dict[str, EngineHost] = {}
_opening = threading.Lock()


def host_for(policy: PolicyConfig, in_flight: int | None, logs: Path | None = None) -> EngineHost:
    """The engine of this process for a policy; started once."""
    key = canonical(policy)
    with _opening:
        if key not in _hosts:
            _hosts[key] = EngineHost(policy, in_flight, logs)
        return _hosts[key]


def is_open(policy: PolicyConfig) -> bool:
    return canonical(policy) in _hosts


def close_engines() -> None:
    """Stop every engine of this process. Idempotent."""
    with _opening:
        for host in _hosts.values():
            host.close()
        _hosts.clear()


atexit.register(close_engines)
