"""A rubric's points, vetoes, and what stays open where a criterion is unknown."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from synthflow.judges.samples import Thresholds
from synthflow.stages.verify.rubrics import Met, judge, score_bounds

HALF = Thresholds(0.5, 0.5)


def test_by_hand() -> None:
    # 2 x 1 + 1 x 0.5 - 1 x 1 = 1.5 of 3 points.
    given = [Met("a", 2, 1.0), Met("b", 1, 0.5), Met("fault", -1, 1.0)]
    assert score_bounds(given) == (0.5, 0.5)
    assert judge(given, HALF).verdict == "correct"
    assert judge(given, Thresholds(0.6, 0.6)).verdict == "wrong"
    assert judge(given, Thresholds(0.6, 0.4)).reason == "undecided"
    assert score_bounds([Met("a", 1, 0.0), Met("fault", -1, 1.0)]) == (0.0, 0.0)
    with pytest.raises(ValueError, match="weight above 0"):
        score_bounds([Met("fault", -1, 1.0)])


def test_a_required_criterion_vetoes() -> None:
    good = Met("good", 9, 1.0)
    said = judge([good, Met("box", 1, 0.0, required=True)], HALF)
    assert (said.verdict, said.value, said.reason) == ("wrong", 0.0, "veto: box")
    gate = Met("gate", 0, 1.0, required=True)
    assert judge([good, gate], HALF).verdict == "correct"
    unknown = judge([good, Met("box", 1, None, required=True, reason="timeout")], HALF)
    assert (unknown.reason, unknown.detail) == ("criterion_unknown", "box: timeout")
    still = judge([Met("good", 9, 0.0), Met("box", 1, None, required=True, reason="timeout")], HALF)
    assert still.verdict == "wrong", "whatever the unknown one turns out to be"


def test_unknown_counts_neither_way() -> None:
    open_ = Met("b", 1, None, reason="parse_failure")
    assert score_bounds([Met("a", 3, 1.0), open_]) == (0.75, 1.0)
    said = judge([Met("a", 3, 1.0), open_], HALF)
    assert (said.verdict, said.value) == ("correct", 0.75)
    assert judge([Met("a", 1, 1.0), open_], Thresholds(0.7, 0.7)).reason == "criterion_unknown"
    fault = Met("fault", -1, None, reason="parse_failure")
    assert score_bounds([Met("a", 2, 1.0), fault]) == (0.5, 1.0)


met = st.builds(
    Met,
    st.text("abc", min_size=1, max_size=3),
    st.floats(-3, 3).map(lambda w: round(w, 2)),
    st.one_of(st.none(), st.floats(0, 1)),
    st.booleans(),
    st.just("parse_failure"),
)


@given(st.lists(met, min_size=1, max_size=5), st.floats(0.01, 1), st.lists(st.floats(0, 1), min_size=5, max_size=5))
def test_what_is_decided_holds_whatever_the_unknown_ones_are(criteria: list[Met], t: float, fills: list[float]) -> None:
    assume(any(c.weight > 0 for c in criteria))
    limits = Thresholds(t, t)
    said = judge(criteria, limits)
    assert (said.value is None) == (said.verdict == "unknown")
    given = iter(fills)
    filled = [c if c.value is not None else Met(c.name, c.weight, next(given), c.required) for c in criteria]
    if said.verdict != "unknown":
        assert judge(filled, limits).verdict == said.verdict
