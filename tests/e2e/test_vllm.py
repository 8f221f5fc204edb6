"""The same spec on real vLLM, in process and behind a server: same schema and ids, pass rate within error."""

from __future__ import annotations

import math
import os
import random
import signal
import time
from pathlib import Path

import polars as pl
import psutil
import pytest

from support.kills import Killed, Victims, engine_core, engine_worker, family, in_flight, journaled, sampled_again
from support.runs import SMALL, run_ok, start, synthflow, tables, with_changes, write_spec
from synthflow.backends.openai import launcher
from synthflow.errors import ExitCode

pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.timeout(600)]

N = 12
STAGES = {"rollouts": {"n": N}, "problems": {"limit": 40}}


def _first(run: Path) -> pl.DataFrame:
    return tables(run)["rollouts"].filter(pl.col("condition") == "none").sort("rollout_id")


def _pass_rate(run: Path) -> tuple[float, int]:
    stats = tables(run)["problem_stats"]
    judged = int(stats["n_correct"].sum() + stats["n_wrong"].sum())
    return stats["n_correct"].sum() / judged, judged


def _agrees(one: Path, other: Path) -> None:
    """Same ids and schema; the mean pass rate differs by less than four standard errors.

    Both runs draw from the same policy for the same problems, so each problem's two pass rates are independent
    binomials around one value; the standard error is summed over problems.
    """
    left, right = _first(one), _first(other)
    assert left["rollout_id"].equals(right["rollout_id"])
    for name, rows in tables(one).items():
        assert tables(other)[name].schema == rows.schema
    (p, n), (q, m) = _pass_rate(one), _pass_rate(other)
    both = (p * n + q * m) / (n + m)
    error = math.sqrt(both * (1 - both) * (1 / n + 1 / m))
    assert abs(p - q) < 4 * error, f"{p:.3f} against {q:.3f}, standard error {error:.3f}"


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    run_ok(write_spec(folder / "spec.yaml", with_changes(SMALL, stages=STAGES)), folder / "run")
    return folder / "run"


IN_FLIGHT = 48
POLICY = {"backend": "vllm", "model": "demo", "max_model_len": 1024}
SERVED = {"backend": "openai", "model": "demo", "serve": {"max_model_len": 1024, "kv_cache_gb": 1}}


def _spec(policy: dict[str, object], folder: Path) -> Path:
    changed = with_changes(
        SMALL, policy=policy, stages=STAGES, execution={"requests_in_flight": IN_FLIGHT, "keep_notes": True}
    )
    return write_spec(folder / "spec.yaml", changed)


def _ended_well(killed: Killed, reference: Path) -> None:
    """As if nothing had been killed, and at each kill no more was lost than was in flight."""
    killed.look()
    assert sampled_again(killed.run) <= IN_FLIGHT * len(killed.lost)
    assert max(journaled(killed.run).values()) == 1, "what had a result was not sampled again"
    _agrees(reference, killed.run)
    first = _first(killed.run)
    assert first["token_ids"].null_count() == first["logprobs"].null_count() == 0
    assert synthflow("check", killed.run).returncode == 0


@pytest.mark.extended
def test_in_process_the_ids_are_those_of_transformers(small_run: Path, tmp_path: Path) -> None:
    """A corner of the small run, sampled by vLLM: its rollouts have the ids and seeds that they have there."""
    stages = {name: SMALL["stages"][name] for name in ("problems", "rollouts", "verdicts")}
    few = {"problems": {"limit": 6}, "rollouts": {"n": 4}}
    spec = with_changes({**SMALL, "stages": stages}, policy=POLICY, stages=few)
    run_ok(write_spec(tmp_path / "spec.yaml", spec), tmp_path / "run", timeout=500)
    found = _first(tmp_path / "run")
    there = found.join(_first(small_run), on=["rollout_id", "problem_id", "index", "seed"], how="semi")
    assert found.height == there.height == 6 * 4
    assert found["token_ids"].null_count() == found["logprobs"].null_count() == 0
    assert {"correct", "wrong"} <= set(tables(tmp_path / "run")["scores"]["verdict"])
    assert synthflow("check", tmp_path / "run").returncode == 0


@pytest.mark.extended
def test_in_process_though_the_engine_is_killed(reference: Path, tmp_path: Path) -> None:
    """kill -9 of the engine's core in a run that goes on: it starts again, and the run ends as if nothing had been."""
    killed = Killed(tmp_path / "run", random.Random(3))
    process = start(_spec(POLICY, tmp_path), killed.run)
    hits = killed.kill_within(process, engine_core, 1, 0.5)
    assert process.wait(timeout=400) == 0
    assert hits == 1 and sampled_again(killed.run) > 0
    _ended_well(killed, reference)


@pytest.mark.extended
@pytest.mark.parametrize("number", [signal.SIGINT])
def test_ctrl_c_finishes_what_is_in_flight(number: signal.Signals, tmp_path: Path) -> None:
    """A terminal sends Ctrl-C to the whole group; vLLM's core would end at once, and all that it holds with it."""
    process = start(_spec(POLICY, tmp_path), tmp_path / "run")
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and not journaled(tmp_path / "run"):
        time.sleep(0.05)
    os.killpg(process.pid, number)
    assert process.wait(timeout=100) == ExitCode.INTERRUPTED
    assert in_flight(tmp_path / "run") == 0, "what was in flight was finished and journaled"
    assert not (tmp_path / "run" / "lock").exists()


BOMB = """
import os
from synthflow.backends.vllm.guard import Guard
from vllm.v1.worker.gpu_model_runner import GPUModelRunner

compute = GPUModelRunner.execute_model

def explode(self, scheduled, *args, **kwargs):
    if any(r.sampling_params.seed == int(os.environ["BOMB_SEED"]) for r in scheduled.scheduled_new_reqs):
        os.kill(os.getpid(), 9)
    return compute(self, scheduled, *args, **kwargs)

GPUModelRunner.execute_model = explode

class Bomb(Guard):
    pass
"""


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_request_that_kills_the_engine_is_isolated(
    reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One rollout kills the engine whenever it is scheduled: it is recorded as poison, and all others are sampled."""
    [bad, *_] = _first(reference).filter(pl.col("index") == 5).sort("rollout_id").to_dicts()
    (tmp_path / "bomb.py").write_text(BOMB)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("BOMB_SEED", str(bad["seed"] % 2**63))
    policy = {**POLICY, "engine_args": {"worker_extension_cls": "bomb.Bomb"}}
    stages = {name: SMALL["stages"][name] for name in ("problems", "rollouts", "verdicts")}
    changed = with_changes(SMALL, policy=policy, execution={"requests_in_flight": 4})
    spec = write_spec(tmp_path / "spec.yaml", with_changes({**changed, "stages": stages}, stages=STAGES))
    run_ok(spec, tmp_path / "run", timeout=1700)
    first = _first(tmp_path / "run")
    assert first["rollout_id"].equals(_first(reference)["rollout_id"])
    assert first.filter(pl.col("finish_reason") == "poison")["rollout_id"].to_list() == [bad["rollout_id"]]
    said = tables(tmp_path / "run")["scores"].filter(pl.col("target_id") == bad["rollout_id"])
    assert said["verdict"].to_list() == ["unknown"] and said["reason"].to_list() == ["poison"]
    assert synthflow("check", tmp_path / "run").returncode == 0


def _server(driver: psutil.Process) -> list[psutil.Process]:
    """The server that an engine's worker runs, and the processes below it."""
    for process in driver.children(recursive=True):
        command = process.cmdline()
        if "vllm.entrypoints.openai.api_server" in command and launcher.__file__ not in command:
            return family(process)
    return []


@pytest.mark.extended
def test_behind_a_server_of_its_own_that_is_killed(reference: Path, tmp_path: Path) -> None:
    """kill -9 of the server in a run that goes on: it starts again, and the run ends as if nothing had been."""
    killed = Killed(tmp_path / "run", random.Random(6))
    process = start(_spec(SERVED, tmp_path), killed.run)
    hits = killed.kill_within(process, _server, 1, 0.5)
    assert process.wait(timeout=400) == 0
    assert hits == 1
    _ended_well(killed, reference)
    logs = sorted(path.name for path in (killed.run / "logs" / "attempt-1").glob("server-*"))
    assert logs == ["server-0.1.log", "server-0.2.log"]


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("policy", "engine"), [(POLICY, engine_core), (SERVED, _server)], ids=["vllm", "server"])
def test_kills_of_the_whole_run_and_of_its_parts(
    policy: dict[str, object], engine: Victims, reference: Path, tmp_path: Path
) -> None:
    spec, killed = _spec(policy, tmp_path), Killed(tmp_path / "run", random.Random(4))
    for _ in range(2):
        killed.kill_run(spec, 0.1, 2.0)
    process = start(spec, killed.run)
    hits = killed.kill_within(process, engine, 1, 0.5) + killed.kill_within(process, engine_worker, 1, 0.5)
    assert process.wait(timeout=600) == 0
    assert len(killed.lost) >= 3 and hits >= 1
    _ended_well(killed, reference)
