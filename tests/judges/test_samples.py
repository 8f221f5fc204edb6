"""k samples become one judgement; comparisons become a share of wins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthflow.judges.samples import (
    JudgeSample,
    Thresholds,
    both_orders,
    combine,
    majority,
    verdict_value,
    win_share,
)

HALF = Thresholds(0.5, 0.5)
LOST = JudgeSample(None, "parse_failure", "no last line")


def opinions(*values: float | None) -> list[JudgeSample]:
    return [LOST if value is None else JudgeSample(value) for value in values]


@pytest.mark.parametrize(
    ("values", "limits", "agreement", "verdict", "value", "reason", "share"),
    [
        ([1.0], HALF, 0.5, "correct", 1.0, None, 1.0),
        ([0.0], HALF, 0.5, "wrong", 0.0, None, 1.0),
        ([None], HALF, 0.5, "unknown", None, "parse_failure", 0.0),
        ([1, 1, 0], HALF, 0.5, "correct", 2 / 3, None, 2 / 3),
        ([1, 1, 0], HALF, 0.7, "unknown", None, "disagreement", 2 / 3),
        ([1, 0], HALF, 0.5, "unknown", None, "disagreement", 0.5),
        ([1, 1, None], HALF, 0.5, "correct", 1.0, None, 2 / 3),
        ([1, None], HALF, 0.5, "unknown", None, "parse_failure", 0.5),
        ([1, None, None], HALF, 0.1, "unknown", None, "parse_failure", 1 / 3),
        # Scores 5, 7 and 9 of 10: the mean is 7, and 7 is enough, but only two of three say so.
        ([0.5, 0.7, 0.9], Thresholds(0.7, 0.7), 0.5, "correct", 0.7, None, 2 / 3),
        # One high score lifts the mean over a threshold that most are below.
        ([0.6, 0.6, 1.0], Thresholds(0.7, 0.7), 0.5, "unknown", None, "disagreement", 1 / 3),
        ([0.5], Thresholds(0.7, 0.4), 0.5, "unknown", None, "undecided", 1.0),
    ],
)  # fmt: skip
def test_by_hand(
    values: list[float | None], limits: Thresholds, agreement: float, verdict: str, value: float | None,
    reason: str | None, share: float,
) -> None:  # fmt: skip
    said, agreed = combine(opinions(*values), limits, agreement)
    assert (said.verdict, said.reason) == (verdict, reason)
    assert said.value == pytest.approx(value) if value is not None else said.value is None
    assert agreed == pytest.approx(share)


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=1, max_size=9), st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_verdict_has_more_than_half_behind_it(values: list[float | None], t: float, agreement: float) -> None:
    said, share = combine(opinions(*values), Thresholds(t, t), agreement)
    if said.verdict == "unknown":
        assert said.value is None and said.reason
    else:
        assert share > 0.5
        same = said.verdict == "correct"
        assert sum(v is not None and (v >= t - 1e-9) == same for v in values) > len(values) / 2
        stored = float(np.float32(said.value))  # what the table keeps
        assert stored > 0 if same else stored < 1
    shuffled = combine(opinions(*values[::-1]), Thresholds(t, t), agreement)[0]
    assert (shuffled.verdict, shuffled.value) == (said.verdict, said.value)


def test_float32_never_turns_a_wrong_one_into_full_credit() -> None:
    assert np.float32(verdict_value("wrong", 0.99999999999)) < 1
    assert np.float32(verdict_value("correct", 1e-60)) > 0
    assert verdict_value("unknown", 0.5) is None


@pytest.mark.parametrize(
    ("forward", "backward", "result", "reason"),
    [
        ("A", "B", "win", None),
        ("B", "A", "loss", None),
        ("tie", "tie", "tie", None),
        ("A", "A", None, "position_bias"),
        ("B", "B", None, "position_bias"),
        ("A", "tie", None, "position_bias"),
        (None, "A", None, "parse_failure"),
    ],
)
def test_the_orders_must_name_the_same_answer(
    forward: str | None, backward: str | None, result: str | None, reason: str | None
) -> None:
    assert both_orders(forward, backward) == (result, reason)


def test_majorities_and_shares() -> None:
    assert majority(["A", "A", "B"], 0.5) == "A"
    assert majority(["A", "A", "B"], 0.7) is None
    assert majority(["A", None], 0.5) is None
    assert win_share(["win", "loss", "tie", None]) == 0.5
    assert win_share(["win", "win", "tie"]) == pytest.approx(2.5 / 3)
    assert win_share([None]) is None
