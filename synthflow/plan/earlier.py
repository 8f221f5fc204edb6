"""How long requests of a stage were, and how fast they were answered, when a run last asked for some."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Pace:
    """As the last attempt that sampled saw it."""

    tokens_per_request: float
    tokens_per_s: float


def pace_of(root: Path, attempt: int, stage: str) -> Pace | None:
    """From the progress that attempts saved; None if none of them sampled in this stage."""
    for number in range(attempt, 0, -1):
        path = root / "logs" / f"attempt-{number}" / "progress.json"
        try:
            said = json.loads(path.read_text(encoding="utf-8"))["stages"]
            mine = next(s for s in said if s["stage"] == stage)
            if mine["mean_tokens"] and mine["tokens_per_s"]:
                return Pace(float(mine["mean_tokens"]), float(mine["tokens_per_s"]))
        except (OSError, ValueError, KeyError, TypeError, StopIteration):
            continue
    return None
