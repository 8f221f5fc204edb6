"""2,000 requests against servers that misbehave at set rates; recovery after a fault; servers that fail everything."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.fault_load import MIXED, OUTAGES, policy, recovery, requests
from support.fault_server import FaultServer, text_of
from synthflow.backends import open_backend
from synthflow.backends.openai import client
from synthflow.backends.openai import rate_limit as pace
from synthflow.backends.openai import server_pool as fleet
from synthflow.contracts import Backend, PolicyConfig, SampleRequest, SampleResult
from synthflow.errors import InfrastructureError
from synthflow.execute.engines import close_engines
from synthflow.execute.sampling import run_engine_task
from synthflow.execute.tasks import EngineTask, RunContext
from synthflow.stores.journal import decode, lookup, result_of


def task(root: Path, served: PolicyConfig, asked: list[SampleRequest]) -> EngineTask:
    context = RunContext(root, 1, 0, 0, {"policy": served}, {})
    return EngineTask(context, "policy", "rollouts", tuple(asked), frozenset())


@pytest.fixture
def backend_of() -> Iterator[Any]:
    opened: list[Backend] = []

    def make(servers: FaultServer, **options: Any) -> Backend:
        opened.append(open_backend(policy(servers, **options)))
        opened[-1].start()
        return opened[-1]

    yield make
    for backend in opened:
        backend.close()


@pytest.fixture(autouse=True)
def _no_engine_stays() -> Iterator[None]:
    yield
    close_engines()


@pytest.mark.extended
@pytest.mark.slow
def test_two_thousand_requests_all_end_and_none_is_paid_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request ends in the journal once, as the answer to itself; no whole answer is asked for again."""
    late: Counter[int] = Counter()
    post = client.Client.post

    async def noted(self: client.Client, url: str, body: bytes, most: int) -> client.Reply:
        try:
            return await post(self, url, body, most)
        except client.NoAnswer as error:
            if "no whole answer" in str(error):
                late[json.loads(body)["seed"]] += 1
            raise

    monkeypatch.setattr(client.Client, "post", noted)
    asked = requests(2000)
    with FaultServer(4, rates=MIXED, seed=1) as servers:
        lines = run_engine_task(task(tmp_path, policy(servers, timeout_s=1.0, max_concurrency=32), asked))
        counts = servers.counts()
    results = [result_of(line) for line in lines]
    assert {r.rollout_id: r.text for r in results} == {r.rollout_id: text_of(r.seed) for r in asked}
    assert {r.finish_reason for r in results} == {"stop"}
    journaled = lookup(tmp_path / "journal", {r.problem_id for r in asked}, [r.rollout_id for r in asked])
    assert journaled == {r.rollout_id: r for r in results}
    written = [line for path in (tmp_path / "journal").glob("*.jsonl") for line in path.read_bytes().splitlines()]
    assert len(written) == 2000 and all(decode(line) for line in written), "no line twice, none torn"
    whole = counts["whole"]
    assert set(whole) == {str(r.seed) for r in asked}
    again = {int(seed) for seed, n in whole.items() if n > 1}
    assert all(late[seed] for seed in again), "a second whole answer only after one that came too late"
    assert len(again) <= 20
    assert min(counts["faults"][kind] for kind in MIXED) > 50, counts["faults"]
    assert sum(counts["asked"].values()) > 3000


@pytest.mark.extended
@pytest.mark.slow
@pytest.mark.parametrize("kind", [pytest.param(k, marks=[] if k == "mixed" else pytest.mark.long) for k in OUTAGES])
def test_throughput_recovers_within_seconds(backend_of: Any, kind: str) -> None:
    with FaultServer(latency_s=0.1, retry_after="") as servers:
        backend = backend_of(servers, max_concurrency=16, timeout_s=1.0)
        assert recovery(backend, servers, OUTAGES[kind]) < 5


def test_a_server_that_fails_everything_stops_the_task_early_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "UNPROVEN_S", 1.0)
    with FaultServer(2, rates={"500": 1.0}) as servers:
        began = time.monotonic()
        with pytest.raises(InfrastructureError, match=r"\d+ of \d+ requests failed.*every server failed.*it broke"):
            run_engine_task(task(tmp_path, policy(servers), requests(500)))
        assert time.monotonic() - began < 15
        assert sum(servers.counts()["asked"].values()) < 500, "not every request tries for itself"


def test_patience_with_proven_servers_outlasts_an_outage_and_ends(
    backend_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "UNPROVEN_S", 0.1)
    monkeypatch.setattr(fleet, "COOL_S", 0.5)
    monkeypatch.setattr(pace, "BASE_S", 0.05)
    monkeypatch.setattr(pace, "PROBE_S", 0.2)
    asked = requests(200)
    with FaultServer() as servers:
        backend = backend_of(servers, patience_s=2.5, retries=60)
        assert backend.submit(asked[0]).result(20).finish_reason == "stop"
        servers.control(rates={"reset": 0.5, "500": 0.5})
        futures = backend.submit_many(asked)
        time.sleep(1.0)
        servers.control(rates={})
        assert {f.result(20).finish_reason for f in futures} == {"stop"}, "an outage shorter than the patience"
        servers.control(rates={"500": 1.0})
        began = time.monotonic()
        errors = [f.exception(20) for f in backend.submit_many(asked)]
        assert 2.4 < time.monotonic() - began < 15
        assert all("every server failed for" in str(e) and "it broke" in str(e) for e in errors)
        assert "every server failed" in str(backend.submit(asked[0]).exception(0.4)), "at once, without a try"
        servers.control(rates={})
        time.sleep(0.6)
        assert {f.result(20).finish_reason for f in backend.submit_many(asked)} == {"stop"}, "and it may come back"


def test_a_drip_ends_with_the_time_of_a_whole_answer(backend_of: Any) -> None:
    """Each byte comes well within the limit; the answer as a whole would take 15 s."""
    with FaultServer(rates={"drip": 1.0}) as servers:
        backend = backend_of(servers, timeout_s=0.5, retries=0)
        began = time.monotonic()
        assert "no whole answer in 0.5 s" in str(backend.submit(requests(1)[0]).exception(10))
        assert time.monotonic() - began < 5


def test_work_goes_round_a_server_that_is_dead_silent_or_wrong(backend_of: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(pace, "BASE_S", 0.05)
    with FaultServer() as good, FaultServer(rates={"500": 1.0}) as broken, FaultServer(rates={"hang": 1.0}) as silent:
        with FaultServer() as dead:
            urls = [*dead.urls, *broken.urls, *silent.urls, *good.urls]
        backend = backend_of(good, base_url=urls, timeout_s=1.0)
        futures = backend.submit_many(requests(600))
        results: list[SampleResult] = [f.result(60) for f in futures]
        assert [r.text for r in results] == [text_of(i) for i in range(600)]
        assert sum(good.counts()["asked"].values()) == 600
        assert sum(broken.counts()["asked"].values()) < 100 and sum(silent.counts()["asked"].values()) < 100


def test_a_pause_that_was_asked_for_is_kept_also_when_others_wake(backend_of: Any) -> None:
    with FaultServer(rates={"429": 1.0}, retry_after="2") as servers:
        backend = backend_of(servers)
        began = time.monotonic()
        futures = backend.submit_many(requests(30))
        time.sleep(0.5)
        servers.control(rates={})
        assert sum(servers.counts()["asked"].values()) <= pace.FIRST_LIMIT
        assert min(f.result(20).elapsed_s for f in futures) >= 0
        assert time.monotonic() - began >= 2
        assert sum(servers.counts()["asked"].values()) <= 30 + pace.FIRST_LIMIT
