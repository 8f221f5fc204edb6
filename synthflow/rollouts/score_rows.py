"""Rows of scores about rollouts: verdicts with what stands behind them, and measures.

Invariant: whoever judges rollouts writes its verdicts in these rows, so that a reader need not know who judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa

from synthflow.contracts import Inputs, Judgement, Services
from synthflow.rollouts.groups import GROUP
from synthflow.rollouts.questions import note, part_rows
from synthflow.rollouts.telemetry import elapsed_table
from synthflow.schema import SCORES

COLUMNS = ("rollout_id", *GROUP, "completion", "finish_reason", "condition")


@dataclass(frozen=True, slots=True)
class Scorer:
    """Who judges: the name, version and configuration hash of the rows it writes."""

    name: str
    version: str
    config_hash: str


def read(inputs: Inputs, columns: Sequence[str] | None = COLUMNS) -> pl.DataFrame:
    """The nearest rollouts, sorted by group and id."""
    return inputs.frame("rollouts", columns, nearest=True).sort(*GROUP, "rollout_id")


def verdict_rows(
    problem_id: str, rollout_id: str, judgement: Judgement, scorer: Scorer, stage_id: str
) -> list[dict[str, Any]]:
    """The verdict on one rollout, and a row for each part that stands behind it."""
    row = _row({"problem_id": problem_id, "rollout_id": rollout_id}, scorer, stage_id) | {
        "kind": "verdict",
        "verdict": judgement.verdict,
        "value": judgement.value,
        "reason": note(judgement.reason),
        "detail": note(judgement.detail),
    }
    return [row, *part_rows(problem_id, rollout_id, judgement, stage_id)]


def measure_row(
    row: Mapping[str, Any], name: str, value: float | None, scorer: Scorer, stage_id: str,
    reason: str | None = None, detail: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """A number behind a verdict, in a row of its own that nothing counts as a verdict: scorer `SCORER:NAME`."""
    return _row(row, scorer, stage_id) | {
        "kind": "measure",
        "scorer": f"{scorer.name}:{name}",
        "value": value,
        "reason": note(reason),
        "detail": note(detail),
    }


def plain_measure_row(
    row: Mapping[str, Any], value: float | None, scorer: Scorer, stage_id: str, reason: str | None
) -> dict[str, Any]:
    """A number that is all a scorer says."""
    said = {"kind": "measure", "value": value, "reason": note(reason)}
    return _row(row, scorer, stage_id) | said


def _row(row: Mapping[str, Any], scorer: Scorer, stage_id: str) -> dict[str, Any]:
    return {
        "problem_id": row["problem_id"],
        "target_kind": "rollout",
        "target_id": row["rollout_id"],
        "scorer": scorer.name,
        "scorer_version": scorer.version,
        "config_hash": scorer.config_hash,
        "stage_id": stage_id,
    }


def verdict_counts(judgements: Sequence[Judgement]) -> dict[str, int]:
    """How many of each verdict, as progress counters."""
    return {verdict: sum(j.verdict == verdict for j in judgements) for verdict in ("correct", "wrong", "unknown")}


def finish(
    rows: Sequence[Mapping[str, Any]],
    judgements: Mapping[str, Judgement],
    measures: Sequence[Mapping[str, Any]],
    scorer: Scorer,
    services: Services,
) -> dict[str, pa.Table]:
    """Scores and telemetry of a stage from the judgement of each rollout, and its progress counters."""
    judged = [(row["problem_id"], row["rollout_id"], judgements[row["rollout_id"]]) for row in rows]
    services.count(rows=len(rows), **verdict_counts([judgement for _, _, judgement in judged]))
    scores = [row for p, r, judgement in judged for row in verdict_rows(p, r, judgement, scorer, services.stage_id)]
    times = ((problem, rollout, judgement.elapsed_s) for problem, rollout, judgement in judged if judgement.elapsed_s)
    return {"scores": SCORES.from_rows([*scores, *measures]), "telemetry": elapsed_table(times, services)}
