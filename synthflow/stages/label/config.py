"""The fields that labelers share."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from synthflow import ids
from synthflow.contracts import StageConfig
from synthflow.errors import UserError
from synthflow.rollouts.cutting import StepCutter
from synthflow.segment import SEGMENTERS, Overflow, parse_segmenter

WHICH = {"use", "of", "verdicts", "policy", "groups", "rollouts_per_problem", "include_dropped"}
"""Fields that say which rollouts are labelled, not what a value is."""


class LabelConfig(StageConfig):
    """How steps are cut, and which rollouts are labelled: the fields of every labeler."""

    verdicts: str | None = Field(None, description="the verify stage whose verdicts count; null where there is one")
    segmenter: str = Field(
        "lines",
        description="where a step ends; NAME*k joins every k steps to one",
        json_schema_extra={"pattern": rf"^({'|'.join(SEGMENTERS)})(\*[1-9][0-9]{{0,2}})?$"},
    )
    max_steps: int = Field(64, ge=1, le=4096, description="most steps of a rollout; more are merged")
    overflow: Overflow = Field("even", description="how: runs of neighbours (even), or the rest into the last (tail)")
    groups: Literal["mixed", "all"] = Field("mixed", description="mixed: only groups with a right and a wrong rollout")
    rollouts_per_problem: int | None = Field(
        None, ge=1, description="most rollouts labelled of each group, wrong and correct ones in turn; null is all"
    )
    include_dropped: bool = Field(False, description="label rollouts too that a filter drops")

    @field_validator("segmenter")
    @classmethod
    def _known_segmenter(cls, value: str) -> str:
        try:
            name, group = parse_segmenter(value)
        except UserError as error:
            raise ValueError(f"a segmenter: {error}") from None
        return f"{name}*{group}" if group > 1 else name

    def cutter(self) -> StepCutter:
        return StepCutter(self.segmenter, self.max_steps, self.overflow)

    def labeler_hash(self, *others: str) -> str:
        """H(all that a value depends on, but for the policy, which is a column of its own).

        Args:
            others: versions and hashes of what else decides a value, such as the verifier's.
        """
        fields: dict[str, Any] = self.model_dump(mode="json", exclude=WHICH)
        return ids.content_id("c", fields, *others)
