"""Totals and their ranges: hand-worked cases, known quantiles, and coverage in simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.workflows.pilot.projection import Projection, Range, Sampled, expanded_levels, t_quantile


def _projection(values: list[float], total: int) -> Projection:
    return Projection([Sampled({"x": np.array(values, dtype=np.float64)}, total)])


def test_students_quantiles_are_those_of_the_tables() -> None:
    for freedom, expected in ((4, 2.1318), (5, 2.0150), (15, 1.7531), (30, 1.6973), (1000, 1.6464)):
        assert t_quantile(0.95, freedom) == pytest.approx(expected, abs=1e-3)


def test_percentiles_are_expanded_as_by_hand() -> None:
    # n = 16: sqrt(16/15) x 1.7531 = 1.8106, and Phi(-1.8106) = 0.03510.
    low, high = expanded_levels(16)
    assert low == pytest.approx(0.0351, abs=2e-4) and high == pytest.approx(1 - low)
    assert expanded_levels(10_000)[0] == pytest.approx(0.05, abs=1e-4)


def test_the_guess_is_the_mean_times_all_and_constants_have_no_range() -> None:
    assert _projection([1, 2, 3], 30).of("x").value == 60
    assert _projection([8, 8, 8, 8], 1000).of("x") == Range(8000, 8000, 8000)


def test_all_problems_measured_leave_no_doubt() -> None:
    assert _projection([1, 5, 0, 2], 4).of("x") == Range(8, 8, 8)
    assert _projection([0, 0], 2).of("x") == Range(0, 0, 0)
    assert _projection([0, 1], 2).share("x") == Range(1, 1, 1)
    assert _projection([7], 1).of("x") == Range(7, 7, 7)


def test_what_was_never_seen_is_not_ruled_out() -> None:
    assert _projection([0] * 16, 100).of("x") == Range(0, 0, None)
    none, every = _projection([0] * 16, 116).share("x"), _projection([1] * 16, 116).share("x")
    # 1 - 0.05^(1/16) = 0.1707, of the 100 others
    assert (none.value, none.low, none.high) == (0, 0, pytest.approx(17.07, abs=0.01))
    assert (every.value, every.low, every.high) == (116, pytest.approx(116 - 17.07, abs=0.01), 116)


def test_one_problem_of_many_tells_no_range() -> None:
    assert _projection([4], 10).of("x") == Range(40, None, None)


def test_sources_add_up() -> None:
    both = Projection(
        [Sampled({"x": np.array([1.0, 3.0])}, 10), Sampled({"x": np.array([100.0])}, 3)],
    )
    assert (both.n, both.total) == (3, 13)
    assert both.value("x") == 2 * 10 + 100 * 3
    found = both.of("x")
    assert found.low is not None and found.high is not None
    assert 304 + 8 <= found.low <= 320 <= found.high <= 304 + 24


def test_the_same_pilot_gives_the_same_numbers() -> None:
    values = [3.0, 9.0, 1.0, 4.0, 4.0]
    assert _projection(values, 50).of("x") == _projection(values, 50).of("x")


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=20), st.integers(0, 500))
def test_a_range_holds_its_guess_and_what_is_possible(values: list[float], others: int) -> None:
    found = _projection(values, len(values) + others).of("x")
    if found.high is None:
        assert not any(values)
        return
    assert found.low is not None
    assert found.low <= found.value <= found.high
    slack = 1e-9 * (1 + found.value)
    assert found.low >= sum(values) + others * min(values) - slack
    assert found.high <= sum(values) + others * max(values) + slack


@pytest.mark.parametrize("total", [20, 60, 3000])
def test_nine_ranges_in_ten_hold_the_truth(total: int) -> None:
    rng = np.random.default_rng(5)
    everyone = rng.gamma(2.0, 300.0, total)
    held = 0
    for _ in range(150):
        chosen = rng.choice(everyone, 16, replace=False)
        found = _projection(list(chosen), total).of("x")
        assert found.low is not None and found.high is not None
        held += found.low <= everyone.sum() <= found.high
    assert 0.82 <= held / 150 <= 0.97


def test_ranges_scale_and_shift() -> None:
    assert Range(2, 1, 4).times(10).plus(5) == Range(25, 15, 45)
    assert Range(0, 0, None).times(3) == Range(0, 0, None)
