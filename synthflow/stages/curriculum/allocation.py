"""From what a first wave has shown to how many further rollouts each problem gets.

Invariants: a count depends on the verdicts and costs of all problems, and on their order among equals only; every
problem ends between `n_min` and `n_max` rollouts (or at what it has, if that is more), except that `skip` gives none;
what is added costs no more than the budget.

A pass rate of 0 or 1 has value 0 in Knapsack RL, which therefore needs a rule of its own for problems never solved
(its reviews call it a fallback and do not say which). Ours: `explore`, a reserved share of the budget that is split
evenly over them. What no other problem can take goes to them, too. The defaults are those that did best, of the ones
tried, in simulated runs (docs/curriculum.md): with `fresh`, which is the paper's form, a second wave mostly enlarges
groups that are mixed already, and fewer become mixed than if all got the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from synthflow.stages.curriculum.fitted import ExpectedValue, fit_beta
from synthflow.stages.curriculum.knapsack import (
    JEFFREYS,
    MOST_CELLS,
    Floats,
    Ints,
    Room,
    Valued,
    fresh_value,
    knapsack_exact,
    knapsack_greedy,
    seen_value,
    smoothed,
    uniform,
)

Method = Literal["knapsack", "uniform"]
Solver = Literal["auto", "greedy", "exact"]
ValueOf = Literal["fresh", "seen"]
Zero = Literal["skip", "minimum", "explore", "posterior"]
One = Literal["skip", "minimum", "posterior"]
Prior: TypeAlias = float | Literal["fitted"]
Bools = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

EXACT_WORK = 2_000_000_000
"""Most additions for which `auto` solves unequal costs exactly (some seconds); our default."""
FEWEST_UNITS = 512
"""Units of budget below which `auto` chooses greedily instead of rounding costs up to coarser ones; our default."""


@dataclass(frozen=True)
class Wave:
    """What is known of each problem before the budget is divided. All arrays have shape (problems,).

    `n` rollouts, of which `correct` and `wrong` are judged; `cost` is what one more is expected to cost, 1 or more.
    """

    n: Ints
    correct: Ints
    wrong: Ints
    cost: Ints


@dataclass(frozen=True)
class Rules:
    """How a budget is divided; the fields of `curriculum.budget` of the same names."""

    method: Method = "knapsack"
    solver: Solver = "auto"
    value: ValueOf = "seen"
    prior: Prior = JEFFREYS
    n_min: int = 0
    n_max: int = 128
    zero: Zero = "explore"
    explore_share: float = 0.5
    one: One = "posterior"


def allocate(wave: Wave, budget: int, rules: Rules) -> Ints:
    """Further rollouts of each problem. Shape (problems,).

    Raises:
        ValueError: if `n_min` alone takes more than the budget, or the exact solver is asked for what it cannot do.
    """
    room = Room.of(wave.n, rules.n_min, max(rules.n_max, rules.n_min), wave.cost)
    if rules.method == "uniform":
        return uniform(room, budget) - wave.n
    never, always = (wave.correct == 0) & (wave.wrong > 0), (wave.wrong == 0) & (wave.correct > 0)
    explored = never if rules.zero == "explore" else np.zeros_like(never)
    upper, lower = room.upper.copy(), room.lower.copy()
    for which, rule in ((never, rules.zero), (always, rules.one)):
        if rule == "skip":
            lower = np.where(which, wave.n, lower)
        if rule != "posterior":
            upper = np.where(which, lower, upper)
    closed = Room(room.start, lower, upper, room.cost)
    explored_room = Room(room.start, lower, np.where(explored, room.upper, lower), room.cost)

    least = budget - closed.left(budget)
    reserve = int((budget - least) * rules.explore_share) if explored.any() else 0
    counts = uniform(explored_room, least + reserve)
    closed = Room(room.start, counts, np.maximum(counts, upper), room.cost)
    counts = _knapsack(_value(wave, rules), closed, budget, rules.solver)
    # What the others had no use for: their counts are at their largest, or nothing is gained any more.
    rest = Room(room.start, counts, np.where(explored, room.upper, counts), room.cost)
    return uniform(rest, budget) - wave.n


def prior_of(wave: Wave, prior: Prior) -> tuple[float, float]:
    """(a, b) of the Beta prior of pass rates."""
    return fit_beta(wave.correct, wave.correct + wave.wrong) if prior == "fitted" else (prior, prior)


def _value(wave: Wave, rules: Rules) -> Valued:
    judged = wave.correct + wave.wrong
    if rules.prior == "fitted":
        a, b = prior_of(wave, rules.prior)
        known = 0 if rules.value == "fresh" else 1
        right, wrong = (np.where(known * other > 0, 0.0, 1.0) for other in (wave.wrong, wave.correct))
        seen = known * wave.n.astype(np.float64)
        return ExpectedValue(np.float64(a) + wave.correct, np.float64(b) + wave.wrong, right, wrong, seen)
    p = smoothed(wave.correct, judged, rules.prior)
    return fresh_value(p) if rules.value == "fresh" else seen_value(p, wave.correct, wave.wrong, wave.n)


def _knapsack(value: Valued, room: Room, budget: int, solver: Solver) -> Ints:
    if solver == "greedy":
        return knapsack_greedy(value, room, budget)
    even = len(set(room.cost.tolist())) <= 1
    if even and solver == "auto" and (room.lower > 0).all():
        return knapsack_greedy(value, room, budget)
    unit = int(room.cost.min(initial=1)) if even else 1
    left = room.left(budget)
    options = int((room.upper - room.lower).sum())
    if solver == "auto":
        coarse = max(-(-left * options // EXACT_WORK), -(-left * len(room.start) // (MOST_CELLS // 2)))
        unit = max(unit, coarse)
        if coarse > 1 and left // unit < FEWEST_UNITS:
            return knapsack_greedy(value, room, budget)
    counts = knapsack_exact(value, room, budget, unit)
    return knapsack_greedy(value, Room(room.start, counts, room.upper, room.cost), budget)  # what rounding left over


def mixed_forecast(wave: Wave, extra: Ints, prior: Prior = JEFFREYS) -> Floats:
    """Chance that each group has a right and a wrong rollout after `extra` more, given what it has shown.

    1 where it is mixed already; otherwise 1 less the chance that all m further ones go the same way, which under a
    Beta(a, b) prior is, for k of k right, the product over i < m of (k + a + i) / (k + a + b + i) (the Beta-binomial
    distribution), and for k of k wrong the same with b. Our default; NaN where nothing was judged. Verdicts that will
    be unknown are not foreseen.
    """
    a, b = prior_of(wave, prior)
    judged = (wave.correct + wave.wrong).astype(np.float64)
    of_its_kind = np.where(wave.wrong == 0, a, b)
    same = np.ones_like(judged)
    for i in range(int(extra.max(initial=0))):
        same = np.where(extra > i, same * (judged + of_its_kind + i) / (judged + a + b + i), same)
    mixed = (wave.correct > 0) & (wave.wrong > 0)
    return np.where(judged > 0, np.where(mixed, 1.0, 1.0 - same), np.nan)
