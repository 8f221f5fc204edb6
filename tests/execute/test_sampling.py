"""Tasks that share an engine: requests go in one task after the other, every result is journaled first, no failure
costs more than it must, and a request that kills the engine is found."""

from __future__ import annotations

import math
import multiprocessing
import os
import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.fake_engine import FakeEngine, answer, host_of, requests
from synthflow.contracts import PolicyConfig, SampleRequest, SampleResult
from synthflow.contracts.backend import FinishReason
from synthflow.errors import InfrastructureError
from synthflow.execute import engines, sampling
from synthflow.execute.error_rate import ErrorRate
from synthflow.execute.one_pass import Pass
from synthflow.execute.reporting import Reporter
from synthflow.execute.sampling import run_engine_task
from synthflow.execute.stopping import Stopped, StopWatch, stop_file
from synthflow.execute.suspects import Group
from synthflow.execute.tasks import EngineTask, RunContext
from synthflow.ids import canonical
from synthflow.stores.in_flight import InFlightLog, deaths, forget_notes
from synthflow.stores.journal import JournalWriter, lookup, result_of

POLICY = PolicyConfig(backend="fake", model="fake")


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "BACKOFF_S", 0.0)
    monkeypatch.setattr(sampling, "BACKOFF_S", (0.0,))
    monkeypatch.setattr(sampling, "PROBES_S", (0.0,))


def run(root: Path, engine: FakeEngine, asked: list[SampleRequest], slots: int = 16, **context: Any) -> Any:
    """The whole of an engine task against this engine."""
    made = RunContext(root, 1, 0, 0, {"default": POLICY}, {}, **context)
    task = EngineTask(made, "default", "rollouts", tuple(asked), frozenset())
    engines._hosts[canonical(POLICY)] = host_of(engine, slots)
    try:
        return [result_of(line) for line in run_engine_task(task)]
    finally:
        engines._hosts.clear()


def one_pass(host: Any, root: Path, asked: list[SampleRequest], reporter: Reporter | None = None) -> Any:
    writer = JournalWriter(root / "journal", {r.problem_id for r in asked}, 1)
    log = InFlightLog(writer.path)
    try:
        rate = ErrorRate(asked, 1.0)
        told = reporter or Reporter("rollouts")
        return Pass(host, writer, log, told, Group(asked, False), StopWatch(root, 1), rate).run()
    finally:
        writer.close()
        log.close()


@pytest.mark.parametrize("slots", [1, 5, 1000])
def test_tasks_hand_in_one_after_the_other_within_the_bound(tmp_path: Path, slots: int) -> None:
    engine, tasks = FakeEngine(), [requests(t, 40) for t in range(5)]
    host = host_of(engine, slots)
    with ThreadPoolExecutor(len(tasks)) as pool:
        done = list(pool.map(lambda asked: one_pass(host, tmp_path, asked), tasks))
    for asked, state in zip(tasks, done, strict=True):
        ids = [r.rollout_id for r in asked]
        at = engine.asked.index(ids[0])
        assert engine.asked[at : at + 40] == ids, "a task's requests lie next to each other"
        assert set(state.lines) == set(ids) and not state.owed
        journaled = lookup(tmp_path / "journal", {asked[0].problem_id}, ids)
        assert journaled == {key: result_of(line) for key, line in state.lines.items()}
    assert engine.most_open <= slots


def test_what_two_tasks_want_at_the_same_time_is_sampled_once(tmp_path: Path) -> None:
    engine, asked = FakeEngine(), requests(0, 60)
    made = RunContext(tmp_path, 1, 0, 0, {"default": POLICY}, {})
    tasks = [EngineTask(made, "default", f"s{i}", tuple(asked[10 * i :]), frozenset()) for i in range(3)]
    engines._hosts[canonical(POLICY)] = host_of(engine, 64)
    try:
        with ThreadPoolExecutor(len(tasks)) as pool:
            done = list(pool.map(run_engine_task, tasks))
    finally:
        engines._hosts.clear()
    assert sorted(engine.asked) == sorted(r.rollout_id for r in asked)
    for task, results in zip(tasks, done, strict=True):
        assert [result_of(line).rollout_id for line in results] == [r.rollout_id for r in task.requests]


def test_of_what_two_processes_sampled_the_first_record_counts(tmp_path: Path) -> None:
    asked = requests(0, 6)
    first = replace(answer(asked[2]), text="of the other process")

    class Late(FakeEngine):
        """Another process finishes one of the requests while this one samples."""

        def _answer(self, request: SampleRequest, future: Future[SampleResult]) -> None:
            if request.rollout_id == first.rollout_id:
                other = JournalWriter(tmp_path / "journal", {request.problem_id}, 1)
                other.append(first, request.problem_id)
                other.close()
            super()._answer(request, future)

    results = run(tmp_path, Late(), asked)
    assert results[2] == first
    assert [r for i, r in enumerate(results) if i != 2] == [answer(r) for i, r in enumerate(asked) if i != 2]
    journaled = lookup(tmp_path / "journal", {"p_0"}, [r.rollout_id for r in asked])
    assert [journaled[r.rollout_id] for r in asked] == results


def test_whatever_its_ending_what_came_back_is_journaled(tmp_path: Path) -> None:
    asked = requests(0, 3)
    endings: dict[str, FinishReason] = {"r_0_0": "stop", "r_0_1": "length", "r_0_2": "refused"}

    class Ending(FakeEngine):
        def submit(self, request: SampleRequest) -> Future[SampleResult]:
            future: Future[SampleResult] = Future()
            future.set_result(replace(answer(request), finish_reason=endings[request.rollout_id]))
            return future

    results = run(tmp_path, Ending(), asked)
    assert {result.rollout_id: result.finish_reason for result in results} == endings
    assert lookup(tmp_path / "journal", {"p_0"}, endings) == {result.rollout_id: result for result in results}


def test_what_is_in_flight_is_told(tmp_path: Path) -> None:
    told: Counter[str] = Counter()

    class Told(Reporter):
        def count(self, **counts: float) -> None:
            told.update({name: int(value) for name, value in counts.items()})
            assert told["handed_back"] <= told["handed_in"]

    asked = requests(0, 80)
    fails = frozenset(r.rollout_id for r in asked[::3])
    one_pass(host_of(FakeEngine(fails=fails), 50), tmp_path, asked, Told("rollouts"))
    assert told["handed_in"] == told["handed_back"] == len(asked)
    assert told["sampled"] == len(asked) - len(fails)


def test_failures_are_owed_and_the_rest_is_journaled(tmp_path: Path) -> None:
    asked = requests(0, 30)
    fails = frozenset(r.rollout_id for r in asked[::3])
    state = one_pass(host_of(FakeEngine(fails=fails), 4), tmp_path, asked)
    assert {r.rollout_id for r, _ in state.owed} == fails
    assert set(state.lines) == {r.rollout_id for r in asked} - fails
    journaled = lookup(tmp_path / "journal", {"p_0"}, [r.rollout_id for r in asked])
    assert journaled == {key: result_of(line) for key, line in state.lines.items()}


def test_the_only_engine_finds_what_it_wrote_itself_and_misses_no_segment_that_is_not_there(tmp_path: Path) -> None:
    class Gone(FakeEngine):
        def submit(self, request: SampleRequest) -> Future[SampleResult]:
            raise InfrastructureError("nobody is there")

    asked, alone = requests(0, 6), {"one_engine": True, "token": f"{tmp_path}"}
    with pytest.raises(InfrastructureError, match="nobody is there"):
        run(tmp_path, Gone(), asked, **alone)
    engine = FakeEngine()
    first = run(tmp_path, engine, asked[:4], **alone)
    assert run(tmp_path, engine, asked, **alone)[:4] == first
    assert sorted(engine.asked) == sorted(r.rollout_id for r in asked), "nothing twice"


def test_a_stop_keeps_what_is_in_flight_and_asks_no_more(tmp_path: Path) -> None:
    engine, (first, second) = FakeEngine(), [requests(t, 400) for t in range(2)]
    host = host_of(engine, 2)
    stop_file(tmp_path, 1).parent.mkdir(parents=True)
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(one_pass, host, tmp_path, asked) for asked in (first, second)]
        while len(engine.asked) < 20:
            threading.Event().wait(0.001)
        stop_file(tmp_path, 1).touch()
        done = [task.result(30) for task in running]
    assert len(engine.asked) < 800
    assert sum(len(state.lines) for state in done) == len(engine.asked)


def test_a_stop_leaves_the_task_with_requests_owed(tmp_path: Path) -> None:
    stop_file(tmp_path, 1).parent.mkdir(parents=True)
    stop_file(tmp_path, 1).touch()
    with pytest.raises(Stopped):
        run(tmp_path, FakeEngine(), requests(0, 4))


def of_problems(asked: list[SampleRequest], n: int) -> list[SampleRequest]:
    """The same requests, one after the other about n problems."""
    return [replace(r, problem_id=f"p_{i * n // len(asked):08x}") for i, r in enumerate(asked)]


def test_a_high_error_rate_stops_early_with_the_last_words(tmp_path: Path) -> None:
    asked = [replace(r, problem_id=f"p_{i % 40:08x}") for i, r in enumerate(requests(0, 2000))]
    engine = FakeEngine(fails=frozenset(r.rollout_id for r in asked[100:]))
    with pytest.raises(
        InfrastructureError, match=r"requests failed, more than max_error_rate 0.25; the last said: gone"
    ):
        run(tmp_path, engine, asked)
    assert len(engine.asked) < 300, "it stops during the pass, not after it"
    ids = [r.rollout_id for r in asked]
    journaled = lookup(tmp_path / "journal", {r.problem_id for r in asked}, ids)
    assert len(journaled) >= 100


def test_refusals_count_in_the_error_rate_and_the_first_reason_is_told(tmp_path: Path) -> None:
    asked = of_problems(requests(0, 400), 20)
    engine = FakeEngine(refuses=frozenset(r.rollout_id for r in asked))
    with pytest.raises(
        InfrastructureError, match=r"(\d+) of \1 requests were refused, more .* 0.25; the first said: no"
    ):
        run(tmp_path, engine, asked)
    assert len(engine.asked) < 200


@pytest.mark.parametrize("how", ["fails", "refuses"])
@pytest.mark.parametrize("n", [60, 600])
def test_one_problem_of_twenty_never_stops_the_rest(how: str, n: int, tmp_path: Path) -> None:
    """Its requests come first, and are more than any least number of errors."""
    asked = of_problems(requests(0, n), 20)
    bad = frozenset(r.rollout_id for r in asked if r.problem_id == asked[0].problem_id)
    results = run(tmp_path, FakeEngine(**{how: bad}), asked)
    ended = "failed" if how == "fails" else "refused"
    assert [r.finish_reason for r in results] == [ended if r.rollout_id in bad else "stop" for r in results]
    assert {r.reason for r in results if r.rollout_id in bad} != {None}
    journaled = lookup(tmp_path / "journal", {r.problem_id for r in asked}, [r.rollout_id for r in asked])
    assert [journaled[r.rollout_id] for r in asked] == results


def test_a_request_that_fails_again_and_again_while_others_are_answered_is_recorded(tmp_path: Path) -> None:
    asked = requests(0, 50)
    engine = FakeEngine(fails=frozenset([asked[7].rollout_id]))
    results = run(tmp_path, engine, asked)
    assert (results[7].finish_reason, results[7].reason) == (
        "failed",
        "no answer in 4 attempts, while others were answered; the last: gone",
    )
    assert [r for i, r in enumerate(results) if i != 7] == [answer(r) for i, r in enumerate(asked) if i != 7]
    assert engine.asked.count(asked[7].rollout_id) == 4
    assert len(engine.asked) == 54, "one more asks whether the engine is well"


def test_requests_that_fail_when_nothing_is_answered_are_owed(tmp_path: Path) -> None:
    """The engine answered some and then none, the one that asks whether it is well included."""
    asked = requests(0, 50)
    engine = FakeEngine(fails=frozenset([*(r.rollout_id for r in asked[45:]), "r_probe"]))
    with pytest.raises(InfrastructureError, match="5 requests are owed after 3 retries; the last said: gone"):
        run(tmp_path, engine, asked)
    journaled = lookup(tmp_path / "journal", {"p_0"}, [r.rollout_id for r in asked])
    assert len(journaled) == 45


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n=st.integers(1, 120),
    slots=st.integers(1, 80),
    bad=st.sets(st.integers(0, 119), max_size=3),
    seed=st.integers(0, 10**6),
)
def test_what_kills_the_engine_is_found_and_nothing_else_is_lost(
    n: int, slots: int, bad: set[int], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root, asked = tmp_path_factory.mktemp("run"), requests(seed, n)
    poison = frozenset(asked[i].rollout_id for i in bad if i < n)
    engine = FakeEngine(poison=poison)
    results = run(root, engine, asked, slots)
    assert [r.rollout_id for r in results] == [r.rollout_id for r in asked]
    assert {r.rollout_id for r in results if r.finish_reason == "poison"} == poison
    assert all(r == answer(q) for r, q in zip(results, asked, strict=True) if q.rollout_id not in poison)
    journaled = lookup(root / "journal", {asked[0].problem_id}, [r.rollout_id for r in asked])
    assert [journaled[r.rollout_id] for r in asked] == results, "poison is recorded like any other outcome"
    # Two deaths among the others, one for each halving, two alone; and the first start.
    assert engine.starts - 1 <= len(poison) * (4 + math.ceil(math.log2(max(2, min(n, slots)))))


def test_a_death_by_another_cause_costs_a_second_try_and_no_more(tmp_path: Path) -> None:
    asked = requests(0, 60)
    engine = FakeEngine(poison=frozenset([asked[30].rollout_id]))

    def another_cause() -> None:
        engine.poison = frozenset()

    engine.on_death = another_cause
    results = run(tmp_path, engine, asked, 20)
    assert results == [answer(r) for r in asked]
    assert engine.starts == 2
    assert len(engine.asked) <= 60 + 20, "at most what was in flight is sampled again"


def test_an_engine_that_answers_nothing_poisons_nobody(tmp_path: Path) -> None:
    """Were every request alone in flight at two deaths, none would be to blame: the engine is."""
    asked = requests(0, 5)
    engine = FakeEngine(poison=frozenset([*(r.rollout_id for r in asked), "r_probe"]))
    with pytest.raises(InfrastructureError):
        run(tmp_path, engine, asked)
    journaled = lookup(tmp_path / "journal", {"p_0"}, [r.rollout_id for r in asked])
    assert journaled == {}


def _life(root: Path, asked: list[SampleRequest], poison: frozenset[str], done: Any) -> None:
    """One life of a worker process that poison kills."""
    engine = FakeEngine(poison=poison)
    engine.on_death = lambda: os._exit(9)
    results = run(root, engine, asked)
    done.put([r.finish_reason for r in results])


def test_poison_that_kills_the_whole_worker_is_found_over_its_lives(tmp_path: Path) -> None:
    """As Dask does it: the task is run again, on a new worker, after each death."""
    asked = requests(0, 40)
    poison = frozenset([asked[23].rollout_id])
    context = multiprocessing.get_context("fork")
    done, lives = context.Queue(), 0
    while True:
        lives += 1
        worker = context.Process(target=_life, args=(tmp_path, asked, poison, done))
        worker.start()
        worker.join(60)
        if worker.exitcode == 0:
            break
        assert worker.exitcode == 9 and lives < 12
    assert done.get(timeout=10) == ["poison" if r.rollout_id in poison else "stop" for r in asked]
    journaled = lookup(tmp_path / "journal", {"p_0"}, [r.rollout_id for r in asked])
    assert len(journaled) == 40


def test_notes_tell_who_was_in_flight_when_a_process_died(tmp_path: Path) -> None:
    asked, context = requests(0, 5), multiprocessing.get_context("fork")

    def life() -> None:
        log = InFlightLog(JournalWriter(tmp_path / "journal", {"p_0"}, 1).path)
        log.loading()
        log.opened("r_0_0")
        log.opened("r_0_1", alone=True)
        log.opened("r_0_2")
        log.failed("r_0_2")
        os._exit(0)

    for _ in range(2):
        process = context.Process(target=life)
        process.start()
        process.join(30)
    [one, *_] = sorted((tmp_path / "journal").glob("*.open"))
    one.write_bytes(one.read_bytes() + b"+r_0_3")  # torn: no note
    mine = InFlightLog(JournalWriter(tmp_path / "journal", {"p_0"}, 1).path)
    mine.opened("r_0_4")  # this process lives: nothing of its died
    notes = list((tmp_path / "journal").glob("*.open"))
    found = deaths(notes, [r.rollout_id for r in asked], 1)
    assert +found.seen == {"r_0_0": 2, "r_0_1": 2} and +found.alone == {"r_0_1": 2} and found.loading == 2
    assert not +deaths(notes, [r.rollout_id for r in asked], 2).seen, "of another attempt"
    mine.close()


def test_notes_go_with_their_tasks_and_attempts(tmp_path: Path) -> None:
    folder, context = tmp_path / "journal", multiprocessing.get_context("fork")

    def note(attempt: int) -> InFlightLog:
        log = InFlightLog(JournalWriter(folder, {"p_0"}, attempt).path)
        log.opened("r_0_0")
        return log

    def life() -> None:
        note(1)
        os._exit(0)

    process = context.Process(target=life)
    process.start()
    process.join(30)
    note(1).close()
    [left] = folder.glob("*.open")
    assert +deaths([left], ["r_0_0"], 1).seen == {"r_0_0": 1}, "those of the dead are kept"
    note(2).close(keep=True)
    forget_notes(folder, 2)
    assert not left.exists() and len(list(folder.glob("*.open"))) == 1


def test_a_worker_that_dies_while_it_loads_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, context = requests(0, 3), multiprocessing.get_context("fork")
    task = EngineTask(
        RunContext(tmp_path, 1, 0, 0, {"default": POLICY}, {}), "default", "rollouts", tuple(asked), frozenset()
    )

    def no_memory(*_: Any) -> Any:
        os._exit(9)

    monkeypatch.setattr(sampling, "host_for", no_memory)
    for _ in range(sampling.MOST_LOADS):
        process = context.Process(target=run_engine_task, args=(task,))
        process.start()
        process.join(30)
        assert process.exitcode == 9
    with pytest.raises(InfrastructureError, match="died 4 times while it loaded fake"):
        run_engine_task(task)


def test_result_of_poison_says_why() -> None:
    from synthflow.execute.suspects import poison

    found: SampleResult = poison(requests(0, 1)[0], "segmentation fault")
    assert found.finish_reason == "poison" and "alone in flight" in (found.reason or "") and found.prompt_tokens == 1
