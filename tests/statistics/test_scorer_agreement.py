"""Formulas of calibration, on cases worked out by hand or published."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthflow.statistics.scorer_agreement import VERDICTS, Confusion, auroc, auroc_error, auroc_rate, rate

#   reference correct: 8 accepted, 2 called wrong, 1 unknown; wrong: 3 accepted, 6 called wrong, 4 unknown; unknown: 5
SMALL = Confusion((8, 2, 1, 3, 6, 4, 5, 0, 0))


def test_rates_by_hand() -> None:
    assert SMALL.n == 19
    assert SMALL.precision[:3] == (8, 11, 8 / 11)
    assert SMALL.recall[:3] == (8, 10, 0.8)
    assert SMALL.false_accept[:3] == (3, 9, 3 / 9)
    assert SMALL.false_reject[:3] == (2, 10, 0.2)
    assert SMALL.agreement[:3] == (14, 19, 14 / 19)
    assert SMALL.coverage[:3] == (19, 24, 19 / 24)


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


@given(st.lists(st.integers(0, 50), min_size=9, max_size=9))
def test_no_rate_is_a_nan_and_every_interval_holds_its_rate(cells: list[int]) -> None:
    confusion = Confusion(tuple(cells))
    for name in ("precision", "recall", "false_accept", "false_reject", "agreement", "coverage"):
        found = getattr(confusion, name)
        if found.n == 0:
            assert found[2:] == (None, None, None)
        else:
            assert 0 <= found.low <= found.value + 1e-12 and found.value <= found.high + 1e-12 and found.high <= 1
    kappa = confusion.kappa
    assert kappa is None or (not math.isnan(kappa) and -1 <= kappa <= 1)
    assert sum(confusion.of(r, s) for r in VERDICTS for s in VERDICTS) == sum(cells)
