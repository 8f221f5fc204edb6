"""The sequential rules, without a model: what they ask for, when they end, and how well they find a first error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.stages.label.posterior import PosteriorSearch
from synthflow.stages.label.searchers import Adaptive, Bisection, Exhaustive, Target

RULES = {
    "exhaustive": lambda target, budget: Exhaustive(target, 8),
    "adaptive": lambda target, budget: Adaptive(target, 24, budget),
    "threshold": lambda target, budget: Adaptive(target, 24, budget, half_width=None, threshold=0.4),
    "bisection": lambda target, budget: Bisection(target, 8, budget, batch=2),
    "posterior": lambda target, budget: PosteriorSearch(target, 12, budget, batch=3),
}


def target(steps: int, prompt: tuple[int, int] = (0, 0), step_tokens: int = 20) -> Target:
    remaining = tuple(step_tokens * (steps - j) for j in range(steps + 1))
    return Target(remaining, tuple(range(1, steps)), prompt)


def play(searcher, chance, rng, tokens=lambda j: 1, unknown=0.0, waves=10_000):
    """Continuations by prefix, when every one of prefix j is right with chance[j]; ends when nothing is asked."""
    asked = np.zeros(len(chance), int)
    for _ in range(waves):
        wants = searcher.ask()
        if not wants:
            return asked
        for j, count in wants.items():
            lost = int(rng.binomial(count, unknown))
            won = int(rng.binomial(count - lost, chance[j]))
            searcher.tell(j, won, count - lost, lost, count * tokens(j))
            asked[j] += count
    raise AssertionError("it does not end")


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=40, deadline=None)
@given(
    steps=st.integers(1, 24), seed=st.integers(0, 99), unknown=st.sampled_from([0.0, 0.3, 1.0]),
    budget=st.sampled_from([None, 1, 300, 3000]), gap=st.integers(0, 5),
)  # fmt: skip
def test_every_rule_ends_within_its_limits(rule, steps, seed, unknown, budget, gap):
    """Whatever it is told, unknown verdicts only among it; some prefixes cannot be continued."""
    rng = np.random.default_rng(seed)
    given_ = target(steps, (seed % 5, 4))
    given_ = Target(given_.remaining, tuple(j for j in given_.open if j > gap), given_.prompt)
    searcher = RULES[rule](given_, budget)
    asked = play(searcher, rng.random(steps + 1), rng, lambda j: given_.remaining[j], unknown)
    assert asked[[j for j in range(steps + 1) if j not in given_.open]].sum() == 0
    assert (asked <= searcher.n_max).all()
    if budget is not None and rule != "exhaustive":
        assert searcher.spent <= budget  # continuations cost what was expected here
    found = searcher.first_error()
    if found is not None and found.index is not None:
        assert 0 <= found.index < steps
    if found is not None and found.chances is not None:
        assert found.chances.shape == (steps,) and (found.chances >= 0).all() and found.chances.sum() <= 1 + 1e-9


def test_telling_what_cannot_be_is_refused():
    searcher = Exhaustive(target(4), 8)
    for told in ((1, 3, 2, 0, 0), (1, 0, 0, -1, 0), (0, 1, 1, 0, 5), (4, 1, 1, 0, 5)):
        with pytest.raises(ValueError):
            searcher.tell(*told)


def test_exhaustive_asks_for_the_rest():
    searcher = Exhaustive(target(4), 8)
    assert searcher.ask() == {1: 8, 2: 8, 3: 8}
    searcher.tell(2, 1, 3, 2, 10)
    assert searcher.ask() == {1: 8, 2: 3, 3: 8}
    assert searcher.first_error() is None


def test_adaptive_takes_none_of_n_for_no_certainty():
    """Wilson at 0 of 4 is [0, .49]: half .245; at 0 of 9 .15 (.1496); at 4 of 8 .28."""
    searcher = Adaptive(target(3), 64, half_width=0.15, n_min=4, batch=4)
    assert searcher.ask() == {1: 4, 2: 4}
    searcher.tell(1, 0, 4, 0, 4)
    searcher.tell(2, 2, 4, 0, 4)
    assert searcher.ask() == {1: 4, 2: 4}
    searcher.tell(1, 0, 4, 0, 4)  # 0 of 8: .162
    assert set(searcher.ask()) == {1, 2}
    searcher.tell(1, 0, 4, 0, 4)  # 0 of 12: .121
    assert set(searcher.ask()) == {2}
    searcher.tell(2, 17, 34, 0, 34)  # 19 of 38: .151
    assert set(searcher.ask()) == {2}
    searcher.tell(2, 1, 2, 0, 2)  # 20 of 40: .148
    assert not searcher.ask()


def test_adaptive_spends_where_the_threshold_is_inside():
    searcher = Adaptive(target(3), 64, half_width=None, threshold=0.5, n_min=4, batch=4)
    searcher.tell(1, 0, 4, 0, 4)  # [0, .49]
    searcher.tell(2, 3, 4, 0, 4)  # [.30, .95]
    assert searcher.ask() == {2: 4}


def test_adaptive_with_a_budget_widens_nothing_it_cannot_pay():
    searcher = Adaptive(target(5), 64, 100, half_width=0.1, n_min=2, batch=2)
    asked = play(searcher, np.full(6, 0.5), np.random.default_rng(0), lambda j: 20 * (5 - j))
    assert asked.sum() > 0 and searcher.spent <= 100


def test_bisection_by_hand():
    """Eight steps, the fifth (index 4) wrong: probes at 4 (alive), 6 (dead), 5 (dead)."""
    searcher = Bisection(target(8), 4, batch=4)
    for expected, won in ((4, 2), (6, 0), (5, 0)):
        assert searcher.ask() == {expected: 4} and searcher.first_error().index is None
        searcher.tell(expected, won, 4, 0, 4)
    assert not searcher.ask() and searcher.first_error().index == 4
    assert searcher.first_error().chances is None
    lost = Bisection(target(8), 4)
    lost.tell(4, 0, 0, 4, 4)  # no verdict on any of them
    assert not lost.ask() and lost.first_error().index is None
    assert Bisection(target(1), 4).first_error().index == 0
