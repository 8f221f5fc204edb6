"""Votes of a group on its own answer.

Invariants: nothing depends on the order of the rollouts (sums are exact, tied ranks share their votes); a winner has
more votes than every other class and at least the share that is asked for, or nobody won, and it is said why.

Plurality over samples is self-consistency (Wang et al. 2023), and as pseudo-labels TTRL (Zuo et al. 2025). Borda
weights by confidence are those of Kang et al. 2025, "Scalable Best-of-N Selection for Large Language Models via
Self-Certainty": rank r of N gives (N - r + 1)^p votes; p = 0 is plurality. Shares and thresholds are our default.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_SAME = 1e-9  # relative difference below which two sums of votes are a tie


@dataclass(frozen=True, slots=True)
class Election:
    """`winner` is a class, or None with the `reason` (too_few, tie, undecided); `shares` are of the votes, by class."""

    winner: int | None
    reason: str | None
    shares: dict[int, float]
    best: float

    def share(self, label: int) -> float:
        return self.shares.get(label, 0.0)


def borda_votes(confidences: Sequence[float], power: float) -> list[float]:
    """(N - r + 1)^power for each, rank 1 the most confident; equal ones share the mean of their ranks' votes."""
    n = len(confidences)
    places: dict[float, list[int]] = defaultdict(list)
    for rank, value in enumerate(sorted(confidences, reverse=True), 1):
        places[value].append(rank)
    votes = {
        value: math.fsum((n - rank + 1) ** power for rank in ranks) / len(ranks) for value, ranks in places.items()
    }
    return [votes[value] for value in confidences]


def merged(n: int, equal: Iterable[tuple[int, int]]) -> list[int]:
    """Labels of `n` answers after merging equal ones, each class labelled by its smallest member."""
    label = list(range(n))

    def root(of: int) -> int:
        while label[of] != of:
            of = label[of]
        return of

    for one, other in equal:
        low, high = sorted((root(one), root(other)))
        label[high] = low
    return [root(i) for i in range(n)]


def elect(ballots: Sequence[tuple[int, float]], min_votes: int, min_share: float) -> Election:
    """Count ballots.

    Args:
        ballots: a class and a weight of 0 or more for each rollout that votes.
        min_votes: ballots below which nobody wins.
        min_share: share of all votes that the winner needs, in (0, 1].
    """
    weights: dict[int, list[float]] = defaultdict(list)
    for label, weight in ballots:
        weights[label].append(weight)
    sums = {label: math.fsum(given) for label, given in sorted(weights.items())}
    total = math.fsum(weight for _, weight in ballots)
    shares = {label: votes / total for label, votes in sums.items()} if total > 0 else {}
    if len(ballots) < min_votes or not shares:
        return Election(None, "too_few", shares, max(shares.values(), default=0.0))
    ranked = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    winner, best = ranked[0]
    if len(ranked) > 1 and best - ranked[1][1] <= _SAME * best:
        return Election(None, "tie", shares, best)
    if best < min_share * (1 - _SAME):
        return Election(None, "undecided", shares, best)
    return Election(winner, None, shares, best)
