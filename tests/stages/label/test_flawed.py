"""FAPO's rewards, worked out by hand."""

from __future__ import annotations

import pytest

from synthflow.stages.label.flawed import fapo_reward, flawed_positive, genrm_reward


@pytest.mark.parametrize(
    ("verdict", "has_error", "flawed", "reward"),
    [
        ("correct", False, False, 1.0),
        ("correct", True, True, 0.0),
        ("correct", None, None, None),
        ("wrong", True, None, -1.0),
        ("wrong", None, None, -1.0),
        ("unknown", True, None, None),
    ],
)
def test_a_flawed_positive_is_a_right_answer_with_an_error(verdict, has_error, flawed, reward):
    assert flawed_positive(verdict, has_error) is flawed
    assert fapo_reward(verdict, has_error) == reward


@pytest.mark.parametrize(
    ("named", "truth", "reward"),
    [
        (-1, -1, 1.0),  # error-free, and said so
        (3, -1, -1.0),
        (-1, 3, -1.0),  # an error, and none said
        (3, 3, 1.0),
        (1, 3, 1 - 2 / 8),
        (7, 0, 1 - 7 / 8),
        (None, -1, -1.0),
        (None, 3, -1.0),
    ],
)
def test_the_reward_of_a_judge_in_training(named, truth, reward):
    """1 - |named - truth| / 8 in a solution of eight steps."""
    assert genrm_reward(named, truth, 8) == pytest.approx(reward)


@pytest.mark.parametrize("truth", [-2, 8])
def test_a_truth_that_is_no_step_is_a_mistake(truth):
    with pytest.raises(ValueError, match="expected -1 to 7"):
        genrm_reward(0, truth, 8)
