"""Statistics of weighted observations against cases worked out by hand, and the sample that weights stand for."""

from __future__ import annotations

import numpy as np
import pytest

from synthflow.statistics import bootstrap as st


def value(statistic: st.Statistic, weights: list[float] | None = None, n: int = 0) -> float:
    given = np.ones((1, n)) if weights is None else np.array([weights], np.float64)
    return float(statistic(given)[0])


def test_auroc_by_hand() -> None:
    # Positives 3, 1; negatives 2, 1, 0: wins (3: 3) + (1: one win, one tie) = 4.5 of 6.
    statistic = st.auroc(np.array([3.0, 1, 2, 1, 0]), np.array([True, True, False, False, False]))
    assert value(statistic, n=5) == 4.5 / 6
    # The positive 3 stands twice: (2 · 3 + 1.5) of 9.
    assert value(statistic, [2, 1, 1, 1, 1]) == 7.5 / 9
    assert np.isnan(value(statistic, [0, 0, 1, 1, 1]))


def test_spearman_by_hand() -> None:
    assert value(st.spearman(np.array([1.0, 2, 3]), np.array([10.0, 20, 15])), n=3) == pytest.approx(0.5)
    # Ties: mean ranks 1.5, 1.5, 3 against 1, 2, 3: covariance 1.5, spreads 1.5 and 2.
    assert value(st.spearman(np.array([1.0, 1, 3]), np.array([1.0, 2, 3])), n=3) == pytest.approx(1.5 / 3**0.5)
    assert np.isnan(value(st.spearman(np.array([1.0, 1]), np.array([1.0, 2])), n=2))


def test_kappa_by_hand() -> None:
    # Agree on 3 of 4; a: 0 twice, 1 once, 2 once; b: 0 once, 1 twice, 2 once: p_e = (2 + 2 + 1) / 16.
    statistic = st.kappa(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2]))
    assert value(statistic, n=4) == pytest.approx((0.75 - 5 / 16) / (1 - 5 / 16))
    assert np.isnan(value(st.kappa(np.array([1, 1]), np.array([1, 1])), n=2)), "chance alone agrees always"


def test_ece_by_hand() -> None:
    # Bin [.2, .3): .25 and .25, came 0 and 1: gap |.5 - 1| = .5. Bin [.9, 1]: 1.0 came 0: gap 1. (.5 + 1) / 3.
    statistic = st.ece(np.array([0.25, 0.25, 1.0]), np.array([0.0, 1.0, 0.0]))
    assert value(statistic, n=3) == pytest.approx(0.5)
    assert value(statistic, [1, 1, 0]) == pytest.approx(0.25)
    assert st.bin_of(np.array([0.0, 0.1, 0.99, 1.0])).tolist() == [0, 1, 9, 9]


def test_shares_and_means_by_hand() -> None:
    assert value(st.share(np.array([True, False, True])), [1, 1, 2]) == 0.75
    assert value(st.share(np.array([True, True]), np.array([True, False])), n=2) == 1.0
    assert value(st.mean(np.array([1.0, 3.0])), [3, 1]) == 1.5
    assert np.isnan(value(st.mean(np.array([1.0])), [0]))


@pytest.mark.parametrize("seed", range(5))
def test_weights_are_the_sample_they_stand_for(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 40
    x, y = rng.integers(0, 6, n).astype(np.float64), rng.integers(0, 6, n).astype(np.float64)
    positive, p, seen = rng.random(n) < 0.4, rng.random(n), (rng.random(n) < 0.5).astype(np.float64)
    weights = rng.integers(0, 4, n)
    again = np.repeat(np.arange(n), weights)
    made = {
        "auroc": lambda i: st.auroc(x[i], positive[i]),
        "spearman": lambda i: st.spearman(x[i], y[i]),
        "kappa": lambda i: st.kappa(x[i].astype(np.int64), y[i].astype(np.int64)),
        "ece": lambda i: st.ece(p[i], seen[i]),
        "share": lambda i: st.share(positive[i]),
    }
    for name, of in made.items():
        weighted = value(of(np.arange(n)), list(map(float, weights)))
        assert weighted == pytest.approx(value(of(again), n=len(again))), name


def test_an_interval_holds_its_estimate_and_is_over_problems() -> None:
    rng = np.random.default_rng(1)
    problem = np.repeat(np.arange(50), 20)
    of_problem = rng.random(50)[problem]
    right = rng.random(1000) < of_problem  # rollouts of one problem are alike
    found = st.Bootstrap(500).estimate(st.share(right), problem)
    assert found.value is not None and found.low is not None and found.high is not None
    assert found.low <= found.value <= found.high and (found.n, found.problems) == (1000, 50)
    alone = st.Bootstrap(500).estimate(st.share(right), np.arange(1000))
    assert alone.low is not None and alone.high is not None
    assert found.high - found.low > 1.8 * (alone.high - alone.low), "one problem is one draw, not twenty"
    error = st.Bootstrap(200).estimate(st.ece(rng.random(200), np.zeros(200) + 0.5), np.arange(200))
    assert error.low is not None and error.value is not None and error.low <= error.value


def test_intervals_of_auroc_hold_the_truth_as_often_as_they_say() -> None:
    """Scores N(1, 1) of positives and N(0, 1) of negatives: the area is Phi(1 / sqrt 2) = .7602."""
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(200):
        positive = rng.random(150) < 0.4
        found = st.Bootstrap(200).estimate(st.auroc(rng.normal(size=150) + positive, positive), np.arange(150))
        assert found.low is not None and found.high is not None
        held += found.low <= 0.7602 <= found.high
    assert 178 <= held <= 199  # 95% of 200 is 190; 178 is four standard deviations below it


def test_what_cannot_be_told_is_none() -> None:
    boot = st.Bootstrap(100)
    assert boot.estimate(st.share(np.array([], bool)), np.array([], np.int64))[:3] == (None, None, None)
    assert boot.estimate(st.share(np.array([True, False])), np.array([4, 4]))[:3] == (0.5, None, None)
    assert st.Bootstrap(0).estimate(st.share(np.array([True, False])), np.array([1, 2]))[:3] == (0.5, None, None)
    one = boot.estimate(st.auroc(np.array([1.0, 0.0]), np.array([True, True])), np.array([0, 1]))
    assert one[:3] == (None, None, None)


def test_draws_are_the_same_however_many_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    right, problem = rng.random(300) < 0.5, np.repeat(np.arange(30), 10)
    whole = st.Bootstrap(100).estimate(st.share(right), problem)
    monkeypatch.setattr(st, "_CELLS", 900)
    assert st.Bootstrap(100).estimate(st.share(right), problem) == whole
