"""What tasks share: turns in order, a bound on open requests, an engine that is started again when it died."""

from __future__ import annotations

import threading
import time

import pytest

from support.fake_engine import FakeEngine, host_of, requests
from synthflow.errors import EngineFailed, InfrastructureError
from synthflow.execute import engines
from synthflow.execute.engines import MOST_DEATHS, Slots, Turns


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


def test_slots_bound_what_is_open_and_tell_when_nothing_is() -> None:
    slots, seen = Slots(2), list[str]()
    slots.take()
    slots.take()
    waiting = [
        threading.Thread(target=lambda: (slots.take(), seen.append("third"), slots.release())),
        threading.Thread(target=lambda: (slots.wait_until_none(), seen.append("none"))),
    ]
    for thread in waiting:
        thread.start()
    time.sleep(0.05)
    assert seen == []
    slots.release()
    waiting[0].join(10)
    assert seen == ["third"]
    slots.release()
    waiting[1].join(10)
    assert seen == ["third", "none"]


def test_a_dead_engine_is_started_again_by_the_next_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "BACKOFF_S", 0.001)
    first, second = requests(0, 2)
    engine = FakeEngine(poison=frozenset([first.rollout_id]))
    host = host_of(engine, 4)
    with pytest.raises(EngineFailed, match="segmentation"):
        host.submit(first).result(10)
    assert host.submit(second).result(10).finish_reason == "stop"
    assert engine.starts == 2


def test_an_engine_that_only_dies_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "BACKOFF_S", 0.0)
    [bad] = requests(0, 1)
    host = host_of(FakeEngine(poison=frozenset([bad.rollout_id])), 4)
    for _ in range(MOST_DEATHS + 1):
        assert isinstance(host.submit(bad).exception(10), EngineFailed)
    with pytest.raises(InfrastructureError, match=r"died 17 times without finishing"):
        host.submit(bad)
