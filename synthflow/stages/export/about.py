"""What a release says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from synthflow.contracts import StageInfo


@dataclass(frozen=True)
class About:
    """Where a release comes from. `notes` are sentences for the card, `rejected` counts rows by reason."""

    stage: str
    use: str
    version: str
    for_analysis: bool
    ancestors: Sequence[StageInfo]
    license: str | None
    summary: str
    notes: Sequence[str]
    rejected: Mapping[str, int]
