"""Memory is bounded by what is in flight, not by the size of the data: ten times the rollouts in the same memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "memory.py"
MOST = 1.15


@pytest.mark.extended
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_ten_times_the_rollouts_take_the_same_memory() -> None:
    """Peak resident memory of the driver and of each worker, 20,000 rollouts against 2,000."""
    done = subprocess.run([sys.executable, str(BENCHMARK)], capture_output=True, text=True, timeout=1100, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    large = found["peak_mb"]["20000"]
    assert set(found["ratios"]) == {"driver", "cpu-0", "engine-0", "engine-0 lent"}
    assert found["largest_ratio"] == max(found["ratios"][name] for name in ("driver", "cpu-0", "engine-0"))
    assert found["largest_ratio"] <= MOST, found
    assert large["engine-0 lent"] <= large["cpu-0"], found
