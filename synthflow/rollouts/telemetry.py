"""Rows of the telemetry table: elapsed times, which are no part of what a run's rows are."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable

import pyarrow as pa

from synthflow.contracts import Services
from synthflow.schema import TELEMETRY

NOTE = "note: "
"""How the metric begins that counts rollouts of which something was not as asked; the rest says what."""


def elapsed_table(times: Iterable[tuple[str, str, float]], services: Services) -> pa.Table:
    """Seconds that each judgement took, as (problem_id, id of what was judged, seconds)."""
    rows = [
        elapsed_row(problem, "score", target, seconds, worker_name(), services.attempt, services.stage_id)
        for problem, target, seconds in times
    ]
    return TELEMETRY.from_rows(rows)


def elapsed_row(
    problem_id: str, kind: str, target: str, seconds: float, worker: str, attempt: int, stage_id: str
) -> dict[str, object]:
    """One elapsed time; `kind` says what took it."""
    return {
        "problem_id": problem_id,
        "target_kind": kind,
        "target_id": target,
        "metric": "elapsed_s",
        "value": seconds,
        "worker": worker,
        "attempt": attempt,
        "stage_id": stage_id,
    }


def worker_name() -> str:
    """This process, as host:pid."""
    return f"{platform.node()}:{os.getpid()}"
