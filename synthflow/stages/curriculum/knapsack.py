"""Dividing a sampling budget among problems: uniform, greedy knapsack, exact knapsack.

Invariants: every count lies between its problem's bounds; what is added costs no more than the budget; nothing is spent
where nothing is gained; among equals the problem that comes first is served first. So the same arguments give the same
counts.

Source: Knapsack RL (arXiv 2509.25849), of which we have the form that its reviews give: the value of N rollouts of a
problem with pass rate p is ProbNonZeroGradient(N, p) · InfoGain(p), with ProbNonZeroGradient = 1 - p^N - (1 - p)^N
(some rollout is right and some is wrong, so that a group-relative advantage is not zero) and InfoGain about
p (1 - p)^2; the total is maximised by dynamic programming. Ours: the smoothing of p, `seen_value`, the greedy
algorithm and when it may be trusted.

**When greedy is exact.** From N = 1 on, each further rollout gains p^N (1 - p) + (1 - p)^N p, which falls with N: with
equal costs the largest gains are the best choice. From N = 0 it is not so: the first rollout gains nothing and opens
the way to the second, and a greedy rule takes it for worthless.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

JEFFREYS = 0.5
"""Pseudo-counts of right and of wrong rollouts in the Jeffreys prior of a proportion, Beta(1/2, 1/2)."""

MOST_CELLS = 1 << 26
"""Largest table of the exact solver, problems times units of budget (2 bytes each); our default."""


def information_gain(p: ArrayLike) -> Floats:
    """p (1 - p)^2: what an update on a mixed group adds to the pass rate, about. Largest, 4/27, at p = 1/3."""
    rate = np.asarray(p, np.float64)
    return np.asarray(rate * (1.0 - rate) ** 2, np.float64)


def smoothed(correct: ArrayLike, judged: ArrayLike, prior: float = JEFFREYS) -> Floats:
    """Mean of the posterior of a pass rate under Beta(prior, prior): (k + a) / (n + 2a). NaN where both are 0.

    Our default is the Jeffreys prior, so that 0 of 4 is .1 and 4 of 4 is .9; prior 0 is the pass rate itself.
    """
    k, n = np.asarray(correct, np.float64), np.asarray(judged, np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray((k + prior) / (n + 2 * prior), np.float64)


class Valued(Protocol):
    """What total counts of a problem's rollouts are worth."""

    def at(self, problem: int, counts: ArrayLike) -> Floats: ...

    def gain(self, problem: int, count: int) -> float: ...


@dataclass(frozen=True)
class Value:
    """What N rollouts of each problem are worth: weight · (1 - right · p^(N - seen) - wrong · (1 - p)^(N - seen)).

    All arrays have shape (problems,). `right` and `wrong` are 1 where all rollouts being right (wrong) is still
    possible, else 0; `seen` are the rollouts whose verdicts are known already.
    """

    p: Floats
    weight: Floats
    right: Floats
    wrong: Floats
    seen: Floats

    def at(self, problem: int, counts: ArrayLike) -> Floats:
        """Value of these total counts of one problem; never below 0."""
        m = np.asarray(counts, np.float64) - self.seen[problem]
        p = self.p[problem]
        chance = 1.0 - self.right[problem] * p**m - self.wrong[problem] * (1.0 - p) ** m
        return np.asarray(self.weight[problem] * np.maximum(chance, 0.0), np.float64)

    def gain(self, problem: int, count: int) -> float:
        """What one rollout more than `count` adds: without the cancellation that a difference of values has."""
        p, m = float(self.p[problem]), count - float(self.seen[problem])
        right, wrong = float(self.right[problem]), float(self.wrong[problem])
        if right + wrong > 1.0 and m == 0:
            return 0.0  # a single rollout is never mixed
        return float(self.weight[problem] * (right * p**m * (1.0 - p) + wrong * (1.0 - p) ** m * p))

    def total(self, counts: Ints) -> float:
        """Sum over all problems. Shape of `counts`: (problems,)."""
        return float(sum(float(self.at(j, n)) for j, n in enumerate(counts.tolist())))


def fresh_value(p: ArrayLike) -> Value:
    """ProbNonZeroGradient(N, p) · InfoGain(p), of N rollouts of which nothing is known yet (see the module)."""
    rate = np.asarray(p, np.float64)
    one = np.ones_like(rate)
    return Value(rate, information_gain(rate), one, one, np.zeros_like(rate))


def seen_value(p: ArrayLike, correct: ArrayLike, wrong: ArrayLike, n: ArrayLike) -> Value:
    """The same of groups of which `n` rollouts are known (ours): a group that is mixed already can gain nothing more.

    With all n right so far, N rollouts are mixed with probability 1 - p^(N - n); with all wrong, 1 - (1 - p)^(N - n).
    """
    rate = np.asarray(p, np.float64)
    has_right, has_wrong = np.asarray(correct) > 0, np.asarray(wrong) > 0
    right, none_right = (~has_wrong).astype(np.float64), (~has_right).astype(np.float64)
    return Value(rate, information_gain(rate), right, none_right, np.asarray(n, np.float64))


@dataclass(frozen=True)
class Room:
    """Between what each problem has and what it may have. All arrays have shape (problems,), whole numbers.

    `start` rollouts are there and paid for; the answer lies in [lower, upper], lower >= start; one costs `cost`.
    """

    start: Ints
    lower: Ints
    upper: Ints
    cost: Ints

    @staticmethod
    def of(start: ArrayLike, lower: ArrayLike, upper: ArrayLike, cost: ArrayLike = 1) -> Room:
        """Bounds are raised to `start` where they lie below it.

        Raises:
            ValueError: for a cost below 1, or upper bounds below lower ones.
        """
        arrays = np.broadcast_arrays(*(np.asarray(a, np.int64) for a in (start, lower, upper, cost)))
        first, low, high, price = (np.array(a, np.int64) for a in arrays)
        low, high = np.maximum(low, first), np.maximum(high, first)
        if (price < 1).any():
            raise ValueError("a rollout costs at least 1")
        if (low > high).any():
            raise ValueError("a problem's least count lies above its largest")
        return Room(first, low, high, price)

    def left(self, budget: int) -> int:
        """What remains of a budget once every problem has its least count.

        Raises:
            ValueError: if that alone takes more than the budget.
        """
        least = int(((self.lower - self.start) * self.cost).sum())
        if least > budget:
            raise ValueError(f"the least counts alone take {least} of a budget of {budget}")
        return budget - least

    def spent(self, counts: Ints) -> int:
        return int(((counts - self.start) * self.cost).sum())


def uniform(room: Room, budget: int) -> Ints:
    """As many further rollouts for every problem above its least count as the budget and its largest count allow.

    What is left when one more for all is too much goes to the first problems, one each.
    """
    left = room.left(budget)
    width = room.upper - room.lower

    def price(level: int) -> int:
        return int((np.minimum(width, level) * room.cost).sum())

    low, high = 0, int(width.max(initial=0))
    while low < high:  # the highest level that the budget pays
        middle = (low + high + 1) // 2
        low, high = (middle, high) if price(middle) <= left else (low, middle - 1)
    counts: Ints = room.lower + np.minimum(width, low)
    left -= price(low)
    rest = np.flatnonzero(counts < room.upper)
    for problem in rest.tolist():  # fewer than one for each: what a problem costs decides whether the next has room
        if room.cost[problem] <= left:
            counts[problem] += 1
            left -= int(room.cost[problem])
    return counts


def knapsack_greedy(value: Valued, room: Room, budget: int) -> Ints:
    """Always the rollout that gains most for its cost. Exact for equal costs and least counts of 1 or more.

    Otherwise a heuristic: with unequal costs by density, as is usual for knapsacks.
    """
    left = room.left(budget)
    counts = room.lower.copy()
    cost, most = room.cost.tolist(), room.upper.tolist()
    heap = []
    for problem, count in enumerate(counts.tolist()):
        if count < most[problem]:
            heap.append((-value.gain(problem, count) / cost[problem], problem, count))
    heapq.heapify(heap)
    while heap and left > 0:  # one at a time: what the next rollout gains depends on those before it
        density, problem, count = heapq.heappop(heap)
        if density >= 0:
            break
        if cost[problem] > left:
            continue
        left -= cost[problem]
        counts[problem] = count + 1
        if count + 1 < most[problem]:
            heapq.heappush(heap, (-value.gain(problem, count + 1) / cost[problem], problem, count + 1))
    return counts


def knapsack_exact(value: Valued, room: Room, budget: int, unit: int = 1) -> Ints:
    """The best counts, by dynamic programming over the budget: one group of choices a problem.

    Args:
        unit: costs are rounded up to multiples of it, which bounds the table and keeps within the budget; 1 is exact.

    Raises:
        ValueError: if the table would have more than `MOST_CELLS` cells.
    """
    left = room.left(budget) // unit
    cost = -(-room.cost // unit)
    problems = len(room.start)
    left = min(left, int(((room.upper - room.lower) * cost).sum()))
    if problems * (left + 1) > MOST_CELLS:
        raise ValueError(f"{problems} problems times {left + 1} units of budget are more than {MOST_CELLS} cells")
    best = np.zeros(left + 1)
    chosen = np.zeros((problems, left + 1), np.int16)
    for problem in range(problems):
        low, price = int(room.lower[problem]), int(cost[problem])
        most = min(int(room.upper[problem]) - low, left // price)
        worth = value.at(problem, low + np.arange(most + 1))
        found = best + worth[0]
        for more in range(1, most + 1):
            candidate = best[: left + 1 - more * price] + worth[more]
            here = found[more * price :]
            better = candidate > here
            here[better] = candidate[better]
            chosen[problem, more * price :][better] = more
        best = found
    counts = room.lower.copy()
    at = left
    for problem in reversed(range(problems)):
        more = int(chosen[problem, at])
        counts[problem] += more
        at -= more * int(cost[problem])
    return counts
