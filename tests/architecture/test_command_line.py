"""The command line answers at once and loads nothing heavy."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path


def test_help_answers_at_once_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; from synthflow.cli.main import cli; cli.main(['--help'], standalone_mode=False); "
        "heavy = {'torch', 'vllm', 'transformers', 'datatrove', 'dask', 'distributed', 'polars', 'pyarrow', 'duckdb'}; "
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    times = []
    for _ in range(3):
        started = _cpu_seconds_of_children()
        subprocess.run([Path(sys.executable).with_name("synthflow"), "--help"], capture_output=True, check=True)
        times.append(_cpu_seconds_of_children() - started)
    assert min(times) < 0.5


def _cpu_seconds_of_children() -> float:
    """What ended child processes have used: a busy machine does not change it, as it changes the time on the wall."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
