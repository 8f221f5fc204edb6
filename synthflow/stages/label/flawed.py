"""Flawed positives: right answers that were reached by wrong steps, and what FAPO makes of them.

Invariant: pure functions; what is unknown stays None, and never becomes a flaw or a reward.

Source: FAPO ("Flawed-Aware Policy Optimization", 2025) and its code. The measure of a judge is that of ProcessBench
(Zheng et al. 2024).
"""

from __future__ import annotations

NO_ERROR = -1


def flawed_positive(verdict: str, has_error: bool | None) -> bool | None:
    """Whether a rollout is a flawed positive; None where it is not correct, or nobody knows whether it has an error."""
    return has_error if verdict == "correct" else None


def fapo_reward(verdict: str, has_error: bool | None) -> float | None:
    """FAPO's reward: +1 correct, 0 flawed positive, -1 wrong.

    None where the verdict is unknown, or where it is correct and nobody knows whether there is an error: our default,
    since to reward these in full would pay for what confuses the judge.

    Args:
        verdict: of the rollout.
        has_error: whether one of its steps is an error; of a wrong one it does not matter.
    """
    if verdict == "wrong":
        return -1.0
    flawed = flawed_positive(verdict, has_error)
    return None if flawed is None else 0.0 if flawed else 1.0


def genrm_reward(named: int | None, truth: int, n_steps: int) -> float:
    """FAPO's reward for a generative judge that is trained to find the earliest error.

    1 or -1 where the solution has none, by whether the judge says so. Where it has one: -1 if the judge says there is
    none, otherwise 1 - |named - truth| / n_steps. Nothing that can be read: -1.

    Args:
        named: the index that the judge named, -1 for none; None where nothing could be read.
        truth: the true one.
        n_steps: steps of the solution.

    Raises:
        ValueError: if truth is no step of the solution and not -1.
    """
    if not NO_ERROR <= truth < n_steps:
        raise ValueError(f"the true index is {truth}; expected -1 to {n_steps - 1}")
    if named is None:
        return -1.0
    if truth == NO_ERROR:
        return 1.0 if named == NO_ERROR else -1.0
    return -1.0 if named == NO_ERROR else 1.0 - abs(named - truth) / n_steps
