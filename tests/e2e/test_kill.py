"""kill -9 at random moments, a resume after each: the same rows, and nothing journaled is ever changed."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import polars as pl
import psutil
import pytest

from support.kills import NOTED, Killed, engine_worker, journaled, sampled_again
from support.runs import (
    SMALL,
    assert_same_rows,
    journal_lines,
    kill_group,
    run_ok,
    start,
    synthflow,
    tables,
    with_changes,
    write_spec,
)
from synthflow.errors import ExitCode
from synthflow.stores.manifest import Manifest

pytestmark = pytest.mark.slow


def _first(run: Path) -> pl.DataFrame:
    columns = ["rollout_id", "problem_id", "policy_id", "index", "seed"]
    return tables(run)["rollouts"].filter(pl.col("condition") == "none").select(columns)


def _finish(spec: Path, killed: Killed, reference: Path, *, same_rows: bool) -> None:
    """Run to the end; then nothing is missing, doubled or changed, and no more was sampled again than was in flight."""
    run_ok(spec, killed.run, *NOTED)
    killed.look()
    assert sampled_again(killed.run) <= sum(killed.lost), killed.lost
    again = [rollout for rollout, records in journaled(killed.run).items() if records > 1]
    assert not again, "a request that had a result was sampled again"
    if same_rows:
        assert_same_rows(reference, killed.run)
    assert _first(reference).equals(_first(killed.run))
    assert synthflow("check", killed.run).returncode == 0


def _slow(replay_spec: dict[str, object], delay_s: float) -> dict[str, object]:
    return with_changes(replay_spec, policy={**replay_spec["policy"], "delay_s": delay_s})  # type: ignore[dict-item]


def _kills_on_replay(replay_spec: dict[str, object], replay_run: Path, folder: Path, kills: int, seed: int) -> Killed:
    spec = write_spec(folder / "slow.yaml", _slow(replay_spec, 0.8))
    killed = Killed(folder / "run", random.Random(seed))
    for _ in range(kills):
        killed.kill_run(spec, 0.2, 3.0)
    _finish(write_spec(folder / "fast.yaml", replay_spec), killed, replay_run, same_rows=True)
    return killed


@pytest.mark.parametrize("kills", [2, pytest.param(7, marks=pytest.mark.long)])
def test_kills_on_replay_give_the_same_rows(
    kills: int, replay_spec: dict[str, object], replay_run: Path, tmp_path: Path
) -> None:
    killed = _kills_on_replay(replay_spec, replay_run, tmp_path, kills, seed=11)
    assert len(killed.lost) >= kills - 1 and sum(killed.lost) > 0


def test_a_run_cut_off_between_commits_makes_what_is_not_committed(
    replay_spec: dict[str, object], replay_run: Path, tmp_path: Path
) -> None:
    """As a kill may leave it: files of a stage of which some are committed, others not."""
    run = Path(shutil.copytree(replay_run, tmp_path / "run"))
    lines = (run / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    (run / "manifest.jsonl").write_bytes(b"".join(lines[: len(lines) // 2]))
    owed, units = Manifest(run).owed(), Manifest(run).graph.units
    assert any(n < len(units(stage)) for stage, n in owed.items()), "some stage is half done"
    run_ok(write_spec(tmp_path / "spec.yaml", replay_spec), run)
    assert_same_rows(replay_run, run)
    assert journal_lines(run) == journal_lines(replay_run)
    assert synthflow("check", run).returncode == 0


@pytest.mark.extended
def test_killed_workers_are_replaced(replay_spec: dict[str, object], replay_run: Path, tmp_path: Path) -> None:
    """kill -9 of the engine's worker, again and again, in a run that goes on to its end by itself."""
    killed = Killed(tmp_path / "run", random.Random(12))
    process = start(write_spec(tmp_path / "slow.yaml", _slow(replay_spec, 0.2)), killed.run, *NOTED)
    hits = killed.kill_within(process, engine_worker, 3, 1.0)
    assert process.wait(timeout=200) == 0
    assert hits >= 2
    _finish(tmp_path / "slow.yaml", killed, replay_run, same_rows=True)


@pytest.mark.extended
def test_kills_on_a_real_model_give_the_same_ids(small_run: Path, tmp_path: Path) -> None:
    spec = write_spec(tmp_path / "spec.yaml", SMALL)
    killed = Killed(tmp_path / "run", random.Random(5))
    killed.kill_run(spec, 0.5, 3.0)
    process = start(spec, killed.run, *NOTED)
    hits = killed.kill_within(process, engine_worker, 1, 0.5)
    assert process.wait(timeout=200) == 0
    assert len(killed.lost) >= 2 and hits == 1
    _finish(spec, killed, small_run, same_rows=False)


def _descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


@pytest.mark.extended
def test_a_killed_driver_leaves_no_process_behind(replay_spec: dict[str, object], tmp_path: Path) -> None:
    slow = with_changes(replay_spec, policy={**replay_spec["policy"], "delay_s": 0.2})  # type: ignore[dict-item]
    process = start(write_spec(tmp_path / "spec.yaml", slow), tmp_path / "run")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list((tmp_path / "run").glob("journal/*.jsonl")):
        time.sleep(0.1)
    family = _descendants(process.pid)
    assert family
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []
    kill_group(process)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.extended)])
def test_an_interrupt_gives_back_the_lock_and_resumes(
    number: signal.Signals, replay_spec: dict[str, object], tmp_path: Path
) -> None:
    slow = with_changes(replay_spec, policy={**replay_spec["policy"], "delay_s": 0.2})  # type: ignore[dict-item]
    process = start(write_spec(tmp_path / "slow.yaml", slow), tmp_path / "run")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list((tmp_path / "run").glob("journal/*.jsonl")):
        time.sleep(0.1)
    os.killpg(process.pid, number)  # a terminal sends Ctrl-C to the whole group
    assert process.wait(timeout=60) == ExitCode.INTERRUPTED
    assert not (tmp_path / "run" / "lock").exists()
    kept = journal_lines(tmp_path / "run")
    assert kept
    status = synthflow("status", tmp_path / "run", "--json")
    assert json.loads(status.stdout)["state"] == "incomplete"
    run_ok(write_spec(tmp_path / "fast.yaml", replay_spec), tmp_path / "run")
    assert kept <= journal_lines(tmp_path / "run")
    assert synthflow("check", tmp_path / "run").returncode == 0


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(3))
def test_many_more_kills_on_replay(seed: int, replay_spec: dict[str, object], replay_run: Path, tmp_path: Path) -> None:
    killed = _kills_on_replay(replay_spec, replay_run, tmp_path, 10, seed=100 + seed)
    assert len(killed.lost) >= 8


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(2))
def test_many_more_kills_on_a_real_model(seed: int, small_run: Path, tmp_path: Path) -> None:
    spec = write_spec(tmp_path / "spec.yaml", SMALL)
    killed = Killed(tmp_path / "run", random.Random(200 + seed))
    for _ in range(4):
        killed.kill_run(spec, 0.2, 3.0)
    process = start(spec, killed.run)
    killed.kill_within(process, engine_worker, 3, 1.0)
    assert process.wait(timeout=300) == 0
    assert len(killed.lost) >= 3
    _finish(spec, killed, small_run, same_rows=False)
