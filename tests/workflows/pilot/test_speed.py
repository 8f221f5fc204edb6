"""Busy time as the union of open requests, against a count on a fine grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.workflows.pilot.speed import BINS, Answer, speed_of, within

ANSWERS = st.lists(
    st.builds(Answer, st.integers(0, 400).map(lambda x: x / 10), st.integers(1, 80).map(lambda x: x / 10),
              st.integers(0, 100)),
    min_size=1, max_size=30,
)  # fmt: skip


def test_two_sessions_and_an_overlap_by_hand() -> None:
    # 0-2 and 1-3 overlap: three seconds; a day later one more second.
    answers = [Answer(2, 2, 30), Answer(3, 2, 10), Answer(86_401, 1, 20)]
    speed = speed_of(answers)
    assert speed is not None
    assert speed.busy_s == pytest.approx(4.0)
    assert speed.tokens_per_s == pytest.approx(15.0)
    # On the busy clock they came at 2, 3 and 4 of 4 seconds.
    assert {i: n for i, n in enumerate(speed.binned) if n} == {10: 30, 15: 10, 19: 20}


def test_a_recording_measures_no_time() -> None:
    assert speed_of([]) is None
    assert speed_of([Answer(5, 0, 40)]) is None
    assert speed_of([Answer(5, 3, 0)]) is None


def test_what_came_outside_of_the_pilot_tells_no_speed() -> None:
    answers = [Answer(1, 1, 5), Answer(2, 1, 6), Answer(50, 1, 7)]
    assert within(answers, [(0, 1.5), (49, 60)]) == [answers[0], answers[2]]
    assert within(answers, []) == []


@settings(deadline=None)
@given(ANSWERS)
def test_busy_time_is_where_some_request_is_open(answers: list[Answer]) -> None:
    speed = speed_of(answers)
    if speed is None:
        assert not any(a.tokens for a in answers)
        return
    middles = np.arange(-100, 500) / 10 + 0.05
    open_somewhere = np.zeros(len(middles), dtype=bool)
    for a in answers:
        open_somewhere |= (middles > a.at - a.elapsed_s) & (middles < a.at)
    assert speed.busy_s == pytest.approx(open_somewhere.sum() / 10)
    assert len(speed.binned) == BINS
    assert speed.binned.sum() == pytest.approx(speed.tokens)


def test_drawn_speeds_lie_around_the_measured_one() -> None:
    rng = np.random.default_rng(0)
    speed = speed_of([Answer(float(t), 1.0, int(n)) for t, n in enumerate(rng.integers(50, 150, 400), 1)])
    assert speed is not None
    drawn = speed.replicates(4000, rng)
    assert drawn.mean() == pytest.approx(speed.tokens_per_s, rel=0.02)
    assert 0 < drawn.std() < 0.2 * speed.tokens_per_s
