"""From a first wave to further rollouts: the rules for pass rates 0 and 1, and the forecast."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.stages.curriculum.allocation import Rules, Wave, allocate, mixed_forecast


def wave(*groups, cost=1):
    """Groups as (correct, wrong), nothing unknown."""
    correct, wrong = (np.array(side, np.int64) for side in zip(*groups, strict=True))
    return Wave(correct + wrong, correct, wrong, np.broadcast_to(np.array(cost, np.int64), correct.shape).copy())


FOUR = wave((2, 2), (0, 4), (4, 0), (0, 4))
PAPER = {"value": "fresh", "one": "minimum", "explore_share": 0.2}


@pytest.mark.parametrize(
    ("rules", "wanted"),
    [
        ({"zero": "skip"}, [10, 0, 0, 0]),
        ({"zero": "minimum"}, [10, 0, 0, 0]),
        ({"zero": "minimum", "n_min": 5}, [7, 1, 1, 1]),
        ({"zero": "skip", "n_min": 5}, [9, 0, 1, 0]),
        ({"zero": "skip", "one": "skip", "n_min": 5}, [10, 0, 0, 0]),
        ({"zero": "explore", "explore_share": 0.5}, [5, 3, 0, 2]),
        ({"zero": "explore", "explore_share": 0.0}, [10, 0, 0, 0]),
        ({"zero": "explore", "explore_share": 1.0}, [0, 5, 0, 5]),
        # What the mixed problem cannot take goes to those never solved.
        ({"zero": "explore", "explore_share": 0.2, "n_max": 8}, [4, 3, 0, 3]),
        ({"method": "uniform"}, [3, 3, 2, 2]),
    ],
)
def test_rules_by_hand(rules, wanted):
    assert allocate(FOUR, 10, Rules(**{**PAPER, **rules})).tolist() == wanted


def test_what_was_seen_counts_by_hand():
    # Half of the budget for those never solved; the mixed one gains nothing more; the one always solved gets the rest.
    assert allocate(FOUR, 10, Rules()).tolist() == [0, 3, 5, 2]
    assert allocate(FOUR, 10, Rules(n_min=5)).tolist() == [1, 3, 4, 2]
    # Nobody gains, and nothing is spent.
    assert allocate(wave((1, 3), (2, 2)), 10, Rules()).tolist() == [0, 0]


def test_smoothed_pass_rates_of_zero_compete_if_asked():
    # Jeffreys: p = .1, value of the fifth rollout (.1^4 .9 + .9^4 .1) .1 .81; of p = .5: 2 x .5^5 x .125.
    extra = allocate(wave((2, 2), (0, 4)), 12, Rules(value="fresh", zero="posterior"))
    assert extra.sum() == 12 and extra[0] > 0 and extra[1] > 0
    gains = {0: lambda n: 2 * 0.5 ** (n + 1) * 0.125, 1: lambda n: (0.1**n * 0.9 + 0.9**n * 0.1) * 0.1 * 0.81}
    last = [gains[i](4 + e - 1) for i, e in enumerate(extra.tolist())]
    following = [gains[i](4 + e) for i, e in enumerate(extra.tolist())]
    assert min(last) >= max(following)  # no rollout would gain more with the other one


def test_perfect_problems_have_a_rule_of_their_own():
    groups = wave((2, 2), (4, 0))
    assert allocate(groups, 40, Rules(value="fresh", one="minimum")).tolist() == [40, 0]
    assert allocate(groups, 40, Rules(value="fresh"))[1] > 0


def test_too_small_for_the_minimum_is_an_error():
    with pytest.raises(ValueError, match="the least counts alone take 16 of a budget of 10"):
        allocate(FOUR, 10, Rules(n_min=8))


def test_tokens_are_spent_where_they_gain_most():
    # Equal problems, one with rollouts five times as long: the short one is sampled more.
    groups = wave((2, 2), (2, 2), cost=[500, 100])
    for solver in ("exact", "greedy", "auto"):
        extra = allocate(groups, 1000, Rules(value="fresh", solver=solver))
        assert extra @ np.array([500, 100]) <= 1000
        assert extra[1] > extra[0]


def test_forecast_by_hand():
    groups = wave((2, 2), (4, 0), (0, 4), (0, 4))
    found = mixed_forecast(groups, np.array([0, 1, 2, 0]))
    # 4 of 4 under Beta(1/2, 1/2): another right one with 4.5/5, then 5.5/6.
    assert found == pytest.approx([1, 1 - 0.9, 1 - 0.9 * 5.5 / 6, 0])
    unknown = Wave(np.array([3]), np.array([0]), np.array([0]), np.array([1]))
    assert np.isnan(mixed_forecast(unknown, np.array([2]))).all()


def test_the_forecast_is_right_on_average():
    """Pass rates from the prior itself: the share of groups that become mixed is the mean forecast."""
    rng = np.random.default_rng(0)
    p = rng.beta(0.5, 0.5, 20_000)
    correct = rng.binomial(4, p)
    groups = Wave(np.full(20_000, 4), correct, 4 - correct, np.ones(20_000, np.int64))
    extra = allocate(groups, 40_000, Rules(zero="posterior", one="posterior", value="seen", n_max=16))
    after = correct + rng.binomial(extra, p)
    mixed = (after > 0) & (after < 4 + extra)
    before = ((correct > 0) & (correct < 4)).mean()
    assert mixed.mean() == pytest.approx(mixed_forecast(groups, extra).mean(), abs=0.01)
    assert mixed.mean() > before + 0.05


@pytest.mark.parametrize(("n", "per"), [(4, 4), (4, 12), (8, 8)])
@pytest.mark.parametrize("prior", [(0.5, 0.5), (0.3, 0.3), (1, 1), (0.4, 1.2)])
def test_the_defaults_make_more_groups_mixed_than_the_same_for_all(prior, n, per):
    """Whatever the population of pass rates: U-shaped, very U-shaped, flat, hard."""
    rng = np.random.default_rng(1)
    p = rng.beta(*prior, 8000)
    correct = rng.binomial(n, p)
    groups = Wave(np.full(8000, n), correct, n - correct, np.ones(8000, np.int64))
    share = {}
    for method in ("knapsack", "uniform"):
        extra = allocate(groups, per * 8000, Rules(method=method))
        assert extra.sum() == per * 8000
        after = correct + np.random.default_rng(2).binomial(extra, p)
        share[method] = ((after > 0) & (after < n + extra)).mean()
    assert share["knapsack"] > share["uniform"] + 0.005


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)).filter(sum), min_size=1, max_size=12),
    st.integers(0, 60),
    st.sampled_from(["skip", "minimum", "explore", "posterior"]),
    st.sampled_from(["skip", "minimum", "posterior"]),
    st.sampled_from(["fresh", "seen"]),
    st.integers(0, 3),
    st.integers(3, 20),
)
def test_bounds_and_budget_hold_whatever_the_rules(groups, budget, zero, one, value, n_min, n_max):
    first = wave(*groups)
    rules = Rules(value=value, zero=zero, one=one, n_min=n_min, n_max=n_max)
    least = int(np.maximum(n_min - first.n, 0).sum())
    if budget < least:
        budget += least
    extra = allocate(first, budget, rules)
    total = first.n + extra
    assert (extra >= 0).all() and extra.sum() <= budget
    assert (total <= np.maximum(first.n, n_max)).all()
    skipped = ((first.correct == 0) & (zero == "skip")) | ((first.wrong == 0) & (one == "skip"))
    assert (extra[skipped] == 0).all() and (total[~skipped] >= np.minimum(n_min, total[~skipped])).all()
    assert (total[~skipped] >= n_min).all()
