"""What a calibration compares with what, and what it demands before a scorer may label."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from synthflow.contracts import StageConfig
from synthflow.io.paths import anchored
from synthflow.stores.files import sha256_of

BOUNDED = ("precision", "recall", "false_accept", "false_reject", "agreement", "coverage", "auroc")


class Bound(BaseModel):
    """Where the whole 95% interval must lie."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at_most: float | None = Field(None, ge=0, le=1, description="the interval's upper end may not exceed this")
    at_least: float | None = Field(None, ge=0, le=1, description="the interval's lower end may not be below this")

    @model_validator(mode="after")
    def _says_something(self) -> Bound:
        if self.at_most is None and self.at_least is None:
            raise ValueError("say at_most or at_least")
        return self


class Require(BaseModel):
    """What every scorer must show against the truth before the stages below may use its verdicts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n: int = Field(1, ge=1, description="rollouts that both scorer and truth are sure of, at least")
    problems: int = Field(1, ge=1, description="problems with such a rollout, at least")
    precision: Bound | None = Field(None, description="of what it accepts, the share that is correct")
    recall: Bound | None = Field(None, description="of what is correct, the share that it accepts")
    false_accept: Bound | None = Field(None, description="of what is wrong, the share that it accepts")
    false_reject: Bound | None = Field(None, description="of what is correct, the share that it calls wrong")
    agreement: Bound | None = Field(None, description="the share on which both say the same")
    coverage: Bound | None = Field(None, description="the share that it is sure of")
    auroc: Bound | None = Field(None, description="chance that a correct one has a higher value than a wrong one")
    per_bin: bool = Field(False, description="demand it in each difficulty bin, not only over all")


class CalibrationConfig(StageConfig):
    scorers: tuple[str, ...] | None = Field(
        None, description="verify stages to calibrate; null: all above but the truth", min_length=1
    )
    truth: str | None = Field(None, description="the verify stage that is taken for the truth")
    labels: str | None = Field(
        None, description="JSON Lines of human labels: rollout_id, and verdict (correct, wrong); relative to the spec"
    )
    labels_sha256: str | None = Field(None, description="of the labels, which they must have; null: whatever they are")
    require: Require | None = Field(None, description="what scorers must show before the stages below may label")

    @model_validator(mode="after")
    def _one_truth(self) -> CalibrationConfig:
        if self.truth is not None and self.labels is not None:
            raise ValueError("truth and labels: there can be one truth only, remove one")
        if self.require is not None and self.truth is None and self.labels is None:
            raise ValueError("require: there is nothing to compare with; add truth: STAGE or labels: FILE")
        return self


def with_labels_hash(given: Mapping[str, Any], base_dir: Path) -> dict[str, Any]:
    """The fields with the labels' path made absolute and their hash filled in, so that a new file is a new stage."""
    found = {key: anchored(value, base_dir) if key == "labels" else value for key, value in given.items()}
    path = found.get("labels")
    if isinstance(path, str) and found.get("labels_sha256") is None:
        with suppress(OSError, ValueError):  # `check` says what is wrong with the path
            found["labels_sha256"] = sha256_of(Path(path))
    return found
