"""The demo world's reference checker, for `label.reference`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from synthflow.contracts import StepChecker, StepTruth
from synthflow.demo.checker import StepJudgement, check_steps


class DemoStepChecker(StepChecker):
    """The demo world: reads equations and answers, knows the problem's facts."""

    name = "demo"
    version = "1"

    def check(self, metadata: Mapping[str, Any], steps: Sequence[str]) -> list[StepTruth] | None:
        """See `StepChecker.check` and `checker.check_steps`."""
        if not isinstance(metadata.get("facts"), Mapping):
            return None
        try:
            judgements = check_steps(metadata, steps)
        except (KeyError, ValueError, TypeError, IndexError, AttributeError):  # facts of another shape: another world's
            return None
        return [_truth(j) for j in judgements]


def _truth(judgement: StepJudgement) -> StepTruth:
    if judgement.verdict != "wrong":
        return StepTruth(judgement.verdict, judgement.error_kind)
    return StepTruth("inherited" if judgement.error_kind == "inherited" else "newly_wrong", judgement.error_kind)
