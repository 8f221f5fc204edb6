"""A step checker knows the world that a problem comes from, and says of every step whether it is right.

Invariants: one judgement a step, in order, whatever the text holds; a step is judged by the problem's facts and the
steps before it, never by what follows; a problem of another world has no judgement at all (None).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

StepKind = Literal["right", "newly_wrong", "inherited", "unjudgeable"]
"""Right; wrong by an error of its own; true in itself, but built on an earlier error; without a claim to judge."""


@dataclass(frozen=True, slots=True)
class StepTruth:
    """What is known of one step; `reason` names the error, or why there is nothing to judge."""

    kind: StepKind
    reason: str | None = None

    @property
    def is_wrong(self) -> bool:
        return self.kind in ("newly_wrong", "inherited")


class StepChecker(ABC):
    """Base of the step checkers; registered in the entry-point group `synthflow.step_checkers`."""

    name: ClassVar[str]
    version: ClassVar[str]

    @abstractmethod
    def check(self, metadata: Mapping[str, Any], steps: Sequence[str]) -> list[StepTruth] | None:
        """Judge the steps of one rollout.

        Args:
            metadata: of the problem, as its source gave it.
            steps: texts that joined are the completion.

        Returns:
            One `StepTruth` a step; None where the problem is not of this checker's world.
        """
