"""A Dask scheduler that runs already: workers started by hand as separate processes, sharing only a directory."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import assert_same_rows, run_ok, synthflow, with_changes, write_spec

from synthflow.errors import ExitCode

pytestmark = pytest.mark.slow

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


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler, two CPU workers and one engine worker, each a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    started = [_start("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard", cwd=tmp_path)]
    worker = ("worker", address, "--no-dashboard", "--nthreads")
    started += [_start(*worker, "1", "--resources", "synthflow_cpu=1000", cwd=tmp_path) for _ in range(2)]
    started.append(_start(*worker, "4", "--resources", "synthflow_engine=1000", cwd=tmp_path))
    yield address, started
    for process in started:
        _stop(process)


def _wait_for_workers(address: str, n: int) -> None:
    from distributed import Client

    with Client(address, timeout="60s", set_as_default=False) as client:
        client.wait_for_workers(n, timeout=90)


def test_the_same_rows_on_a_scheduler_that_runs_though_a_worker_dies(
    replay_spec: dict[str, object], cluster: tuple[str, list[subprocess.Popen[bytes]]], tmp_path: Path
) -> None:
    address, started = cluster
    run_ok(write_spec(tmp_path / "spec.yaml", replay_spec), tmp_path / "local")
    _wait_for_workers(address, 3)
    slow = with_changes(replay_spec, policy={**replay_spec["policy"], "delay_s": 0.05})  # type: ignore[dict-item]
    from support import CLI

    command = [str(CLI), "run", str(write_spec(tmp_path / "slow.yaml", slow)), "--out", str(tmp_path / "there")]
    process = subprocess.Popen([*command, "--scheduler", address, "--quiet"], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list((tmp_path / "there").glob("journal/*.jsonl")):
        time.sleep(0.1)
    _stop(started[1])  # a CPU worker, with its nanny
    _, said = process.communicate(timeout=200)
    assert process.returncode == 0, said
    assert_same_rows(tmp_path / "local", tmp_path / "there")


def test_no_scheduler_at_the_address(replay_spec: dict[str, object], tmp_path: Path) -> None:
    spec = write_spec(tmp_path / "spec.yaml", replay_spec)
    done = synthflow("run", spec, "--out", tmp_path / "run", "--scheduler", "tcp://127.0.0.1:9")
    assert done.returncode == ExitCode.USAGE
    assert "no Dask scheduler answers" in done.stderr and "Traceback" not in done.stderr
