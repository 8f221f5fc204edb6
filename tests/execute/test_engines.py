"""Tasks that share an engine: their requests go in one task after the other, and every result is journaled first."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from synthflow.contracts import SampleRequest, SampleResult, SamplingParams
from synthflow.errors import InfrastructureError
from synthflow.execute.engines import Turns, _sample_once
from synthflow.execute.reporting import Reporter
from synthflow.execute.stopping import StopWatch, stop_file
from synthflow.stores.journal import JournalWriter, lookup


class Host:
    """An engine that answers after a moment from a pool of threads, and notes the order of what it was asked."""

    def __init__(self, slots: int, *, fails: frozenset[str] = frozenset()) -> None:
        self.slots, self.turns = threading.BoundedSemaphore(slots), Turns()
        self.backend: Any = self
        self.asked: list[str] = []
        self.most_open = self._open = 0
        self._fails, self._lock = fails, threading.Lock()
        self._pool = ThreadPoolExecutor(8)

    def submit(self, request: SampleRequest) -> Future[SampleResult]:
        with self._lock:
            self.asked.append(request.rollout_id)
            self._open += 1
            self.most_open = max(self.most_open, self._open)
        return self._pool.submit(self._answer, request)

    def _answer(self, request: SampleRequest) -> SampleResult:
        time.sleep(random.Random(request.seed).uniform(0, 0.002))
        with self._lock:
            self._open -= 1
        if request.rollout_id in self._fails:
            raise InfrastructureError("gone")
        return SampleResult(request.rollout_id, "text", "stop", (1, 2), (-0.5, -0.25), n_tokens=2)


def requests(task: int, n: int) -> list[SampleRequest]:
    params = SamplingParams()
    return [SampleRequest(f"r_{task}_{i}", f"p_{task}", (), (1,), params, 100 * task + i) for i in range(n)]


def sample(host: Host, root: Path, asked: list[SampleRequest]) -> Any:
    writer = JournalWriter(root / "journal", {r.problem_id for r in asked}, 1)
    try:
        return _sample_once(host, writer, Reporter("rollouts"), asked, StopWatch(root, 1))  # type: ignore[arg-type]
    finally:
        writer.close()


@pytest.mark.parametrize("slots", [1, 5, 1000])
def test_tasks_hand_in_one_after_the_other_within_the_bound(tmp_path: Path, slots: int) -> None:
    host, tasks = Host(slots), [requests(t, 40) for t in range(5)]
    with ThreadPoolExecutor(len(tasks)) as pool:
        done = list(pool.map(lambda asked: sample(host, tmp_path, asked), tasks))
    for asked, state in zip(tasks, done, strict=True):
        ids = [r.rollout_id for r in asked]
        at = host.asked.index(ids[0])
        assert host.asked[at : at + 40] == ids, "a task's requests lie next to each other"
        assert set(state.results) == set(ids) and not state.owed
        journaled, _ = lookup(tmp_path / "journal", {asked[0].problem_id}, ids)
        assert journaled == state.results
    assert host.most_open <= slots


def test_turns_are_given_in_the_order_in_which_they_were_asked_for() -> None:
    turns, order = Turns(), list[int]()
    threads = []

    def wait_for_turn(number: int) -> None:
        with turns.turn():
            order.append(number)

    with turns.turn():
        for number in range(20):
            threads.append(threading.Thread(target=wait_for_turn, args=(number,)))
            threads[-1].start()
            while turns._next_ticket < number + 2:
                time.sleep(0.001)
    for thread in threads:
        thread.join(10)
    assert order == list(range(20))


def test_a_turn_is_passed_on_after_an_error() -> None:
    turns = Turns()
    with pytest.raises(ValueError), turns.turn():
        raise ValueError
    with turns.turn():
        pass


def test_failures_are_owed_and_the_rest_is_journaled(tmp_path: Path) -> None:
    asked = requests(0, 30)
    fails = frozenset(r.rollout_id for r in asked[::3])
    state = sample(Host(4, fails=fails), tmp_path, asked)
    assert {r.rollout_id for r, _ in state.owed} == fails
    assert set(state.results) == {r.rollout_id for r in asked} - fails
    journaled, _ = lookup(tmp_path / "journal", {"p_0"}, [r.rollout_id for r in asked])
    assert journaled == state.results


def test_a_stop_keeps_what_is_in_flight_and_asks_no_more(tmp_path: Path) -> None:
    host, (first, second) = Host(2), [requests(t, 400) for t in range(2)]
    stop_file(tmp_path, 1).parent.mkdir(parents=True)
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(sample, host, tmp_path, asked) for asked in (first, second)]
        while len(host.asked) < 20:
            time.sleep(0.001)
        stop_file(tmp_path, 1).touch()
        done = [task.result(30) for task in running]
    assert len(host.asked) < 800
    assert sum(len(state.results) for state in done) == len(host.asked)
