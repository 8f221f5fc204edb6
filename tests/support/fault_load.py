"""Load on the openai backend: requests without end, and how long throughput takes to come back after an outage."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

from support.fault_server import FaultServer
from synthflow.contracts import Backend, PolicyConfig, SampleRequest, SamplingParams

MIXED = {"429": 0.1, "500": 0.1, "hang": 0.05, "half": 0.05, "wrong": 0.05, "drip": 0.05, "reset": 0.05}
"""Faults in nine of twenty requests."""
OUTAGES: dict[str, dict[str, float]] = {
    "mixed": {"500": 0.3, "503": 0.2, "reset": 0.2, "half": 0.1, "wrong": 0.1, "429": 0.1},
    "errors": {"500": 1.0},
    "overload": {"503": 1.0},
    "rate limit": {"429": 1.0},
    "reset": {"reset": 1.0},
    "silence": {"hang": 1.0},
    "nine in ten": {"500": 0.9},
}


def policy(servers: FaultServer, **options: Any) -> PolicyConfig:
    options = {"base_url": servers.urls, "endpoint": "chat", **options}
    return PolicyConfig(backend="openai", model="org/served", options=options)


def requests(n: int) -> list[SampleRequest]:
    ask = (("user", "1 + 1?"),)
    return [SampleRequest(f"r_{i:08x}", f"p_{i % 40:08x}", ask, None, SamplingParams(), i) for i in range(n)]


class Pump:
    """Keeps a backend's slots full from a thread, and notes when each answer came."""

    def __init__(self, backend: Backend) -> None:
        self.done_at: deque[float] = deque()
        self.errors: list[BaseException] = []
        self._backend, self._stop = backend, threading.Event()
        self._slots = threading.Semaphore(backend.max_in_flight)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        seed = 0
        while not self._stop.is_set():
            self._slots.acquire()
            request = SampleRequest(f"r_{seed}", "p", (("user", "?"),), None, SamplingParams(), seed)
            self._backend.submit(request).add_done_callback(self._ended)
            seed += 1

    def _ended(self, future: Any) -> None:
        error = future.exception()
        if error is None:
            self.done_at.append(time.monotonic())
        else:
            self.errors.append(error)
        self._slots.release()

    def per_s(self, since: float, until: float) -> float:
        return sum(since <= at < until for at in list(self.done_at)) / (until - since)

    def stop(self) -> None:
        self._stop.set()
        self._slots.release()
        self._thread.join()


def recovery(backend: Backend, servers: FaultServer, rates: dict[str, float], fault_s: float = 3.0) -> float:
    """Seconds from a fault's end until a second of at least half the throughput that was before it began."""
    pump = Pump(backend)
    try:
        time.sleep(2.5)
        began = time.monotonic()
        before = pump.per_s(began - 1.5, began)
        servers.control(rates=rates)
        time.sleep(fault_s)
        broken = pump.per_s(began + fault_s / 2, time.monotonic())
        servers.control(rates={})
        ended = time.monotonic()
        assert before > 20 and broken < before / 3, (before, broken)
        while time.monotonic() < ended + 20:
            time.sleep(0.1)
            now = time.monotonic()
            if now - 1 >= ended and pump.per_s(now - 1, now) >= before / 2:
                # Where some tries are answered, requests use up theirs; in an outage they wait.
                assert not pump.errors or sum(rates.values()) < 1, pump.errors[0]
                return now - 1 - ended
        raise AssertionError(f"{pump.per_s(now - 1, now)} a second after 20 s; before the fault {before}")
    finally:
        pump.stop()
