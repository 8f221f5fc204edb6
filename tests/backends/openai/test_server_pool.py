"""How the limit of one server moves, worked out by hand, and how several servers share those who wait."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.backends.openai import rate_limit as pace
from synthflow.backends.openai import server_pool as fleets
from synthflow.backends.openai.rate_limit import Pace
from synthflow.backends.openai.server_pool import Fleet
from synthflow.errors import InfrastructureError


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 20))


def overload(server: Pace, times: int, since: float | None = None) -> None:
    for _ in range(times):
        server.failed(time.monotonic() if since is None else since, overload=True)


def succeed(server: Pace, times: int) -> None:
    for _ in range(times):
        server.succeeded(time.monotonic())


def test_a_round_shrinks_the_limit_by_half_of_its_share_of_overload() -> None:
    """Of eight tries two met overload: 8 * (1 - 0.25 / 2) = 7, and from there one more a round."""
    server = Pace("a", 8)
    succeed(server, 6)
    overload(server, 1)
    assert server.limit == 8, "the round is not over"
    overload(server, 1)
    assert server.limit == 7
    succeed(server, 1)
    assert server.limit == pytest.approx(7 + 1 / 7)


def test_a_round_without_an_answer_halves_and_the_last_rest_is_long() -> None:
    server = Pace("a", 8)
    for left, tries in ((4, 8), (2, 4), (1, 3)):
        overload(server, tries)
        assert server.limit == left
    assert server.opens_at <= time.monotonic()
    overload(server, 3)
    first = server.opens_at - time.monotonic()
    assert pace.BASE_S / 2 - 0.1 < first <= pace.BASE_S
    for _ in range(10):
        server.failed(time.monotonic(), rest=2.0)
    assert 1.0 - 0.1 < server.opens_at - time.monotonic() <= 2.0, "one try a rest from here on"
    succeed(server, 1)
    assert server.opens_at <= time.monotonic(), "one answer ends it"
    assert server.limit == 2
    succeed(server, 2)
    assert server.limit == 4, "doubling up to half of what was too much"
    succeed(server, 4)
    assert server.limit < 5.1, "one a round from there on"


def test_faults_that_are_not_overload_cost_no_concurrency_while_others_are_answered() -> None:
    server = Pace("a", 8)
    for _ in range(50):
        succeed(server, 1)
        for _ in range(4):
            server.failed(time.monotonic())
    assert server.limit == 8
    for _ in range(8 + 4 + 3 + 3):
        server.failed(time.monotonic())
    assert server.limit == 1 and server.opens_at > time.monotonic()
    succeed(server, 7)
    assert server.limit == 8, "concurrency was not to blame: back at once"


def test_what_was_sent_before_the_limit_shrank_shrinks_it_no_more() -> None:
    server, sent = Pace("a", 8), time.monotonic()
    overload(server, 8, sent)
    overload(server, 50, sent)
    assert server.limit == 4


def test_overload_is_forgotten_after_a_calm(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Pace("a", 64)
    overload(server, 8)
    succeed(server, 10)
    slow = server.limit
    assert slow < 8
    monkeypatch.setattr(pace, "CALM_S", 0.0)
    succeed(server, 20)
    assert server.limit == slow + 20


def test_a_request_waits_for_any_server_and_first_come_is_first_served() -> None:
    async def work() -> None:
        servers = [Pace("a", 1), Pace("b", 1)]
        fleet, order = Fleet(servers, 60), list[tuple[int, str]]()

        async def one(number: int) -> None:
            async with fleet.slot() as (server, _):
                order.append((number, server.url))
                await asyncio.sleep(10 if number == 0 else 0.001)

        tasks = [asyncio.create_task(one(i)) for i in range(20)]
        await asyncio.wait(tasks[1:])
        assert [n for n, _ in order] == list(range(20))
        assert {url for n, url in order if n > 1} == {order[1][1]}, "the other's one slot stays taken"
        tasks[0].cancel()
        await asyncio.wait(tasks)
        assert [s.open for s in servers] == [0, 0]

    run(work())


def test_a_failing_server_comes_last_and_the_one_that_just_failed_is_avoided() -> None:
    async def work() -> None:
        a, b = Pace("a", 8), Pace("b", 8)
        fleet = Fleet([a, b], 60)
        async with fleet.slot(avoid=a) as (server, _):
            assert server is b
        fleet.failed(b, time.monotonic(), "broken")
        for _ in range(8):
            async with fleet.slot() as (server, _):
                assert server is a

    run(work())


def test_a_cancelled_wait_takes_no_slot() -> None:
    async def work() -> None:
        fleet = Fleet([Pace("a", 1)], 60)

        async def one() -> None:
            async with fleet.slot():
                await asyncio.sleep(0.005)

        tasks = [asyncio.create_task(one()) for _ in range(30)]
        await asyncio.sleep(0.002)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.wait(tasks)
        assert fleet.servers[0].open == 0
        await one()

    run(work())


def test_answers_wake_two_sleepers_each_the_longest_asleep_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "BASE_S", 60.0)

    async def work() -> None:
        fleet, awake = Fleet([Pace("a", 8)], 60), list[int]()

        async def sleep(number: int) -> None:
            await fleet.back_off(3)
            awake.append(number)

        tasks = [asyncio.create_task(sleep(i)) for i in range(5)]
        await asyncio.sleep(0)
        for seen in ([0, 1], [0, 1, 2, 3], [0, 1, 2, 3, 4]):
            fleet.succeeded(fleet.servers[0], time.monotonic())
            await asyncio.sleep(0.001)
            assert awake == seen
        await asyncio.wait(tasks)

    run(work())


def test_giving_up_needs_both_many_tries_and_the_patience_and_tells_everyone() -> None:
    async def work() -> None:
        fleet = Fleet([Pace("a", 1)], 0.05)
        async with fleet.slot() as (server, since):
            waiting = asyncio.create_task(fleet._acquire(None))
            asleep = asyncio.create_task(fleet.back_off(5))
            for _ in range(20):
                fleet.failed(server, since, "early words")
            await asyncio.sleep(0.06)
            assert not waiting.done() and not asleep.done()
            fleet.failed(server, since, "last words")
            done = await asyncio.gather(waiting, asleep, return_exceptions=True)
        for error in done:
            assert isinstance(error, InfrastructureError) and "21 tries in a row; the last: last words" in str(error)
        with pytest.raises(InfrastructureError, match="last words"):
            async with fleet.slot():
                pass

    run(work())


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), servers=st.integers(1, 3), most=st.integers(1, 12), rate=st.floats(0, 0.8))
def test_open_requests_stay_within_the_limit_and_pauses_are_kept(
    seed: int, servers: int, most: int, rate: float
) -> None:
    drawn = random.Random(seed)

    async def work() -> None:
        fleet = Fleet([Pace(str(i), most) for i in range(servers)], 60)
        paused: dict[str, float] = {}
        ended = 0

        async def one() -> None:
            nonlocal ended
            while True:
                async with fleet.slot() as (server, since):
                    assert server.open <= most
                    assert time.monotonic() >= paused.get(server.url, 0.0)
                    await asyncio.sleep(drawn.uniform(0, 0.002))
                    if drawn.random() > rate:
                        fleet.succeeded(server, since)
                        break
                    asked = 0.005 if drawn.random() < 0.3 else None
                    fleet.failed(server, since, "no", overload=asked is not None, asked=asked)
                    if asked:
                        paused[server.url] = time.monotonic() + asked - 0.001
            ended += 1

        tasks = [asyncio.create_task(one()) for _ in range(40)]
        await asyncio.gather(*tasks)
        assert ended == 40 and all(s.open == 0 and 1 <= s.limit <= most for s in fleet.servers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pace, "BASE_S", 0.002)
        patch.setattr(fleets, "PROBE_S", 0.004)
        patch.setattr(fleets, "CAP_S", 0.004)
        run(work())
