"""Wilson intervals and standard errors against hand-worked numbers, an independent derivation, and their coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthflow.statistics.intervals import Z95, difference_error, difference_low, standard_error, wilson

COUNTS = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def test_hand_worked_wilson():
    """z = 1.959964, z² = 3.841459.

    4/8: centre .5, half = z/11.841459 · sqrt(2 + .960365) = .165517 · 1.720571 = .284784.
    0/8: high = z²/(8 + z²) = 3.841459/11.841459 = .324408. 8/8 mirrors it.
    1/2: half = z/5.841459 · sqrt(.5 + .960365) = .335526 · 1.208456 = .405469.
    """
    low, high = wilson([4, 0, 8, 1], [8, 8, 8, 2])
    assert low == pytest.approx([0.215216, 0.0, 0.675592, 0.094531], abs=2e-6)
    assert high == pytest.approx([0.784784, 0.324408, 1.0, 0.905469], abs=2e-6)


def test_hand_worked_standard_errors():
    """4/8: sqrt(.25/8) = .176777, and of two such .25.

    0/8: centre 1.920729/11.841459 = .162204, sqrt(.162204 · .837796 / 8) = .130333.
    """
    errors = standard_error([4, 0, 8], [8, 8, 8])
    assert errors == pytest.approx([0.176777, 0.130333, 0.130333], abs=1e-6)
    assert float(difference_error(errors[0], errors[0])) == pytest.approx(0.25, abs=1e-6)


@given(COUNTS, st.floats(0.5, 4))
def test_wilson_ends_solve_the_score_equation(case, z):
    """Independent of the closed form: |p̂ - p| = z · sqrt(p (1 - p) / n) at both ends."""
    k, n = case
    for p in (float(end) for end in wilson(k, n, z)):
        assert abs(abs(k / n - p) - z * math.sqrt(p * (1 - p) / n)) < 1e-7


@given(COUNTS)
def test_interval_holds_the_estimate_and_mirrors(case):
    k, n = case
    low, high = wilson(k, n)
    other_low, other_high = wilson(n - k, n)
    assert 0 <= low <= k / n <= high <= 1 and high - low > 0
    assert float(low) == pytest.approx(1 - float(other_high)) and float(high) == pytest.approx(1 - float(other_low))


@given(COUNTS)
def test_standard_error_is_never_zero_nor_below_the_plain_one(case):
    k, n = case
    plain = math.sqrt(k / n * (1 - k / n) / n)
    assert float(standard_error(k, n)) >= plain - 1e-12 and float(standard_error(k, n)) > 0


def test_nothing_counted_is_not_a_zero():
    low, high = wilson([0, 1], [0, 1])
    assert np.isnan(low[0]) and np.isnan(high[0]) and not np.isnan(low[1])
    assert np.isnan(standard_error(0, 0)) and np.isnan(difference_error(np.nan, 0.1))


def test_impossible_counts_are_refused():
    with pytest.raises(ValueError, match="between 0 and n"):
        wilson(3, 2)


@pytest.mark.parametrize("n", [8, 16, 64])
def test_coverage_by_simulation(n):
    """Averaged over p, the 95% interval holds the truth about 95 times in 100 (Brown, Cai and DasGupta, 2001)."""
    rng = np.random.default_rng(7)
    p = rng.uniform(0, 1, 40_000)
    low, high = wilson(rng.binomial(n, p), n)
    covered = float(((low <= p) & (p <= high)).mean())
    assert 0.94 < covered < 0.97


def test_hand_worked_difference():
    """Newcombe's own example (a): 56/70 against 48/80, difference .2, 95% interval .0524 to .3339."""
    (p, q), (low, high) = (56 / 70, 48 / 80), wilson([56, 48], [70, 80])
    assert float(difference_low(p, low[0], q, high[1])) == pytest.approx(0.0524, abs=5e-5)
    # 4/8 against 0/8: the intervals touch, the difference is certain: .5 - sqrt(.284784² + .324408²) = .068332.
    (low, _), (_, high) = wilson(4, 8), wilson(0, 8)
    assert low < high and float(difference_low(0.5, low, 0.0, high)) == pytest.approx(0.068332, abs=1e-5)
    assert np.isnan(difference_low(np.nan, np.nan, 0.0, high))


def test_a_difference_is_seldom_called_where_there_is_none():
    rng = np.random.default_rng(9)
    p = rng.uniform(0, 1, 40_000)
    a, b = rng.binomial(8, p), rng.binomial(8, p)
    called = difference_low(a / 8, wilson(a, 8).low, b / 8, wilson(b, 8).high) > 0
    assert float(called.mean()) < 0.03


def test_differences_are_covered_too():
    rng = np.random.default_rng(8)
    p, q = rng.uniform(0, 1, (2, 40_000))
    a, b = rng.binomial(8, p), rng.binomial(8, q)
    error = difference_error(standard_error(a, 8), standard_error(b, 8))
    assert float((np.abs((a - b) / 8 - (p - q)) <= Z95 * error).mean()) > 0.94
