"""A Dask scheduler that runs already: workers started by hand as separate processes, sharing only a directory."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.runs import assert_same_rows, start, synthflow, with_changes, write_spec
from synthflow.errors import ExitCode

pytestmark = [pytest.mark.slow, pytest.mark.extended]

PAGE = Path(__file__).parents[2] / "docs" / "clusters.md"
DASK = Path(sys.executable).with_name("dask")


def _start(*args: str, cwd: Path) -> subprocess.Popen[bytes]:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([str(DASK), *args], cwd=cwd, start_new_session=True, **quiet)  # type: ignore[call-overload,no-any-return]


def _stop(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.wait()


def _commands(shared: Path) -> list[list[str]]:
    """The page's commands for a scheduler, a CPU worker and an engine worker."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("dask ")]
    commands = [shlex.split(line.replace("/shared", str(shared)))[1:] for line in lines]
    assert [c[0] for c in commands] == ["scheduler", "worker", "worker"]
    assert [c[-1] for c in commands[1:]] == ["synthflow_cpu=1000", "synthflow_engine=1000"]
    return commands


@dataclass
class Cluster:
    """The commands of docs/clusters.md, "By hand", as processes that share a directory and nothing else."""

    file: Path
    workers: dict[str, subprocess.Popen[bytes]]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler, two CPU workers and two engine workers."""
    scheduling, cpu, engine = _commands(tmp_path)
    scheduler = _start(*scheduling, "--host", "127.0.0.1", "--port", "0", cwd=tmp_path)
    workers = {
        f"{kind}-{i}": _start(*command, "--name", f"{kind}-{i}", cwd=tmp_path)
        for kind, command in {"cpu": cpu, "engine": engine}.items()
        for i in range(2)
    }
    yield Cluster(tmp_path / "scheduler.json", workers)
    for process in (*workers.values(), scheduler):
        _stop(process)


def _kill_at_work(client: Any, cluster: Cluster, kind: str) -> str:
    """Kill -9 a worker of a kind, with its nanny, while it works on something."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        names = {address: w["name"] for address, w in client.scheduler_info(n_workers=-1)["workers"].items()}
        for address, keys in client.processing().items():
            name = names.get(address, "")
            if keys and name.startswith(kind):
                _stop(cluster.workers[name])
                return name
        time.sleep(0.02)
    raise AssertionError(f"no {kind} worker had anything to do")


def test_the_same_rows_on_a_scheduler_that_runs_though_workers_die(
    replay_spec: dict[str, object], replay_run: Path, cluster: Cluster, tmp_path: Path
) -> None:
    from distributed import Client

    slow = with_changes(replay_spec, policy={**replay_spec["policy"], "delay_s": 0.1})  # type: ignore[dict-item]
    process = start(
        write_spec(tmp_path / "slow.yaml", slow), tmp_path / "there", "--scheduler", cluster.file, "--wait", 90
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list((tmp_path / "there").glob("journal/*.jsonl")):
        time.sleep(0.05)
    with Client(scheduler_file=str(cluster.file), timeout="60s", set_as_default=False) as client:
        killed = {_kill_at_work(client, cluster, "engine"), _kill_at_work(client, cluster, "cpu")}
    assert len(killed) == 2
    assert process.poll() is None, "the run was over before the workers were killed"
    assert process.wait(timeout=200) == 0
    assert_same_rows(replay_run, tmp_path / "there")


def test_workers_that_never_come_are_asked_for(replay_spec: dict[str, object], tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    scheduler = _start(
        "scheduler", "--no-dashboard", "--scheduler-file", str(file), "--host", "127.0.0.1", "--port", "0", cwd=tmp_path
    )
    spec = write_spec(tmp_path / "spec.yaml", replay_spec)
    try:
        deadline = time.monotonic() + 60
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        done = synthflow("run", spec, "--out", tmp_path / "run", "--scheduler", file, "--wait", 3)
    finally:
        _stop(scheduler)
    assert done.returncode == ExitCode.INCOMPLETE, done.stderr
    assert "no worker offers synthflow_cpu or synthflow_engine" in done.stderr and "Traceback" not in done.stderr


def test_no_scheduler_at_the_address(replay_spec: dict[str, object], tmp_path: Path) -> None:
    spec = write_spec(tmp_path / "spec.yaml", replay_spec)
    done = synthflow("run", spec, "--out", tmp_path / "run", "--scheduler", "tcp://127.0.0.1:9")
    assert done.returncode == ExitCode.USAGE
    assert "no Dask scheduler answers" in done.stderr and "Traceback" not in done.stderr
