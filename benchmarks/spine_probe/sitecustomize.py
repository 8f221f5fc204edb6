"""Imported by every Python process below `spine.py`: notes what each unit of work costs, whatever build runs it.

A unit's cost is what its process used while it ran, native threads included, without what stages used meanwhile that
had stepped aside to wait for samples; those are measured by their own thread. A line is a stage and its CPU seconds.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
import threading
import time
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

_MODULE, _FUNCTION = "synthflow.execute.unit", "run_unit"
_finding = threading.local()
_lock = threading.Lock()
_aside: dict[int, float] = {}
_aside_ended = 0.0


def _clock(thread: int) -> float:
    return time.clock_gettime(time.pthread_getcpuclockid(thread))


def _used_aside() -> float:
    with _lock:
        return _aside_ended + sum(_clock(thread) - began for thread, began in _aside.items())


def _sampling(call: Callable[[], Any]) -> tuple[Any, float]:
    global _aside_ended
    me = threading.get_ident()
    began = _clock(me)
    with _lock:
        _aside[me] = began
    try:
        return call(), _clock(me) - began
    finally:
        with _lock:
            _aside_ended += _clock(me) - _aside.pop(me)


def _alone(call: Callable[[], Any]) -> tuple[Any, float]:
    aside, began = _used_aside(), time.process_time()
    result = call()
    return result, time.process_time() - began - (_used_aside() - aside)


def _noting(run_unit: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(run_unit)
    def noted(task: Any, *given: Any, **options: Any) -> Any:
        how = _sampling if task.record.use.startswith("sample") else _alone
        result, cpu_s = how(lambda: run_unit(task, *given, **options))
        with Path(os.environ["SPINE_NOTES"], str(os.getpid())).open("a") as notes:
            notes.write(f"{task.record.name} {cpu_s:.6f}\n")
        return result

    return noted


class _Finder(MetaPathFinder):
    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if fullname != _MODULE or getattr(_finding, "on", False):
            return None
        _finding.on = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            _finding.on = False
        assert spec is not None and spec.loader is not None
        execute = spec.loader.exec_module

        def execute_and_wrap(module: Any) -> None:
            execute(module)
            setattr(module, _FUNCTION, _noting(getattr(module, _FUNCTION)))

        spec.loader.exec_module = execute_and_wrap  # type: ignore[method-assign]
        return spec


if "SPINE_NOTES" in os.environ:
    sys.meta_path.insert(0, _Finder())
