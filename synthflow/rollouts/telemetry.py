"""Rows of the telemetry table: elapsed times, which are no part of what a run's rows are."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

import pyarrow as pa

from synthflow.contracts import Services
from synthflow.schema import TELEMETRY

NOTE = "note: "
"""How the metric begins that counts rollouts of which something was not as asked; the rest says what."""


def elapsed_table(times: Sequence[tuple[str, str, float]], services: Services) -> pa.Table:
    """Seconds that each judgement took, as (problem_id, id of what was judged, seconds)."""
    return TELEMETRY.from_columns(
        len(times),
        {
            "problem_id": [problem for problem, _, _ in times],
            "target_kind": "score",
            "target_id": [target for _, target, _ in times],
            "metric": "elapsed_s",
            "value": [seconds for _, _, seconds in times],
            "worker": worker_name(),
            "attempt": services.attempt,
            "stage_id": services.stage_id,
        },
    )


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
