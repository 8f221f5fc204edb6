"""Memory is bounded by what is in flight and by buffers of a fixed size, not by the size of the data."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "memory.py"
MORE_MB = 80
"""What buffers of a fixed size hold that the smaller run does not fill (docs/performance.md)."""


@pytest.mark.extended
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_ten_times_the_rollouts_take_what_buffers_hold_more() -> None:
    """Peak resident memory of the driver and of each worker, 20,000 rollouts against 2,000."""
    done = subprocess.run([sys.executable, str(BENCHMARK)], capture_output=True, text=True, timeout=1100, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found["ratios"]) == {"driver", "cpu-0", "engine-0"}
    small, large = found["peak_mb"]["2000"], found["peak_mb"]["20000"]
    assert {name: large[name] for name in large if large[name] > small[name] + MORE_MB} == {}, found
