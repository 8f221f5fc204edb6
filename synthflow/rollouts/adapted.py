"""What stages share that wrap a registered class: a verifier `x` is `verify.x`, a filter `x` is `filter.x`.

Invariant: every rollout such a stage reads has one score or, if it continues a prefix, one row in `rejects`: the text
of a continuation alone is no answer, so whoever samples continuations judges them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from synthflow.contracts import Coverage, Inputs, Stage
from synthflow.rollouts.eligibility import split

ADAPTER_VERSION = "1"
"""Raised when an adapter would say something else of the same answer."""


class AdaptedStage(Stage):
    """A stage that wraps a registered class; `own` names the fields that belong to it."""

    own: ClassVar[tuple[str, ...]] = ()
    wrapped: ClassVar[type[Any]]
    covers = Coverage("rollouts", "rollout_id", {"scores": "target_id"})

    def own_config(self) -> dict[str, Any]:
        """The wrapped class's configuration as plain JSON values."""
        return dict(self.config.model_dump(mode="json", include=set(self.own)))

    def standing(self, inputs: Inputs, columns: Sequence[str] | None, stage_id: str) -> tuple[pl.DataFrame, pa.Table]:
        """Nearest rollouts that stand for themselves, sorted, and rejects for those that continue a prefix."""
        return split(inputs.frame("rollouts", columns, nearest=True).sort("problem_id", "rollout_id"), stage_id)
