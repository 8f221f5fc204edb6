"""What memory a spec gives is divided among the driver and the workers."""

from __future__ import annotations

import pytest

from synthflow.execute.sizing import _bearable, spill_mb
from synthflow.execute.tasks import SPILL_MB


def test_without_a_budget_every_process_has_the_default() -> None:
    assert spill_mb(None, 1) == spill_mb(None, 64) == SPILL_MB and _bearable(8, 1, None) == 8


@pytest.mark.parametrize(("memory_mb", "cpu"), [(512, 1), (1500, 1), (2000, 3), (4000, 8), (64_000, 8)])
def test_few_megabytes_are_few_cpu_workers(memory_mb: int, cpu: int) -> None:
    assert _bearable(8, 1, memory_mb) == cpu


@pytest.mark.parametrize("workers", [1, 2, 9])
def test_what_processes_take_and_may_hold_is_the_budget(workers: int) -> None:
    assert (spill_mb(6000, workers) + 320) * (workers + 1) == pytest.approx(6000, abs=workers + 1)
    assert spill_mb(512, workers) == 64, "less sorts nothing"
