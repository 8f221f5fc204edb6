"""A prior fitted to the first wave: what it finds, what rollouts are then worth, and that it beats an even split."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.stages.curriculum.allocation import Rules, Wave, allocate, mixed_forecast
from synthflow.stages.curriculum.budget import BudgetConfig
from synthflow.stages.curriculum.fitted import FEWEST, ExpectedValue, fit_beta
from synthflow.stages.curriculum.knapsack import Room, knapsack_exact, knapsack_greedy

WORLDS = {"ends": (0.19, 0.45), "even": (0.5, 0.5), "middle": (2.0, 2.0), "hard": (0.3, 1.5), "easy": (3.0, 1.0)}
PROBLEMS, FIRST, MORE = 200, 4, 8


@pytest.mark.parametrize("world", WORLDS)
def test_the_distribution_is_found_again(world: str) -> None:
    a, b = WORLDS[world]
    rng = np.random.default_rng(1)
    judged = rng.integers(3, 9, 5_000)
    found = fit_beta(rng.binomial(judged, rng.beta(a, b, 5_000)), judged)
    assert found == pytest.approx((a, b), rel=0.15)


def test_few_problems_say_nothing_of_a_distribution() -> None:
    assert fit_beta([4] * (FEWEST - 1), [4] * (FEWEST - 1)) == (0.5, 0.5)
    assert fit_beta([4] * FEWEST, [4] * FEWEST) == fit_beta([4] * FEWEST + [0], [4] * FEWEST + [0]) != (0.5, 0.5)


def test_the_likeliest_beta_by_hand() -> None:
    """Of single rollouts only the mean shows; half of them right is likeliest under a mean of one half."""
    a, b = fit_beta([0, 1] * 20, [1] * 40)
    assert a / (a + b) == pytest.approx(0.5, abs=1e-3)


def test_a_value_by_hand() -> None:
    """Uniform prior, 1 of 1 right: Beta(2, 1), which the weight p (1 - p)^2 makes Beta(3, 3): E[p] 3/6, E[p^2] 2/7."""
    value = ExpectedValue(*(np.array([x]) for x in (2.0, 1.0, 1.0, 0.0, 1.0)))
    weight = 2 * 1 * 2 / (3 * 4 * 5)
    assert value.at(0, [1, 2, 3]) == pytest.approx([0.0, weight * (1 - 3 / 6), weight * (1 - 3 / 6 * 4 / 7)])


SIDES = st.floats(0.05, 20)


@settings(max_examples=100, deadline=None)
@given(a=SIDES, b=SIDES, right=st.booleans(), wrong=st.booleans(), seen=st.integers(0, 5))
def test_gains_are_differences_of_values_and_fall(a: float, b: float, right: bool, wrong: bool, seen: int) -> None:
    seen = 0 if right and wrong else seen
    value = ExpectedValue(*(np.array([float(x)]) for x in (a, b, right, wrong, seen)))
    counts = np.arange(seen, seen + 20)
    at = value.at(0, counts)
    gains = [value.gain(0, int(count)) for count in counts[:-1]]
    assert np.diff(at) == pytest.approx(gains, abs=1e-12)
    falling = gains[1:] if right and wrong else gains
    assert all(x >= y - 1e-15 for x, y in pairwise(falling)) and min(gains) >= 0


def test_greedy_is_exact() -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        correct = rng.integers(0, 5, 6)
        sides = [np.where(correct < 4, 0.0, 1.0), np.where(correct > 0, 0.0, 1.0), np.full(6, 4.0)]
        value = ExpectedValue(0.2 + correct, 0.4 + 4 - correct, *sides)
        room = Room.of(np.full(6, 4), 4, 12)
        budget = int(rng.integers(1, 25))
        greedy, exact = knapsack_greedy(value, room, budget), knapsack_exact(value, room, budget)
        assert value.total(greedy) == pytest.approx(value.total(exact))


def becomes_mixed(p: np.ndarray, wave: Wave, extra: np.ndarray) -> float:
    """Expected share of groups that are mixed after `extra` more, of problems whose rates are known."""
    stays_right = np.where(wave.wrong == 0, p**extra, 0.0)
    stays_wrong = np.where(wave.correct == 0, (1 - p) ** extra, 0.0)
    return float(np.mean(1 - stays_right - stays_wrong))


@pytest.mark.parametrize("world", WORLDS)
def test_at_equal_samples_more_groups_become_mixed_than_evenly_and_as_many_as_forecast(world: str) -> None:
    """The mean over twenty first waves, of rates that only the test knows."""
    fitted, even = Rules(prior="fitted", zero="posterior"), Rules(method="uniform")
    shares, forecasts = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        p = rng.beta(*WORLDS[world], PROBLEMS)
        correct = rng.binomial(FIRST, p)
        wave = Wave(np.full(PROBLEMS, FIRST), correct, FIRST - correct, np.ones(PROBLEMS, np.int64))
        given = {name: allocate(wave, MORE * PROBLEMS, rules) for name, rules in (("fitted", fitted), ("even", even))}
        assert {int(extra.sum()) for extra in given.values()} == {MORE * PROBLEMS}
        shares.append([becomes_mixed(p, wave, extra) for extra in given.values()])
        forecasts.append(np.nanmean(mixed_forecast(wave, given["fitted"], "fitted")))
    of_fitted, of_even = np.mean(shares, axis=0)
    assert of_fitted > of_even + 0.01
    assert np.mean(forecasts) == pytest.approx(of_fitted, abs=0.02)


def test_the_jeffreys_prior_forecasts_too_much_at_the_ends() -> None:
    rng = np.random.default_rng(0)
    p = rng.beta(*WORLDS["ends"], 2_000)
    correct = rng.binomial(FIRST, p)
    wave = Wave(np.full(2_000, FIRST), correct, FIRST - correct, np.ones(2_000, np.int64))
    extra = allocate(wave, MORE * 2_000, Rules(prior="fitted", zero="posterior"))
    share = becomes_mixed(p, wave, extra)
    assert np.nanmean(mixed_forecast(wave, extra)) > share + 0.08
    assert np.nanmean(mixed_forecast(wave, extra, "fitted")) == pytest.approx(share, abs=0.02)


def test_it_is_asked_for() -> None:
    config = {"use": "curriculum.budget", "of": "rates", "rollouts_per_problem": 4}
    assert BudgetConfig(**config).prior == 0.5 and BudgetConfig(**config, prior="fitted").rules().prior == "fitted"
    with pytest.raises(ValueError, match="fitted"):
        BudgetConfig(**config, prior="flat")
