"""What a judge says about steps is read strictly: an index, a score for every step, or nothing with the problem."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.judges.step_parsing import EarliestError, StepScores

THREE = EarliestError(3)
SCORED = StepScores(3, (0, 10))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Step 1 adds.\nEarliest: 1", 1.0),
        ("Earliest: -1", -1.0),
        ("**Earliest: 2**", 2.0),
        ("<think>Earliest: 0</think>\nEarliest: 2", 2.0),
        ("Earliest: 2\nso\nearliest: 2.", 2.0),
        ("Earliest: 0.0", 0.0),
    ],
)
def test_an_index_is_read(text, value):
    assert THREE.read(text).value == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("Step 1: 5 + 5 = 10", "does not begin with Earliest"),
        ("Earliest: 3", "not on the scale from -1 to 2"),
        ("Earliest: -2", "not on the scale"),
        ("Earliest: 99999999999999999999", "no single number"),
        ("Earliest: 1.5", "1.5 is no index"),
        ("Earliest: step 1", "no single number"),
        ("Earliest: 1\nEarliest: 2", "contradict"),
        ("Earliest: nan", "no single number"),
        ("Earliest: 1\nand so on", "does not begin with Earliest"),
        ("\ud800", "does not begin"),
    ],
)
def test_what_is_no_index_is_nothing(text, problem):
    reading = THREE.read(text)
    assert reading.value is None and problem in reading.problem


def test_an_index_in_json():
    asked = EarliestError(3, "json")
    assert asked.read('{"reason": "r", "earliest": 2}').value == 2.0
    assert asked.read('```json\n{"earliest": -1}\n```').value == -1.0
    for text in ('{"earliest": true}', '{"earliest": "2"}', '{"earliest": 1, "earliest": 2}', "{", '{"earliest": 7}',
                 '{"earliest": NaN}', '{"earliest": 0.5}', "[" * 100_000):  # fmt: skip
        assert asked.read(text).value is None, text[:40]


def lines(*scores):
    return "\n".join(f"Score of step {k}: {s}" for k, s in enumerate(scores))


def test_scores_are_read():
    assert SCORED.read("Fine.\n" + lines(1, 0, 10)).value == (1.0, 0.0, 10.0)
    assert SCORED.read("Step 1: this adds 5\n" + lines("7/10", "**3**", "2.5")).value == (7.0, 3.0, 2.5)
    assert SCORED.read("score of step 2: 1\nScore of step 0: 2\nScore of step 1: 3").value == (2.0, 3.0, 1.0)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        (lines(1, 2), "step 2 has no score"),
        (lines(1, 2, 3, 4), "there is no step 3"),
        (lines(1, 2, 11), "step 2: 11 is not on the scale"),
        (lines(1, 2, "good"), "step 2: Score: is followed by no single number"),
        (lines(1, 2, ""), "no single number"),
        (lines(1, 2, 3) + "\nScore of step 0: 2", "several scores of step 0"),
        (lines(1, 2, 3) + "\nThat is all.", "the last line"),
    ],
)
def test_what_are_no_scores_is_nothing(text, problem):
    reading = SCORED.read(text)
    assert reading.value is None and problem in reading.problem


def test_scores_in_json():
    asked = StepScores(3, (0, 1), "json")
    assert asked.read('{"scores": [0, 0.5, 1]}').value == (0.0, 0.5, 1.0)
    for scores in ([0, 1], [0, 1, 2], [0, 1, None], [0, 1, True], "0 1 1", [0, 1, "1"], {"0": 1}, [[0], 1, 1]):
        assert asked.read(json.dumps({"scores": scores})).value is None, scores


@settings(deadline=None)
@given(st.text(st.one_of(st.characters(), st.sampled_from([*'Earliest: Score of step -1\n0123456789{}"[]']))))
def test_nothing_breaks_a_reading(text):
    for asked in (THREE, EarliestError(1, "json"), SCORED, StepScores(2, (0, 1), "json")):
        reading = asked.read(text)
        assert (reading.value is None) == (reading.problem is not None)


@pytest.mark.parametrize("unit", ["Earliest: ", "Score of step 0: 1\n", "Score of step ", "*", "> ", "\n", "1"])
def test_hostile_repetition_takes_linear_time(unit):
    text = unit * (400_000 // len(unit))
    began = time.process_time()
    THREE.read(text)
    SCORED.read(text)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("asked", "example"),
    [
        (EarliestError(2), "Earliest: 1"),
        (StepScores(2, (0, 1)), lines(0, 1)),
        (EarliestError(2, "json"), '{"reason": "so", "earliest": 1}'),
        (StepScores(2, (0, 1), "json"), '{"reason": "so", "scores": [0, 1]}'),
    ],
)
def test_who_does_what_is_asked_is_read(asked, example):
    told = asked.instruction()
    assert "0 to 1" in told and asked.read(example).value is not None
    assert ("json" in told.lower()) == (asked.layout == "json")
