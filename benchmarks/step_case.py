"""A wrong rollout as the step label benchmark sees it: its steps, its pool, and what labelers said of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Said:
    """What a labeler says of one rollout of T steps.

    Attributes:
        named: index of the first error, where it names one.
        chances: [T] of each step to be it, or minus the step's advantage; NaN where nothing is said.
        tokens: that it sampled.
    """

    named: int | None
    chances: Floats
    tokens: int

    def first(self) -> int | None:
        """The step that is named, else the likeliest."""
        if self.named is not None or np.isnan(self.chances).all():
            return self.named
        return int(np.nanargmax(self.chances))


@dataclass(frozen=True, slots=True)
class Case:
    """One wrong rollout of T steps with its pool. Prefix j holds the first j steps.

    Attributes:
        truth: index of the reference checker's first wrong step.
        kinds: of each step, as `step_truth.kind_of`.
        remaining: tokens from the end of each of the T + 1 prefixes to the rollout's.
        prompt: correct and judged rollouts of its group, itself left out.
        verdicts: [T + 1, K] of the k-th continuation: 1 correct, 0 wrong, -1 unknown; rows 0 and T are not sampled.
        tokens: [T + 1, K] that it cost.
        surprisal: minus the sum of the log probabilities of each step's tokens, as the policy sampled them.
        said: what labelers that draw from no pool say of the rollout.
    """

    problem_id: str
    family: str
    error_kind: str
    truth: int
    kinds: tuple[str, ...]
    remaining: tuple[int, ...]
    prompt: tuple[int, int]
    verdicts: NDArray[np.int8]
    tokens: NDArray[np.int32]
    surprisal: tuple[float, ...] | None = None
    said: Mapping[str, Said] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        return len(self.kinds)
