"""A whole run in one process that a test can kill: a child of a server that has everything imported.

Its Dask workers are threads, so that a run takes the time of its work; and `kill -9` of the child is the death of the
driver and of every worker at once.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_IMPORTED = [
    "distributed", "duckdb", "polars", "pyarrow.parquet", "synthflow.execute.run", "synthflow.execute.unit",
    "synthflow.plan.plan", "synthflow.spec", "synthflow.check", "synthflow.backends.replay.backend",
    "synthflow.stages.adapters",
]  # fmt: skip
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(_IMPORTED)


@dataclass(frozen=True)
class Ran:
    """What a child did. `error` is what it raised, a bug with its traceback; `plan` is that of just before the run."""

    plan: Mapping[str, Any]
    attempt: int | None
    error: str | None


def run_in_child(spec: Path, out: Path, prepare: Callable[[], None] | None = None, **options: Any) -> Ran:
    """Plan and run a spec to its end, with these options of `run_pipeline`; before, the child calls `prepare`."""
    receiver, sender = _context.Pipe(duplex=False)
    child = _context.Process(target=_plan_and_run, args=(str(spec), str(out), prepare, options, sender))
    child.start()
    sender.close()
    try:
        said = receiver.recv() if receiver.poll(120) else None
    except EOFError:
        said = None
    child.join(30)
    assert said is not None, f"the child ended with {child.exitcode} and said nothing"
    return Ran(**said)


def every_release_is_large() -> None:
    """For `prepare`: a release of any size may grow, and its rejects are told in several tables."""
    from synthflow.stages.export import growth, rejects

    growth.GROWS_FROM, rejects.AT_ONCE = 1, 2


def kill_a_run(spec: Path, out: Path, after_s: float) -> bool:
    """Start a run, and kill it -9 so many seconds after it took its lock; whether it was still alive."""
    child = _context.Process(target=_run, args=(str(spec), str(out)))
    child.start()
    deadline = time.monotonic() + 60
    while child.is_alive() and not (out / "lock").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    child.join(after_s)
    alive = child.is_alive()
    if alive and child.pid is not None:
        os.kill(child.pid, signal.SIGKILL)
    child.join()
    return alive


def _plan_and_run(
    spec: str, out: str, prepare: Callable[[], None] | None, options: Mapping[str, Any], answer: Connection
) -> None:
    from synthflow.plan.plan import make_plan
    from synthflow.spec import load_pipeline

    if prepare is not None:
        prepare()
    plan: Mapping[str, Any] = {}
    try:
        plan = make_plan(load_pipeline(spec), Path(out)).to_json()
        attempt, error = _run(spec, out, **options)
    except BaseException:
        attempt, error = None, traceback.format_exc()
    answer.send({"plan": plan, "attempt": attempt, "error": error})


def _run(spec: str, out: str, **options: Any) -> tuple[int | None, str | None]:
    from distributed import Scheduler, SpecCluster, Worker

    from synthflow.errors import SynthflowError
    from synthflow.execute.run import run_pipeline
    from synthflow.execute.tasks import CPU, ENGINE
    from synthflow.spec import load_pipeline

    served = {"dashboard": False, "host": "127.0.0.1", "port": 0, "dashboard_address": "127.0.0.1:0"}
    workers = {
        name: {"cls": Worker, "options": {"nthreads": 2, "resources": {name: 1000}, "dashboard": False, "name": name}}
        for name in (CPU, ENGINE)
    }
    with SpecCluster(workers=workers, scheduler={"cls": Scheduler, "options": served}, silence_logs=50) as cluster:
        try:
            done = run_pipeline(load_pipeline(spec), Path(out), scheduler=cluster.scheduler_address, **options)
        except SynthflowError as error:
            return None, f"{type(error).__name__}: {error}"
    return done.attempt, None
