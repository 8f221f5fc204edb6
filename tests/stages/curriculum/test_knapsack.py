"""Dividing a budget: hand-worked values, and the solvers against each other and against all possible answers."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.stages.curriculum import knapsack as b
from synthflow.stages.curriculum.knapsack import Room, fresh_value, knapsack_exact, knapsack_greedy, seen_value, uniform


def brute_force(value, room, budget):
    """The largest value of any counts that the budget pays."""
    ranges = [range(low, high + 1) for low, high in zip(room.lower, room.upper, strict=True)]
    paid = (np.array(c) for c in itertools.product(*ranges) if room.spent(np.array(c)) <= budget)
    return max(value.total(counts) for counts in paid)


def test_hand_worked_values():
    # p = 1/4, N = 4: 1 - 1/256 - 81/256 = 174/256; p (1 - p)^2 = 9/64.
    assert b.information_gain(0.25) == pytest.approx(9 / 64)
    value = fresh_value([0.25])
    assert value.at(0, 4) / b.information_gain(0.25) == pytest.approx(174 / 256)
    assert value.at(0, 4) == pytest.approx(174 / 256 * 9 / 64)
    # From 4 to 5: p^4 (1 - p) + (1 - p)^4 p = 3/1024 + 81/1024.
    assert value.gain(0, 4) == pytest.approx(84 / 1024 * 9 / 64)
    assert (value.at(0, 0), value.at(0, 1), value.gain(0, 0)) == (0, 0, 0)
    assert value.gain(0, 1) == pytest.approx(2 * 0.25 * 0.75 * 9 / 64)
    assert fresh_value([0.0, 1.0]).total(np.array([9, 9])) == 0
    assert b.information_gain(1 / 3) == pytest.approx(4 / 27)


def test_smoothing_by_hand():
    assert b.smoothed([0, 4, 2], [4, 4, 4]) == pytest.approx([0.1, 0.9, 0.5])
    assert b.smoothed([0, 3], [4, 4], 0.0) == pytest.approx([0.0, 0.75])
    assert b.smoothed([1], [2], 1.0) == pytest.approx([0.5])
    assert np.isnan(b.smoothed([0], [0], 0.0)).all()


def test_what_was_seen_counts():
    # Mixed; all four right; all four wrong, at p = .5, .9, .1. One more is mixed with .1 in both.
    value = seen_value([0.5, 0.9, 0.1], [2, 4, 0], [2, 0, 4], [4, 4, 4])
    assert [float(value.at(i, 4)) for i in range(3)] == pytest.approx([0.125, 0, 0])
    assert value.gain(0, 4) == 0
    assert value.gain(1, 4) == pytest.approx(0.1 * 0.9 * 0.01)
    assert value.gain(2, 4) == pytest.approx(0.1 * 0.1 * 0.81)
    assert value.at(2, 6) == pytest.approx((1 - 0.81) * 0.1 * 0.81)


@settings(deadline=None)
@given(st.floats(0, 1), st.integers(0, 40))
def test_gains_are_differences_of_values(p, n):
    value = fresh_value([p])
    assert value.gain(0, n) == pytest.approx(float(value.at(0, n + 1) - value.at(0, n)), abs=1e-12)
    if n >= 1:
        assert value.gain(0, n + 1) <= value.gain(0, n) + 1e-15  # concave from the first rollout on


def instance(rng, least, costs=(1,)):
    problems = rng.randint(1, 4)
    room = Room.of([0] * problems, least, [least + rng.randint(0, 5) for _ in range(problems)],
                   [rng.choice(costs) for _ in range(problems)])  # fmt: skip
    minimum = int((room.lower * room.cost).sum())
    return (
        fresh_value([rng.choice([0.0, 0.05, 0.2, 0.5, 0.77, 0.95, 1.0]) for _ in range(problems)]),
        room,
        (minimum + rng.randint(0, 14)),
    )


@pytest.mark.parametrize("least", [1, 2])
def test_greedy_is_exact_for_equal_costs_from_one_rollout_on(least):
    rng = random.Random(least)
    for _ in range(150):
        value, room, total = instance(rng, least)
        best = brute_force(value, room, total)
        for counts in (knapsack_exact(value, room, total), knapsack_greedy(value, room, total)):
            assert value.total(counts) == pytest.approx(best, abs=1e-12)
            assert (room.lower <= counts).all() and (counts <= room.upper).all() and room.spent(counts) <= total


def test_exact_is_exact_with_unequal_costs_and_from_zero():
    rng, worse = random.Random(5), 0
    for _ in range(200):
        value, room, total = instance(rng, rng.choice([0, 0, 1]), costs=(1, 2, 3, 5))
        best = brute_force(value, room, total)
        counts = knapsack_exact(value, room, total)
        assert value.total(counts) == pytest.approx(best, abs=1e-12) and room.spent(counts) <= total
        greedy = knapsack_greedy(value, room, total)
        assert room.spent(greedy) <= total
        worse += value.total(greedy) < best - 1e-9
    assert worse > 50  # so that agreement is not for want of difference


def test_from_zero_greedy_does_not_even_begin():
    # Two problems at p = 1/2 and four rollouts: the first of a problem gains nothing, two are mixed half the time.
    value, room = fresh_value([0.5, 0.5]), Room.of([0, 0], 0, 4)
    assert knapsack_greedy(value, room, 4).tolist() == [0, 0]
    counts = knapsack_exact(value, room, 4)
    assert counts.tolist() == [2, 2]
    assert value.total(counts) == pytest.approx(2 * 0.5 * 0.125)  # four rollouts of one problem: 7/8 x 1/8


def test_seen_groups_need_no_least_count():
    rng = random.Random(11)
    for _ in range(100):
        n = [rng.randint(1, 3) for _ in range(3)]
        correct = [rng.choice([0, k, k // 2]) for k in n]
        value = seen_value(b.smoothed(correct, n), correct, np.array(n) - correct, n)
        room = Room.of(n, 0, [k + rng.randint(0, 4) for k in n])
        total = rng.randint(0, 8)
        assert value.total(knapsack_greedy(value, room, total)) == pytest.approx(brute_force(value, room, total))


def test_uniform_by_hand():
    assert uniform(Room.of([0, 0, 0], 0, 9), 7).tolist() == [3, 2, 2]
    assert uniform(Room.of([4, 4, 4], 0, [4, 5, 9]), 4).tolist() == [4, 5, 7]
    assert uniform(Room.of([0, 0], 1, 5), 2).tolist() == [1, 1]
    assert uniform(Room.of([0, 0], 0, 2), 100).tolist() == [2, 2]
    assert uniform(Room.of([0, 0, 0], 0, 9, [5, 1, 1]), 10).tolist() == [1, 2, 2]
    assert uniform(Room.of([], [], []), 3).tolist() == []


@pytest.mark.parametrize("solve", [uniform, lambda r, t: knapsack_greedy(fresh_value([0.5, 0.5]), r, t),
                                   lambda r, t: knapsack_exact(fresh_value([0.5, 0.5]), r, t)])  # fmt: skip
def test_a_budget_below_the_least_counts_is_refused(solve):
    with pytest.raises(ValueError, match="the least counts alone take 8 of a budget of 7"):
        solve(Room.of([0, 0], 2, 4, 2), 7)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="costs at least 1"):
        Room.of([0], 0, 1, 0)
    with pytest.raises(ValueError, match="above its largest"):
        Room.of([0], 3, 2)
    with pytest.raises(ValueError, match="cells"):
        knapsack_exact(fresh_value(np.full(100, 0.5)), Room.of(np.zeros(100), 0, 10_000, 1000), 10**9)


def test_equals_are_served_in_order_and_nothing_is_spent_for_nothing():
    value = fresh_value([0.5, 0.5, 0.5])
    assert knapsack_greedy(value, Room.of([2, 2, 2], 0, 9), 4).tolist() == [4, 3, 3]
    assert knapsack_greedy(fresh_value([1.0, 0.0]), Room.of([2, 2], 0, 9), 6).tolist() == [2, 2]


def test_coarser_units_keep_within_the_budget():
    rng = np.random.default_rng(3)
    value = fresh_value(rng.uniform(size=20))
    room = Room.of(np.ones(20), 1, 12, rng.integers(50, 200, 20))
    exact = knapsack_exact(value, room, 6000)
    coarse = knapsack_exact(value, room, 6000, unit=10)
    assert room.spent(coarse) <= 6000
    assert 0.97 * value.total(exact) < value.total(coarse) <= value.total(exact)
