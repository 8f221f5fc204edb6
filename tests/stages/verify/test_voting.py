"""Votes, by hand and as properties: nothing depends on the order of the rollouts."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthflow.stages.verify.voting import borda_votes, elect, merged


def test_borda_by_hand() -> None:
    # Kang et al. 2025: rank r of N gives (N - r + 1)^p votes. Of four: 4, 3, 2, 1, to the power of 2.
    assert borda_votes([-0.1, -0.9, -0.2, -0.5], 2) == [16, 1, 9, 4]
    assert borda_votes([0.3, 0.2, 0.1], 0) == [1, 1, 1]
    # The two in the middle share (9 + 4) / 2.
    assert borda_votes([4, 2, 2, 1], 2) == [16, 6.5, 6.5, 1]
    assert borda_votes([], 1) == []


@given(st.lists(st.integers(-5, 5).map(float), max_size=12), st.floats(0, 3))
def test_borda_votes_are_shared_out_whole(values: list[float], power: float) -> None:
    votes = borda_votes(values, power)
    assert sum(votes) == pytest.approx(sum(r**power for r in range(1, len(values) + 1)))
    for a, vote_a in zip(values, votes, strict=True):
        for b, vote_b in zip(values, votes, strict=True):
            assert (a < b) <= (vote_a <= vote_b) and (a == b) <= (vote_a == vote_b)


@pytest.mark.parametrize(
    ("ballots", "min_votes", "min_share", "winner", "reason", "best"),
    [
        ([(1, 1), (1, 1), (2, 1)], 3, 0.5, 1, None, 2 / 3),
        ([(1, 1), (1, 1), (2, 1)], 3, 0.7, None, "undecided", 2 / 3),
        ([(1, 1), (2, 1), (3, 1), (1, 1)], 3, 0.5, 1, None, 0.5),
        ([(1, 1), (2, 1)], 1, 0.5, None, "tie", 0.5),
        ([(1, 1), (1, 1)], 3, 0.5, None, "too_few", 1.0),
        ([], 1, 0.5, None, "too_few", 0.0),
        ([(1, 0.0), (2, 0.0)], 1, 0.5, None, "too_few", 0.0),
        # A confident minority outweighs two doubtful ones.
        ([(1, 0.2), (1, 0.2), (2, 0.9)], 3, 0.5, 2, None, 0.9 / 1.3),
        # 0.1 + 0.2 is 0.3, whatever the last bit says.
        ([(1, 0.1), (1, 0.2), (2, 0.3)], 3, 0.1, None, "tie", 0.5),
    ],
)
def test_elections_by_hand(
    ballots: list[tuple[int, float]], min_votes: int, min_share: float, winner: int | None, reason: str | None,
    best: float,
) -> None:  # fmt: skip
    election = elect(ballots, min_votes, min_share)
    assert (election.winner, election.reason) == (winner, reason)
    assert election.best == pytest.approx(best)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.floats(0, 1e6)), max_size=15),
    st.floats(0.01, 1),
    st.randoms(use_true_random=False),
)
def test_the_order_of_ballots_does_not_count(
    ballots: list[tuple[int, float]], share: float, rng: random.Random
) -> None:
    mixed = ballots[:]
    rng.shuffle(mixed)
    one, other = elect(ballots, 1, share), elect(mixed, 1, share)
    assert one == other
    if one.winner is not None:
        assert one.share(one.winner) == max(one.shares.values()) >= share * (1 - 1e-6)


def test_equal_answers_merge_through_each_other() -> None:
    assert merged(5, [(0, 3), (3, 4)]) == [0, 1, 2, 0, 0]
    assert merged(5, [(4, 3), (0, 4)]) == [0, 1, 2, 0, 0]
    assert merged(3, []) == [0, 1, 2]


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=10), st.randoms(use_true_random=False))
def test_merging_does_not_depend_on_the_order_of_pairs(pairs: list[tuple[int, int]], rng: random.Random) -> None:
    mixed = [(b, a) for a, b in pairs]
    rng.shuffle(mixed)
    labels = merged(8, pairs)
    assert labels == merged(8, mixed)
    assert all(labels[a] == labels[b] for a, b in pairs)
    assert all(label <= i and labels[label] == label for i, label in enumerate(labels))
