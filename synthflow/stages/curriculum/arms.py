"""SEC's bandit over categories of problems, as a pure function: which problem comes when, and what each arm was worth.

Invariants: every problem is drawn once; the trace is a function of the arms, the pass rates, the settings and the seed;
Q of an arm changes only by a batch in which it was drawn.

Source: Self-Evolving Curriculum (SEC): a non-stationary bandit whose arms are categories of problems, rewarded with
the absolute advantage and updated by TD(0), Q <- (1 - a) Q + a r. Ours: with a binary reward and advantages normalised
by the group's standard deviation, E|A| = 2 sqrt(p (1 - p)) for pass rate p, so that rewards follow from pass rates
without a trainer; arms are drawn from the Boltzmann distribution exp(Q / temperature) over those that have problems
left; Q begins at 0 or at what an earlier round ended with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from synthflow.ids import digest
from synthflow.stages.curriculum.knapsack import Floats, Ints


def expected_advantage(p: ArrayLike) -> Floats:
    """2 sqrt(p (1 - p)): mean absolute group-normalised advantage of binary rewards (our derivation).

    The right ones, a share p, have advantage (1 - p) / s and the wrong ones -p / s with s = sqrt(p (1 - p)); so the
    mean of |A| is 2 p (1 - p) / s. 0 at p = 0 and 1, largest, 1, at 1/2.
    """
    rate = np.asarray(p, np.float64)
    return np.asarray(2.0 * np.sqrt(rate * (1.0 - rate)), np.float64)


@dataclass(frozen=True)
class Settings:
    """Of the bandit: step size a of the update, temperature of the draw, problems a batch, Q to begin with."""

    learning_rate: float
    temperature: float
    batch: int
    seed: int
    start: Mapping[str, float]


@dataclass(frozen=True)
class Trace:
    """One entry a draw, in order. Shape of all arrays: (problems,).

    `problem` is the index drawn, `arm` its arm's index, `p` the chance with which the arm was drawn, `q` the arm's Q
    after the batch, `batch` its number.
    """

    problem: Ints
    arm: Ints
    p: Floats
    q: Floats
    batch: Ints


def play(queues: Sequence[Ints], names: Sequence[str], rewards: Floats, settings: Settings) -> Trace:
    """Draw every problem once, batch by batch.

    Args:
        queues: of each arm the indices of its problems, in the order in which they are taken.
        names: of the arms, for `settings.start`.
        rewards: of each problem.
    """
    q = np.array([settings.start.get(name, 0.0) for name in names], np.float64)
    left = np.array([len(queue) for queue in queues], np.int64)
    taken = np.zeros_like(left)
    total = int(left.sum())
    problem, arm, batch = (np.zeros(total, np.int64) for _ in range(3))
    chance, after = np.zeros(total), np.zeros(total)
    at = 0
    while at < total:
        first = at
        sums, drawn = np.zeros(len(q)), np.zeros(len(q))
        while at < min(total, first + settings.batch):  # one after the other: an arm may run out within a batch
            p = boltzmann(q, settings.temperature, left > 0)
            chosen = _draw(p, settings.seed, at)
            index = int(queues[chosen][taken[chosen]])
            problem[at], arm[at], chance[at], batch[at] = index, chosen, p[chosen], first // settings.batch
            taken[chosen] += 1
            left[chosen] -= 1
            sums[chosen] += rewards[index]
            drawn[chosen] += 1
            at += 1
        seen = drawn > 0
        a = settings.learning_rate
        q[seen] = (1 - a) * q[seen] + a * sums[seen] / drawn[seen]
        after[first:at] = q[arm[first:at]]
    return Trace(problem, arm, chance, after, batch)


def boltzmann(q: Floats, temperature: float, open_: ArrayLike) -> Floats:
    """exp(Q / temperature) over the open arms, normalised; 0 for the others. At least one is open."""
    scaled = np.where(open_, q / temperature, -np.inf)
    weights = np.exp(scaled - scaled.max())
    return np.asarray(weights / weights.sum(), np.float64)


def _draw(p: Floats, seed: int, number: int) -> int:
    """The arm of draw `number`: a uniform number from H(seed, number) against the cumulated chances."""
    u = (int(digest(f"bandit:{seed}:{number}")[:13], 16) + 0.5) / 2.0**52
    chosen = int(np.searchsorted(np.cumsum(p), u, side="right"))
    return min(chosen, int(np.flatnonzero(p)[-1]))  # the sum may fall short of 1 by rounding
