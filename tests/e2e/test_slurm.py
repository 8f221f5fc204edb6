"""The Slurm script of docs/clusters.md as it stands: its job scripts, and a run through them on one machine.

`sbatch` and `scancel` are stand-ins (in slurm/) that start and end the job scripts here.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

from support.runs import assert_same_rows, with_changes, write_spec

PAGE = Path(__file__).parents[2] / "docs" / "clusters.md"
STAND_INS = Path(__file__).with_name("slurm")
ONE_MACHINE = {
    'INTERFACE = "ib0"': 'INTERFACE = "lo"',
    '"cores": 16': '"cores": 1',
    '"processes": 16': '"processes": 1',
    "range(4)": "range(2)",
}
"""What differs on one small machine: the network, sixteen workers a job, four engines."""


def _script() -> str:
    (found,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return found


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The page's script, imported: its templates and no more."""
    monkeypatch.chdir(tmp_path)  # dask-jobqueue makes the folder of its logs
    module = ModuleType("slurm")
    exec(compile(_script().replace('"ib0"', '"lo"'), str(PAGE), "exec"), module.__dict__)
    return module


def _job(module: ModuleType, name: str) -> tuple[set[str], list[str], str]:
    """A job's directives, the words of its worker's command, and the whole script."""
    template = module.JOBS[name]
    script = template["cls"](scheduler="tcp://10.0.0.1:8786", name=name, **template["options"]).job_script()
    lines = script.splitlines()
    directives = {line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")}
    return directives, shlex.split(lines[-1]), script


def _value(words: list[str], option: str) -> str:
    """What counts of an option that stands twice: the last."""
    return [after for word, after in pairwise(words) if word == option][-1]


def test_an_engine_job_asks_for_gpus_and_offers_one_engine(slurm: ModuleType) -> None:
    directives, words, script = _job(slurm, "engine-0")
    assert {"-p gpu", "-A my-account", "-n 1", "--cpus-per-task=8", "-t 08:00:00"} <= directives
    assert {"--gpus-per-node=1", "--requeue"} <= directives
    assert words[1:4] == ["-m", "distributed.cli.dask_worker", "tcp://10.0.0.1:8786"]
    assert (_value(words, "--resources"), _value(words, "--nthreads")) == ("synthflow_engine=1000", "8")
    assert "--nworkers" not in words and _value(words, "--memory-limit") == "0"
    assert "export DASK_DISTRIBUTED__WORKER__DAEMON=False" in script and "HF_HUB_OFFLINE=1" in script


def test_a_cpu_job_is_sixteen_workers_and_no_engine(slurm: ModuleType) -> None:
    directives, words, _ = _job(slurm, "cpu-0")
    assert {"-p cpu", "--cpus-per-task=16"} <= directives and not any("gpu" in d for d in directives)
    assert (_value(words, "--resources"), _value(words, "--nthreads")) == ("synthflow_cpu=1000", "1")
    assert _value(words, "--nworkers") == "16"


def _pid_of(jobs: Path, name: str) -> int:
    """The session of the job that starts the worker of this name."""
    (script,) = [p for p in jobs.glob("*.sh") if f"--name {name} " in p.read_text()]
    return int(script.with_suffix(".pid").read_text())


@pytest.mark.extended
@pytest.mark.slow
def test_a_run_through_slurm_jobs_though_an_engine_is_killed(
    replay_spec: dict[str, object], replay_run: Path, tmp_path: Path
) -> None:
    jobs, run, text = tmp_path / "jobs", tmp_path / "run", _script()
    jobs.mkdir()
    for written, here in ONE_MACHINE.items():
        assert written in text, f"{PAGE.name} no longer says {written}"
        text = text.replace(written, here)
    (tmp_path / "slurm.py").write_text(text)
    slow = with_changes(replay_spec, policy={**replay_spec["policy"], "delay_s": 0.1})  # type: ignore[dict-item]
    spec = write_spec(tmp_path / "spec.yaml", slow)
    bins = f"{STAND_INS}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    process = subprocess.Popen(
        [sys.executable, "slurm.py", str(spec), "--out", str(run), "--quiet"],
        cwd=tmp_path,
        env={**os.environ, "PATH": bins, "SYNTHFLOW_TEST_JOBS": str(jobs)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline and not list(run.glob("journal/*.jsonl")):
            time.sleep(0.1)
        os.killpg(_pid_of(jobs, "engine-0"), signal.SIGKILL)
        assert process.poll() is None, "the run was over before the engine was killed"
        _, said = process.communicate(timeout=200)
        assert process.returncode == 0, said
    finally:
        for pid in [process.pid, *(int(p.read_text()) for p in jobs.glob("*.pid"))]:
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    assert_same_rows(replay_run, run)
