"""The same spec on real vLLM, in process and behind a server: same schema and ids, pass rate within error."""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from support import SMALL, run_ok, synthflow, tables, with_changes, write_spec

from synthflow.demo import policy_path

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


def test_in_process(reference: Path, tmp_path: Path) -> None:
    policy = {"backend": "vllm", "model": "demo", "max_model_len": 1024}
    spec = write_spec(tmp_path / "spec.yaml", with_changes(SMALL, policy=policy, stages=STAGES))
    run_ok(spec, tmp_path / "run", timeout=560)
    _agrees(reference, tmp_path / "run")
    first = _first(tmp_path / "run")
    assert first["token_ids"].null_count() == first["logprobs"].null_count() == 0
    assert synthflow("check", tmp_path / "run").returncode == 0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real `vllm serve` of the demo policy."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    command = [sys.executable, "-P", "-m", "vllm.entrypoints.openai.api_server", "--model", str(policy_path())]
    # The CPU build cannot split the prefill of a seeded request.
    command += ["--no-enable-chunked-prefill", "--max-num-batched-tokens", "2048", "--enforce-eager"]
    options = ["--served-model-name", "demo", "--max-model-len", "1024", "--host", "127.0.0.1", "--port", str(port)]
    env = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
    with log.open("w") as out:
        process = subprocess.Popen([*command, *options], stdout=out, stderr=out, env=env, start_new_session=True)
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        from support import kill_group

        kill_group(process)  # type: ignore[arg-type]


def _wait_until_ready(url: str, process: subprocess.Popen[str] | subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(log.read_text()[-3000:])


def test_behind_a_server(reference: Path, server: str, tmp_path: Path) -> None:
    policy = {"backend": "openai", "model": "demo", "base_url": server, "weights": "demo"}
    spec = write_spec(tmp_path / "spec.yaml", with_changes(SMALL, policy=policy, stages=STAGES))
    run_ok(spec, tmp_path / "run", timeout=400)
    _agrees(reference, tmp_path / "run")
    assert _first(tmp_path / "run")["token_ids"].null_count() == 0
    assert synthflow("check", tmp_path / "run").returncode == 0
