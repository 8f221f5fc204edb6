"""The posterior search against what it replaces, under the conditions of a published comparison's simulation.

A wrong rollout of T steps, its first error uniform; every continuation of a prefix before it is right with one
probability per rollout from Beta(2, 2), after it with 3%. Budgets count continuations.
"""

from __future__ import annotations

import numpy as np
import pytest

from support.search_world import Game, exact, play
from synthflow.rollouts.prefixes import PrefixCut
from synthflow.segment import Span
from synthflow.stages.label.error_model import _log_gamma, information, predict, suspicion
from synthflow.stages.label.monte_carlo_config import MonteCarloConfig
from synthflow.stages.label.posterior import PosteriorSearch
from synthflow.stages.label.searchers import Bisection, Target
from synthflow.stages.label.waves import _prior


def found_by_posterior(game: Game, budget: int, **options: float):
    flat = Target((1,) * (game.steps + 1), tuple(range(1, game.steps)))  # each continuation costs one
    searcher = PosteriorSearch(flat, 64, budget, **options)
    asked = play(searcher, game)
    chances = searcher.first_error().chances
    return int(chances.argmax()), float(chances.max()), int(asked.sum())


@pytest.mark.parametrize(
    ("steps", "budget", "least", "most"),
    [
        (8, 32, 0.76, 26),
        pytest.param(16, 32, 0.69, 27, marks=[pytest.mark.slow, pytest.mark.extended]),
        pytest.param(16, 64, 0.77, 41, marks=[pytest.mark.slow, pytest.mark.extended]),
    ],
)
def test_it_finds_more_with_fewer(steps, budget, least, most):
    games = [Game.drawn(steps, seed) for seed in range(150)]
    found = [found_by_posterior(game, budget) for game in games]
    accuracy = np.mean([place == game.error for (place, _, _), game in zip(found, games, strict=True)])
    spent = np.mean([n for _, _, n in found])
    halving = [Bisection(Target((1,) * (steps + 1), tuple(range(1, steps))), 8) for _ in games]
    cost = np.mean([play(s, game).sum() for s, game in zip(halving, games, strict=True)])
    by_halving = np.mean([s.first_error().index == game.error for s, game in zip(halving, games, strict=True)])
    by_counting = np.mean([exact(Game.drawn(steps, seed), 8) for seed in range(1000)])
    assert accuracy >= least and spent <= most
    assert accuracy > by_halving + 0.05
    if steps == 16:  # the comparison: .64 from 128 continuations, .57 from 33
        assert accuracy > by_counting + 0.02 and abs(by_halving - 0.57) < 0.08 and abs(by_counting - 0.642) < 0.04
        assert cost == 32


@pytest.mark.extended
@pytest.mark.slow
def test_it_knows_how_sure_it_is():
    """Where it says 90% it is right about that often; it says so of most, if no price ends the search before."""
    games = [Game.drawn(12, 1000 + seed) for seed in range(120)]
    found = [found_by_posterior(game, 96, least_information=0.001) for game in games]
    sure = [(place == game.error) for (place, p, _), game in zip(found, games, strict=True) if p >= 0.9]
    assert len(sure) > 0.6 * len(games) and np.mean(sure) > 0.85


@pytest.mark.extended
@pytest.mark.slow
def test_values_that_move_do_not_fool_it():
    """Chances that rise towards the end, as those of a policy that slips at every step, or fall by a third."""
    for slope in (2.0, -0.8):
        games = [Game.drawn(10, 2000 + seed, slope=slope) for seed in range(120)]
        found = [found_by_posterior(game, 64) for game in games]
        assert np.mean([place == game.error for (place, _, _), game in zip(found, games, strict=True)]) > 0.68


@pytest.mark.extended
@pytest.mark.slow
def test_self_correction_leaves_it_unsure_rather_than_wrong():
    games = [Game.drawn(16, 3000 + seed, recovery=0.12) for seed in range(120)]
    found = [found_by_posterior(game, 64) for game in games]
    right = np.array([place == game.error for (place, _, _), game in zip(found, games, strict=True)])
    claimed = np.array([p for _, p, _ in found])
    assert claimed.mean() < right.mean() + 0.12
    assert right[claimed >= 0.9].mean() > 0.75


def test_a_posterior_by_hand():
    """One alive prefix cannot be told from its neighbours: without counts the prior is uniform over the steps."""
    chances, success = predict([0] * 5, [0] * 5)
    assert chances[:4] == pytest.approx([0.2375] * 4) and chances[4] == pytest.approx(0.05)
    assert success.shape == (5, 5) and ((success >= 0) & (success <= 1)).all()
    # Given error at step e, prefixes up to e are alive: more likely to succeed than those after it.
    assert (success[1, :2] > 0.4).all() and (success[1, 2:] < 0.1).all()
    # Five of five after the second step: the error is later; none of five after it: not later than the second.
    late, early = predict([0, 0, 5, 0, 0], [0, 0, 5, 0, 0])[0], predict([0] * 5, [0, 0, 5, 0, 0])[0]
    assert late[:2].sum() < 0.01 and early[2:4].sum() < 0.2 and early[:2].sum() > 0.7
    assert information(predict([0] * 5, [0] * 5)).argmax() == 2


def test_a_prior_by_hand():
    """Three steps with nats 0, .8 and .2 weigh .2, 1 and .4 of 1.6; one of twenty has no such step."""
    prior = suspicion([0.0, 0.8, 0.2])
    assert prior == pytest.approx([0.2, 1.0, 0.4])
    none = np.zeros(4)
    assert predict(none, none, prior).chances == pytest.approx([0.95 / 8, 0.95 * 5 / 8, 0.95 / 4, 0.05])
    assert predict(none, none, 7 * prior).chances == pytest.approx(predict(none, none, prior).chances)
    assert suspicion([np.nan, np.inf, -0.1]) == pytest.approx([0.2] * 3), "what is no number says nothing"
    # Counts outweigh it: all of sixteen from the suspected step's end.
    counts = np.array([0.0, 0, 16, 0])
    assert predict(counts, counts, prior).chances.argmax() == 2
    for bad in ([1.0, 1.0], [1.0, 0.0, 1.0], [1.0, np.nan, 1.0], [[1.0] * 3]):
        with pytest.raises(ValueError, match="one positive number for each step"):
            predict(none, none, bad)


def test_what_tells_too_little_for_its_price_is_not_asked():
    target = Target((1,) * 9, tuple(range(1, 8)), (8, 16))
    gain = information(PosteriorSearch(target).prediction())[1:8].max() / 1.1  # a continuation, and its overhead
    assert PosteriorSearch(target, least_information=gain * 1.01).ask() == {}
    assert PosteriorSearch(target, least_information=gain * 0.99).ask()
    games = [Game.drawn(8, seed) for seed in range(20)]
    spent = [np.mean([found_by_posterior(g, 400, least_information=p)[2] for g in games]) for p in (0.1, 0.02, 0.0)]
    assert spent[0] < spent[1] < spent[2]


def test_the_prior_is_read_off_the_rollout_itself():
    """Steps of 2, 1 and 1 tokens; where log probabilities are missing, in part or whole, all steps are alike."""
    spans = (Span(0, 2), Span(2, 3), Span(3, 4))

    def read(logprobs, **fields):
        cut = PrefixCut({"token_ids": [5, 6, 7, 8], "logprobs": logprobs}, "l", spans, spans, (), (None,) * 3)
        config = {"use": "label.monte_carlo", "of": "v", "method": "posterior"} | fields
        return _prior(cut, MonteCarloConfig.model_validate(config))

    assert read([-0.5, -0.3, 0.0, -1.0]) == pytest.approx((1.0, 0.2, 1.2))
    assert read([-0.5, -0.3, 0.0, -1.0], prior="even") is None
    assert read(None) is None and read([-1.0] * 3) is None and read([-1.0, None, -1.0, -1.0]) is None
    assert read([-1.0] * 4, method="exhaustive") is None


def test_order_of_counts_does_not_matter_and_extremes_stay_finite():
    for k, n in (([0, 0], [0, 0]), ([0, 4000], [0, 4000]), ([3, 0, 0], [3, 4000, 0]), ([0] * 200, [9] * 200)):
        chances, success = predict(k, n)
        assert np.isfinite(chances).all() and chances.sum() == pytest.approx(1) and np.isfinite(success).all()
    for k, n in (([1], [1]), ([2, 0], [1, 0]), ([-1, 0], [1, 0])):
        with pytest.raises(ValueError):
            predict(k, n)


def test_log_gamma():
    from math import lgamma

    x = np.array([1e-3, 0.08, 0.5, 1.0, 2.5, 10.0, 400.0])
    assert _log_gamma(x) == pytest.approx([lgamma(v) for v in x], abs=1e-9)


def test_tokens_buy_late_prefixes():
    """Without counts a probe near the middle says most, and a late prefix costs less."""
    equal = PosteriorSearch(Target((1,) * 11, tuple(range(1, 10))))
    priced = PosteriorSearch(Target(tuple(30 * (10 - j) for j in range(11)), tuple(range(1, 10))))
    assert list(equal.ask()) in ([5], [6]) and next(iter(priced.ask())) > next(iter(equal.ask()))


def test_a_batch_spreads():
    searcher = PosteriorSearch(Target((1,) * 17, tuple(range(1, 16))), batch=4)
    asked = searcher.ask()
    assert sum(asked.values()) == 4 and len(asked) > 1
