"""From values to training signals, as arithmetic on arrays.

Throughout, J_j is the value of the prefix with the first j of a rollout's T steps (J_0 the prompt's), t_j the tokens in
it, R the outcome (1 or 0). Values and advantages are arrays of one rollout, or of many after one another with their
group's number; NaN is undecided and stays so.

Invariants: progress telescopes, and the termination advantage before step j is the progress still to come where
J_T = R; a group's normalised advantages have mean 0 and, unless all are equal, standard deviation 1.

Sources. Progress, bonus, regret and the termination baseline: MRT (Qu et al. 2025), as its text and code say; where
these leave a choice, it is named below as our default.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def progress(values: ArrayLike) -> Floats:
    """J_j - J_{j-1} for j = 1..T from J_0..J_T: [T] from [T + 1]. MRT's progress of an episode."""
    return np.diff(np.asarray(values, np.float64))


def progress_rewards(values: ArrayLike, outcome: float, weight: float = 1.0) -> Floats:
    """Reward of every step: `weight` times its progress, and the outcome's 0 or 1 on the last one: [T] from [T + 1].

    MRT adds the bonus to the outcome reward. Its weight is our default.
    """
    rewards = weight * progress(values)
    if len(rewards):
        rewards[-1] += outcome
    return rewards


def termination_advantages(values: ArrayLike, outcome: ArrayLike) -> Floats:
    """R - J_{j-1} for j = 1..T from J_0..J_T: what going on from each prefix was worth against stopping there.

    MRT's reinforcement learning takes the reward of the forced stop as baseline: A = R - R_termination. This is not the
    progress of step j but that of step j and all after it.
    """
    return np.asarray(outcome, np.float64) - np.asarray(values, np.float64)[:-1]


def normalised_regret(values: ArrayLike, ends: ArrayLike, budget: int) -> float:
    """1 - (area under J over tokens) / budget, in [0, 1]: MRT's normalised regret, against who is always right.

    Our default: J_j holds from token t_j until the next prefix ends, J_T until the budget; what lies beyond the
    budget is cut off.

    Args:
        values: J_0..J_T; NaN anywhere within the budget gives NaN.
        ends: t_1..t_T, not decreasing.
        budget: tokens.

    Raises:
        ValueError: if lengths do not fit, ends decrease, or the budget is not positive.
    """
    j, t = np.asarray(values, np.float64), np.asarray(ends, np.float64)
    if budget <= 0 or len(j) != len(t) + 1 or (np.diff(t, prepend=0.0) < 0).any():
        raise ValueError("values of T + 1 prefixes, T ends that do not decrease and a positive budget are needed")
    edges = np.minimum(np.concatenate([[0.0], t, [np.inf]]), budget)
    width = np.diff(edges)
    held = width > 0
    return float(1.0 - (j[held] * width[held]).sum() / budget)


def normalised(advantages: ArrayLike, groups: ArrayLike) -> Floats:
    """(A - mean) / std over all steps of a group (our default); 0 where all of a group's are equal.

    Args:
        advantages: [N]; NaN is left out of mean and standard deviation (of the population), and stays NaN.
        groups: [N] number of each one's group, from 0.
    """
    a, g = np.asarray(advantages, np.float64), np.asarray(groups, np.int64)
    if not len(a):
        return a
    known = ~np.isnan(a)
    count = np.maximum(np.bincount(g[known], minlength=g.max() + 1), 1)
    mean = np.bincount(g[known], a[known], minlength=g.max() + 1) / count
    centred = a - mean[g]
    std = np.sqrt(np.bincount(g[known], centred[known] ** 2, minlength=g.max() + 1) / count)
    flat = std[g] <= 1e-9
    return np.asarray(np.where(flat & known, 0.0, centred / np.where(flat, 1.0, std[g])), np.float64)
