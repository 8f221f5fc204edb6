"""kill -9 at random moments, a resume after each: the same rows, and nothing journaled is ever changed."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import psutil
import pytest
from support import (
    SMALL,
    assert_same_rows,
    journal_lines,
    kill_group,
    run_ok,
    start,
    synthflow,
    with_changes,
    write_spec,
)

from synthflow.errors import ExitCode

pytestmark = pytest.mark.slow


def _kill_and_resume(spec: Path, out: Path, kills: int, seed: int, longest: float, last: Path | None = None) -> int:
    """Start and kill `kills` times at random moments, then run `last` (or `spec`) to its end.

    Returns how many were killed before they were done.
    """
    rng, killed, kept = random.Random(seed), 0, set[bytes]()
    for _ in range(kills):
        process = start(spec, out)
        deadline = time.monotonic() + rng.uniform(0.5, longest)
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        killed += process.poll() is None
        kill_group(process)
        now = journal_lines(out) if (out / "journal").exists() else set()
        assert kept <= now, "a journaled line is gone or was changed"
        kept = now
    run_ok(last or spec, out)
    assert kept <= journal_lines(out)
    return killed


def test_ten_kills_on_replay_give_the_same_rows(replay_spec: dict[str, object], tmp_path: Path) -> None:
    whole = write_spec(tmp_path / "whole.yaml", replay_spec)
    run_ok(whole, tmp_path / "whole")
    slow = with_changes(replay_spec, policy={**replay_spec["policy"], "delay_s": 1.2})  # type: ignore[dict-item]
    spec = write_spec(tmp_path / "slow.yaml", slow)
    killed = _kill_and_resume(spec, tmp_path / "killed", kills=10, seed=11, longest=9.0, last=whole)
    assert killed >= 8
    assert_same_rows(tmp_path / "whole", tmp_path / "killed")
    assert synthflow("check", tmp_path / "killed").returncode == 0


def test_kills_on_a_real_model_give_the_same_ids(small_run: Path, tmp_path: Path) -> None:
    spec = write_spec(tmp_path / "spec.yaml", SMALL)
    killed = _kill_and_resume(spec, tmp_path / "killed", kills=3, seed=5, longest=12.0)
    assert killed >= 1
    first = {"rollouts": ["rollout_id", "problem_id", "policy_id", "index", "seed"]}
    _same_first_rollouts(small_run, tmp_path / "killed", first["rollouts"])
    assert synthflow("check", tmp_path / "killed").returncode == 0


def _same_first_rollouts(one: Path, other: Path, columns: list[str]) -> None:
    import polars as pl
    from support import tables

    left, right = (
        tables(run)["rollouts"].filter(pl.col("condition") == "none").select(columns) for run in (one, other)
    )
    assert left.equals(right)


def _descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


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


def test_killed_workers_are_replaced(replay_spec: dict[str, object], tmp_path: Path) -> None:
    """kill -9 of one worker, and four seconds later of another, in a run that goes on to its end."""
    whole = write_spec(tmp_path / "whole.yaml", replay_spec)
    run_ok(whole, tmp_path / "whole")
    slow = with_changes(replay_spec, policy={**replay_spec["policy"], "delay_s": 0.2})  # type: ignore[dict-item]
    process = start(write_spec(tmp_path / "slow.yaml", slow), tmp_path / "run")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list((tmp_path / "run").glob("journal/*.jsonl")):
        time.sleep(0.1)
    for _ in range(2):
        workers = [p for p in _descendants(process.pid) if "dask worker" in " ".join(p.cmdline())]
        assert workers
        workers[-1].kill()
        time.sleep(4)
    assert process.wait(timeout=200) == 0
    assert_same_rows(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
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
@pytest.mark.parametrize("seed", range(5))
def test_many_more_kills(seed: int, replay_spec: dict[str, object], tmp_path: Path) -> None:
    whole = write_spec(tmp_path / "whole.yaml", replay_spec)
    run_ok(whole, tmp_path / "whole")
    slow = with_changes(replay_spec, policy={**replay_spec["policy"], "delay_s": 0.3})  # type: ignore[dict-item]
    spec = write_spec(tmp_path / "slow.yaml", slow)
    _kill_and_resume(spec, tmp_path / "killed", kills=12, seed=100 + seed, longest=10.0, last=whole)
    assert_same_rows(tmp_path / "whole", tmp_path / "killed")
