"""The implicit process reward: from the log probabilities of two policies to what each step was worth.

Invariants: a step's reward is the difference of two neighbouring prefix values, the first of which is 0, so the rewards
of a response's steps add up to the response's reward exactly; and values are float32 numbers before they are
subtracted, so that this holds for what the tables store as well. Nothing is sampled, so nothing has a sampling error:
intervals are points.

Source: Yuan et al. 2024, "Free Process Rewards without Process Labels". Its reward of a response is
r(y) = beta · log(pi(y) / pi_ref(y)), for a `pi` trained as an outcome reward model in this form. That of a step,
beta · sum over its tokens of (log pi - log pi_ref), is the difference of the same sum at the step's two ends. OPRL
(Online Process Reward Learning) scores every action so, with the old policy as reference.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synthflow.rollouts.step_rows import Values
from synthflow.segment import Span

Floats = NDArray[np.float64]


def step_rewards(policy: Floats, reference: Floats, tokens: Sequence[Span], beta: float) -> Values:
    """Values and rewards of the steps of one response.

    value of step k = beta · sum over all tokens up to its end of (log p - log p_ref); value_before of the first is 0;
    advantage of step k, its reward, = value - value_before.

    Args:
        policy, reference: nats, one number a token.
        tokens: token ranges of the steps, which tile the response.
        beta: reward per nat.

    Returns:
        One number a step in every column; the last value is the response's reward. Infinite where a sum leaves
        float32.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        so_far = beta * np.concatenate(([0.0], np.cumsum(policy - reference)))
        value = so_far[[span.end for span in tokens]].astype(np.float32).astype(np.float64)
        before = np.concatenate(([0.0], value[:-1]))
        advantage = value - before
    return Values(before, value, value, value, advantage, np.zeros(len(value)), None)
