"""A stage may ask for samples again and again: waves go through the same engine and the same journal."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.fake_engine import FakeEngine, answer, host_of, requests
from synthflow.contracts import PolicyConfig
from synthflow.errors import InfrastructureError
from synthflow.execute import engines
from synthflow.execute.services import WorkerServices
from synthflow.execute.tasks import RunContext
from synthflow.ids import canonical

POLICY = PolicyConfig(backend="fake", model="fake")


def test_a_run_that_may_not_sample_says_what_it_lacks(tmp_path: Path) -> None:
    context = RunContext(tmp_path, 1, 0, 0, {"p": POLICY}, {}, journal_only=True)
    with pytest.raises(InfrastructureError, match="'labels': 3 of 3 samples are not in the journal"):
        WorkerServices(context, "labels", "e_1").sample(requests(0, 3), "p")
    assert not list(tmp_path.rglob("*.jsonl"))


def test_waves_share_engine_and_journal_and_sample_nothing_twice(tmp_path: Path) -> None:
    engine, asked = FakeEngine(), requests(0, 30)
    engines._hosts[canonical(POLICY)] = host_of(engine, 8)
    try:
        for attempt in (1, 2):  # the second is a resume: it finds all that the first sampled
            services = WorkerServices(RunContext(tmp_path, attempt, 0, 0, {"p": POLICY}, {}), "adaptive", "e_1")
            first = services.sample(asked[:10], "p")
            hard = [r for r, result in zip(asked[:10], first, strict=True) if len(result.text) > 6]
            second = services.sample([*hard, *asked[10:20]], "p")  # some again, some new
            third = services.sample(asked, "p")
            assert first == [answer(r) for r in asked[:10]] and third == [answer(r) for r in asked]
            assert second[-10:] == third[10:20]
    finally:
        engines._hosts.clear()
    assert sorted(engine.asked) == sorted(r.rollout_id for r in asked)
    assert engine.starts == 1
