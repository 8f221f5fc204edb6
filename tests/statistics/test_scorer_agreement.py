"""Formulas of calibration, on cases worked out by hand or published."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from synthflow.statistics.bootstrap import Bootstrap, ratio
from synthflow.statistics.scorer_agreement import (
    COUNTED,
    VERDICTS,
    Clusters,
    Confusion,
    auroc,
    auroc_error,
    auroc_rate,
    effective_n,
    rate,
)

Ints = NDArray[np.int64]

#   reference correct: 8 accepted, 2 called wrong, 1 unknown; wrong: 3 accepted, 6 called wrong, 4 unknown; unknown: 5
SMALL = Confusion((8, 2, 1, 3, 6, 4, 5, 0, 0))


def test_rates_by_hand() -> None:
    one = Clusters(np.array([SMALL.cells]))
    assert one.confusion == SMALL and SMALL.n == 19 and one.problems == 1
    assert one.rate("precision")[:3] == (8, 11, 8 / 11)
    assert one.rate("recall")[:3] == (8, 10, 0.8)
    assert one.rate("false_accept")[:3] == (3, 9, 3 / 9)
    assert one.rate("false_reject")[:3] == (2, 10, 0.2)
    assert one.rate("agreement")[:3] == (14, 19, 14 / 19)
    assert one.rate("coverage")[:3] == (19, 24, 19 / 24)


def counts(*pairs: tuple[int, int]) -> tuple[Ints, Ints]:
    """k and n by problem."""
    k, n = np.array(pairs, np.int64).T
    return k, n


def test_what_rollouts_of_problems_are_worth_by_hand() -> None:
    assert effective_n(*counts((8, 8))) == 1, "one problem, eight rollouts, one vote: one decision"
    assert effective_n(*counts((0, 8), (0, 8), (0, 0), (0, 3))) == 3, "none of 19, of three problems that have any"
    # All right and all wrong in turns: r = .5, sum (k - r n)^2 = 4 * 16, times 4/3 over 32^2: .0833 = .25 / 3. Two have
    # successes and two have failures, which weigh as much as the belief in 4: 4 / (2 / 3 + 2 / 4).
    assert effective_n(*counts((8, 8), (0, 8), (8, 8), (0, 8))) == pytest.approx(24 / 7)
    # Every problem alike: nothing says that rollouts are. 5 / (3 / 20 + 2 / 3).
    assert effective_n(*counts((4, 8), (4, 8), (2, 4))) == pytest.approx(5 / (3 / 20 + 2 / 3))
    # r = 12/24; deviations 2, -2, 0: 8 * 3/2 / 576 = .0208 = .25 / 12.
    assert effective_n(*counts((6, 8), (2, 8), (4, 8))) == pytest.approx(5 / (3 / 12 + 2 / 3))


PROBLEMS = 40


def covered(draw: Callable[[np.random.Generator], tuple[float, Ints, Ints]], times: int = 400) -> tuple[float, float]:
    """How often the interval over problems holds the truth, and how often one over rollouts does."""
    rng = np.random.default_rng(3)
    hits = np.zeros(2)
    for _ in range(times):
        truth, k, n = draw(rng)
        for which, effective in enumerate((effective_n(k, n), None)):
            found = rate(int(k.sum()), int(n.sum()), effective)
            assert found.low is not None and found.high is not None
            hits[which] += found.low <= truth <= found.high
    return float(hits[0] / times), float(hits[1] / times)


@pytest.mark.parametrize(("mean", "alike"), [(0.5, 0.5), (0.85, 0.8), (0.1, 0.5), (0.03, 0.8), (0.5, 0.0)])
def test_intervals_over_problems_hold_where_those_over_rollouts_do_not(mean: float, alike: float) -> None:
    """Problems of up to 16 rollouts whose rates differ between problems: `alike` is their intraclass correlation."""

    def draw(rng: np.random.Generator) -> tuple[float, Ints, Ints]:
        spread = (1 - alike) / alike if alike else 1e6
        n = rng.integers(1, 17, PROBLEMS)
        return mean, rng.binomial(n, rng.beta(mean * spread, (1 - mean) * spread, PROBLEMS)), n

    over_problems, over_rollouts = covered(draw)
    assert over_problems >= 0.91
    assert over_rollouts < over_problems - 0.1 if alike else over_problems < 1


def test_it_agrees_with_a_bootstrap_of_problems_but_never_calls_none_of_n_certain() -> None:
    rng = np.random.default_rng(5)
    n = rng.integers(4, 9, 60)
    k = rng.binomial(n, rng.beta(1.0, 1.0, 60))
    found = rate(int(k.sum()), int(n.sum()), effective_n(k, n))
    drawn = Bootstrap(2000).estimate(ratio(k.astype(float), n.astype(float)), np.arange(60))
    assert found.low == pytest.approx(drawn.low, abs=0.02) and found.high == pytest.approx(drawn.high, abs=0.02)
    none = Bootstrap(2000).estimate(ratio(np.zeros(60), n.astype(float)), np.arange(60))
    assert none.high == 0.0
    assert rate(0, int(n.sum()), effective_n(0 * k, n)).high == pytest.approx(rate(0, 60).high)


def test_an_area_is_no_surer_than_its_problems() -> None:
    all_of_one = auroc_rate([0, 4, 4], [4, 4, 0])
    of_two = auroc_rate([0, 4, 4], [4, 4, 0], (2, 2))
    assert of_two.value == all_of_one.value and of_two.low is not None and all_of_one.low is not None
    assert of_two.low < all_of_one.low
    assert auroc_rate([0, 4, 4], [4, 4, 0], (99, 99)) == all_of_one


def test_wilson_by_hand() -> None:
    # 3 of 9: (3 + z²/2 ± z·sqrt(3·6/9 + z²/4)) / (9 + z²) with z² = 3.841459, z = 1.959964:
    # (4.920729 ± 1.959964·1.720571) / 12.841459 = (4.920729 ± 3.372258) / 12.841459
    found = rate(3, 9)
    assert found.low == pytest.approx(0.120584, abs=1e-6) and found.high == pytest.approx(0.645798, abs=1e-6)
    assert rate(0, 0) == (0, 0, None, None, None)
    assert rate(0, 50).low == 0.0 and rate(0, 50).high == pytest.approx(0.071347, abs=1e-5)  # z²/(50 + z²)


def test_kappa_by_hand() -> None:
    # Of 50: 20 both accept, 15 both reject, 10 and 5 differ. p_o = 0.7; p_e = 0.6·0.5 + 0.4·0.5 = 0.5; kappa = 0.4.
    assert Confusion((20, 10, 0, 5, 15, 0, 0, 0, 0)).kappa == pytest.approx(0.4)
    assert Confusion((20, 10, 7, 5, 15, 9, 8, 7, 6)).kappa == pytest.approx(0.4), "unknowns change nothing"
    assert Confusion((9, 0, 0, 0, 0, 0, 0, 0, 0)).kappa is None, "chance alone agrees always"
    assert Confusion((0,) * 9).kappa is None
    assert Confusion((0, 5, 0, 5, 0, 0, 0, 0, 0)).kappa == -1.0


def test_the_published_case_of_hanley_and_mcneil() -> None:
    # Radiology 143 (1982), table I: 58 normal and 51 abnormal images in five classes; area 0.893, standard error 0.032.
    normal, abnormal = [33, 6, 6, 11, 2], [3, 2, 2, 11, 33]
    area = auroc(abnormal, normal)
    assert area == 2642 / 2958 and round(area, 3) == 0.893
    error = auroc_error(area, 51, 58)
    assert error is not None and error == pytest.approx(0.032, abs=0.001)
    found = auroc_rate(abnormal, normal)
    assert found.low == pytest.approx(area - 1.959964 * error) and found.high == pytest.approx(area + 1.959964 * error)


def test_areas_at_the_ends() -> None:
    assert auroc([0, 5], [5, 0]) == 1.0 and auroc([5, 0], [0, 5]) == 0.0
    assert auroc([2, 2], [2, 2]) == 0.5 and auroc([7], [3]) == 0.5
    assert auroc([0, 0], [1, 1]) is None
    assert auroc_rate([0, 5], [5, 0])[2:] == (1.0, None, None), "the formula would be certain after ten rollouts"


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=40))
def test_the_area_is_the_share_of_pairs_in_order(values: list[tuple[int, bool]]) -> None:
    good = [v for v, is_good in values if is_good]
    bad = [v for v, is_good in values if not is_good]
    found = auroc([good.count(i) for i in range(10)], [bad.count(i) for i in range(10)])
    if not good or not bad:
        assert found is None
        return
    won = sum((g > b) + (g == b) / 2 for g in good for b in bad)
    assert found == pytest.approx(won / (len(good) * len(bad)))


ROWS = st.lists(st.lists(st.integers(0, 50), min_size=9, max_size=9), min_size=1, max_size=5)


@given(ROWS)
def test_no_rate_is_a_nan_and_every_interval_holds_its_rate(rows: list[list[int]]) -> None:
    clusters, cells = Clusters(np.array(rows)), [sum(column) for column in zip(*rows, strict=True)]
    confusion = clusters.confusion
    for name in COUNTED:
        found = clusters.rate(name)
        if found.n == 0:
            assert found[2:] == (None, None, None)
        else:
            assert found.low is not None and found.value is not None and found.high is not None
            assert 0 <= found.low <= found.value + 1e-12 and found.value <= found.high + 1e-12 and found.high <= 1
    kappa = confusion.kappa
    assert kappa is None or (not math.isnan(kappa) and -1 <= kappa <= 1)
    assert sum(confusion.of(r, s) for r in VERDICTS for s in VERDICTS) == sum(cells)
