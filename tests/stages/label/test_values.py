"""Values, advantages and the first error, worked by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthflow.stages.label.values import Evidence, hard_first_error, step_columns

RIGHT, WRONG = Evidence(1, 1, "verdict"), Evidence(0, 1, "verdict")


def mc(k: int, n: int = 8) -> Evidence:
    return Evidence(k, n)


def group(k: int, n: int) -> Evidence:
    return Evidence(k, n, "prompt")


def test_hand_worked_values():
    """Prompt 4/8, then 6/8, then wrong.

    6/8: centre (6 + 1.920729)/11.841459 = .668898; se sqrt(.668898 · .331102 / 8) = .166386;
    half width .165517 · sqrt(6 · 2 / 8 + .960365) = .259623, so [.409275, .928521].
    """
    got = step_columns(group(4, 8), [mc(6), WRONG], "wrong")
    assert got.before == pytest.approx([0.5, 0.75]) and got.value == pytest.approx([0.75, 0.0])
    assert got.advantage == pytest.approx([0.25, -0.75])
    assert got.low == pytest.approx([0.409275, 0.0], abs=1e-6)
    assert got.high == pytest.approx([0.928521, 0.0], abs=1e-6)
    assert got.advantage_se == pytest.approx([math.hypot(0.176777, 0.166386), 0.166386], abs=1e-6)
    assert got.first_error == 1


@pytest.mark.parametrize(
    ("prompt", "steps", "verdict", "expected"),
    [
        # 4/8 [.22, .78] against 0/8 [0, .32]: they overlap, but the difference is above its noise by .07.
        (group(8, 16), [mc(4), mc(0), WRONG], "wrong", 1),
        # 3/8 against 0/8 is not: .375 - sqrt(.24² + .32²) < 0; nor is the last step's drop, from nothing.
        (group(8, 16), [mc(3), mc(0), WRONG], "wrong", None),
        # 8/8 [.68, 1] falls to 0/8 [0, .32] and stays: the second step.
        (group(6, 8), [mc(8), mc(0), mc(0), WRONG], "wrong", 1),
        # The same drop, but 6/8 [.41, .93] later is compatible with .68: it came back, and fell for good after that.
        (group(6, 8), [mc(8), mc(0), mc(6), WRONG], "wrong", 3),
        # 5/8 [.31, .86], 3/8 [.14, .69], 1/8: a slow decline, and 1/8 is less than half of .75: undecided.
        (group(6, 8), [mc(5), mc(3), mc(1), WRONG], "wrong", None),
        # The same decline with 64 each: 40/64 [.50, .73] against 8/64 [.06, .23].
        (group(48, 64), [mc(40, 64), mc(24, 64), mc(8, 64), WRONG], "wrong", 1),
        # Good to the end, then the wrong answer.
        (group(6, 8), [mc(8), mc(7), WRONG], "wrong", 2),
        # Nothing known after the drop until the verdict: undecided; nothing known before it does not matter.
        (group(6, 8), [mc(8), mc(0), mc(0, 0), WRONG], "wrong", None),
        (group(6, 8), [mc(0, 0), mc(8), mc(0), WRONG], "wrong", 2),
        # A rollout that ends right has no error that lasts; an unknown one is unknown.
        (group(6, 8), [mc(8), mc(0), RIGHT], "correct", -1),
        (group(6, 8), [mc(8), mc(0), mc(0)], "unknown", None),
        # An all-wrong group: the prompt's interval starts at 0, so that nothing can be told.
        (group(0, 8), [mc(0), mc(0), WRONG], "wrong", None),
        (group(0, 0), [mc(8), mc(0), WRONG], "wrong", None),
    ],
)
def test_first_error(prompt, steps, verdict, expected):
    assert step_columns(prompt, steps, verdict).first_error == expected


EVIDENCE = st.integers(0, 20).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(EVIDENCE, st.lists(EVIDENCE, max_size=12), st.sampled_from(["correct", "wrong", "unknown"]))
def test_properties(prompt, steps, verdict):
    last = {"correct": [RIGHT], "wrong": [WRONG], "unknown": [mc(1, 3)]}[verdict]
    evidence = [mc(*s) for s in steps] + last
    got = step_columns(group(*prompt), evidence, verdict)
    known = [e.judged > 0 for e in (group(*prompt), *evidence)]
    assert (~np.isnan(got.value)).tolist() == known[1:] == (~np.isnan(got.low)).tolist()
    both = [a and b for a, b in pairwise(known)]
    assert (~np.isnan(got.advantage)).tolist() == both == (~np.isnan(got.advantage_se)).tolist()
    if all(known):
        assert got.advantage.sum() == pytest.approx(got.value[-1] - prompt[0] / prompt[1])
    usable = ~np.isnan(got.advantage)
    assert (got.advantage_se[usable] >= 0).all() and (got.advantage_se[:-1][usable[:-1]] > 0).all()
    if got.first_error is not None and got.first_error >= 0:
        k = got.first_error
        assert verdict == "wrong" and got.advantage[k] < 0 and got.high[k:].max() < got.before[k]


def test_sure_beats_unsure():
    """0 of 8 is not certain: its error is .13, and of the difference with a verdict too."""
    got = step_columns(group(4, 8), [mc(0), WRONG], "wrong")
    assert got.advantage[1] == 0 and got.advantage_se[1] == pytest.approx(0.130333, abs=1e-6)


def test_hard_labels_by_hand():
    """Math-Shepherd's hard estimate: any success is 1. Of 2/8, 0/8, 1/8, wrong, the second is the first without;
    that the third came back does not matter to it."""
    steps = [Evidence(2, 8), Evidence(0, 8), Evidence(1, 8), Evidence(0, 1, "verdict")]
    columns = step_columns(Evidence(3, 8, "prompt"), steps, "wrong", "hard")
    assert columns.value.tolist() == [1, 0, 1, 0] and columns.before.tolist() == [1, 1, 0, 1]
    assert columns.advantage.tolist() == [0, -1, 1, -1] and columns.first_error == 1
    assert np.isnan(columns.low).all() and np.isnan(columns.high).all() and np.isnan(columns.advantage_se).all()


@pytest.mark.parametrize(
    ("values", "verdict", "expected"),
    [([1, 1, 0], "wrong", 2), ([0, 0], "wrong", 0), ([1, np.nan, 0], "wrong", None), ([0, np.nan, 0], "wrong", 0),
     ([0, 1], "correct", -1), ([1, 0], "unknown", None)],
)  # fmt: skip
def test_the_first_hard_zero(values, verdict, expected):
    assert hard_first_error(np.array(values, float), verdict) == expected
