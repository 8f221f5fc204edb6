"""An engine of threads that answers after a moment, and whose failures a test sets: real futures, real journal."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from pydantic import BaseModel

from synthflow.contracts import Backend, PolicyConfig, PolicyIdentity, SampleRequest, SampleResult, SamplingParams
from synthflow.errors import EngineFailed, InfrastructureError
from synthflow.execute.engines import EngineHost


class NoOptions(BaseModel):
    """The fake takes none."""


class FakeEngine(Backend):
    """Answers in a pool of threads. `poison` kills it, and all in flight with it; `fails` fail by themselves, `refuses`
    are refused."""

    name, Options = "fake", NoOptions
    max_in_flight = 64

    def __init__(
        self,
        poison: frozenset[str] = frozenset(),
        fails: frozenset[str] = frozenset(),
        refuses: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(PolicyConfig(backend="fake", model="fake"))
        self.poison, self.fails, self.refuses = poison, fails, refuses
        self.asked: list[str] = []
        self.starts = self.most_open = 0
        self.on_death: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._open: dict[int, tuple[SampleRequest, Future[SampleResult]]] = {}
        self._pool = ThreadPoolExecutor(8)
        self._alive = False

    def identity(self) -> PolicyIdentity:
        return PolicyIdentity("m_fake", "w", "t", "c")

    def start(self) -> None:
        self._alive, self.starts = True, self.starts + 1

    def alive(self) -> bool:
        return self._alive

    def close(self) -> None:
        self._alive = False

    def submit(self, request: SampleRequest) -> Future[SampleResult]:
        future: Future[SampleResult] = Future()
        with self._lock:
            self.asked.append(request.rollout_id)
            if not self._alive:
                future.set_exception(EngineFailed("the engine is dead"))
                return future
            self._open[id(future)] = (request, future)
            self.most_open = max(self.most_open, len(self._open))
        self._pool.submit(self._answer, request, future)
        return future

    def _answer(self, request: SampleRequest, future: Future[SampleResult]) -> None:
        time.sleep(random.Random(request.seed).uniform(0, 0.002))
        with self._lock:
            if self._open.pop(id(future), None) is None:
                return  # it fell with the engine
            fallen = []
            if request.rollout_id in self.poison:
                fallen, self._open = list(self._open.values()), {}
                self._alive = False
        if request.rollout_id in self.poison:
            self.on_death()
            for _, other in [(request, future), *fallen]:
                other.set_exception(EngineFailed("segmentation fault"))
        elif request.rollout_id in self.fails:
            future.set_exception(InfrastructureError("gone"))
        elif request.rollout_id in self.refuses:
            future.set_result(SampleResult(request.rollout_id, "", "refused", reason="no"))
        else:
            future.set_result(answer(request))


def answer(request: SampleRequest) -> SampleResult:
    return SampleResult(request.rollout_id, f"text {request.seed}", "stop", (1, 2), (-0.5, -0.25), n_tokens=2)


def host_of(engine: FakeEngine, in_flight: int) -> EngineHost:
    """A host of this engine, which is started again as itself."""

    class Host(EngineHost):
        def _start(self) -> Any:
            engine.start()
            return engine

    return Host(engine.policy, in_flight)


def requests(task: int, n: int) -> list[SampleRequest]:
    params = SamplingParams()
    return [SampleRequest(f"r_{task}_{i}", f"p_{task}", (), (1,), params, 100 * task + i) for i in range(n)]
