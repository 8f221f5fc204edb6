"""What a judge is asked about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from synthflow.verifiers.answers.finding.extract import extract
from synthflow.verifiers.math import shown


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rollout that is judged: its row, and its answer as the judge sees it."""

    row: Mapping[str, Any]
    text: str
    question: str
    reference: str | None

    @property
    def rollout_id(self) -> str:
        return str(self.row["rollout_id"])

    @property
    def extracted(self) -> str | None:
        """The final answer, for whoever counts answers."""
        answer = extract(self.row["completion"])
        return None if answer is None else shown(answer)
