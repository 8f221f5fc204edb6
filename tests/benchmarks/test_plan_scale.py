"""Planning a large run is cheap: what a user waits for before a change, and how much memory it takes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from plan_scale import figures


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_finished_run_of_100_000_problems_is_planned_in_seconds(tmp_path: Path) -> None:
    found = figures(tmp_path, 100_000, 4)
    assert found["finished"]["cpu_s"] < 5 and found["finished"]["peak_mb"] < 1024
    assert all(one["peak_mb"] < 1024 for one in found.values())


def test_its_figures_are_of_the_run_that_it_says(tmp_path: Path) -> None:
    found = figures(tmp_path, 70, 2)
    asked = {name: (one["owed"] > 0, one["requests"]) for name, one in found.items()}
    assert asked == {"finished": (False, 0), "n_raised": (True, 70), "problem_added": (True, 2)}
