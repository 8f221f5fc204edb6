"""Rows of scores about rollouts: verdicts with what stands behind them, and measures.

Invariant: whoever judges rollouts writes its verdicts in these rows, so that a reader need not know who judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import polars as pl
import pyarrow as pa

from synthflow.contracts import Inputs, Judgement, Services
from synthflow.contracts.verifier import Verdict
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


def verdict_table(
    problem_ids: list[str], rollout_ids: list[str], judgements: Sequence[Judgement], scorer: Scorer, stage_id: str
) -> pa.Table:
    """The verdict on each rollout, and a row for each part that stands behind one."""
    verdicts = SCORES.from_columns(
        len(judgements),
        {
            "problem_id": problem_ids,
            "target_kind": "rollout",
            "target_id": rollout_ids,
            "kind": "verdict",
            "scorer": scorer.name,
            "scorer_version": scorer.version,
            "config_hash": scorer.config_hash,
            "verdict": [judgement.verdict for judgement in judgements],
            "value": [judgement.value for judgement in judgements],
            "reason": [note(judgement.reason) for judgement in judgements],
            "detail": [note(judgement.detail) for judgement in judgements],
            "stage_id": stage_id,
        },
    )
    told = zip(problem_ids, rollout_ids, judgements, strict=True)
    parts = [row for p, r, judgement in told if judgement.parts for row in part_rows(p, r, judgement, stage_id)]
    return pa.concat_tables([verdicts, SCORES.from_rows(parts)]) if parts else verdicts


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
    counts = Counter(judgement.verdict for judgement in judgements)
    return {verdict: counts[verdict] for verdict in get_args(Verdict)}


def finish(
    rows: Sequence[Mapping[str, Any]],
    judgements: Mapping[str, Judgement],
    measures: Sequence[Mapping[str, Any]],
    scorer: Scorer,
    services: Services,
) -> dict[str, pa.Table]:
    """Scores and telemetry of a stage from the judgement of each rollout, and its progress counters."""
    problems, rollouts = [row["problem_id"] for row in rows], [row["rollout_id"] for row in rows]
    said = [judgements[rollout] for rollout in rollouts]
    services.count(rows=len(rows), **verdict_counts(said))
    scores = verdict_table(problems, rollouts, said, scorer, services.stage_id)
    judged = zip(problems, rollouts, said, strict=True)
    times = [(problem, rollout, judgement.elapsed_s) for problem, rollout, judgement in judged if judgement.elapsed_s]
    return {
        "scores": pa.concat_tables([scores, SCORES.from_rows(measures)]),
        "telemetry": elapsed_table(times, services),
    }
