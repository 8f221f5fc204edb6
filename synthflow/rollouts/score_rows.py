"""What stages that judge groups share: the rollouts they read, what is decided without asking, and rows of scores.

Invariant: as every verify stage, they give each nearest rollout one verdict, or, if it continues a prefix, a row in
`rejects`; a refused or poison rollout is unknown, and a truncated one as the recipe says.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa

from synthflow.contracts import Inputs, Judgement, Services
from synthflow.rollouts.questions import note
from synthflow.schema import SCORES, TELEMETRY

GROUP = ("problem_id", "policy_id", "round", "sampling_id")
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


def groups(rows: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Rows of each (problem, policy, round, sampling), in order."""
    found: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in GROUP), []).append(row)
    return list(found.values())


def verdict_row(row: Mapping[str, Any], judgement: Judgement, scorer: Scorer, stage_id: str) -> dict[str, Any]:
    """The verdict on one rollout as a row of scores."""
    return _row(row, scorer, stage_id) | {
        "kind": "verdict",
        "verdict": judgement.verdict,
        "value": judgement.value,
        "reason": note(judgement.reason),
        "detail": note(judgement.detail),
    }


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


def finish(
    rows: Sequence[Mapping[str, Any]],
    judgements: Mapping[str, Judgement],
    measures: Sequence[Mapping[str, Any]],
    scorer: Scorer,
    services: Services,
) -> dict[str, pa.Table]:
    """Scores and telemetry of a stage from the judgement of each rollout, and its progress counters."""
    counts = {v: sum(j.verdict == v for j in judgements.values()) for v in ("correct", "wrong", "unknown")}
    services.count(rows=len(rows), **counts)
    scores = [verdict_row(row, judgements[row["rollout_id"]], scorer, services.stage_id) for row in rows]
    worker = f"{platform.node()}:{os.getpid()}"
    times = [
        {
            "problem_id": row["problem_id"],
            "target_kind": "score",
            "target_id": row["rollout_id"],
            "metric": "elapsed_s",
            "value": judgements[row["rollout_id"]].elapsed_s,
            "worker": worker,
            "attempt": services.attempt,
            "stage_id": services.stage_id,
        }
        for row in rows
        if judgements[row["rollout_id"]].elapsed_s
    ]
    return {"scores": SCORES.from_rows([*scores, *measures]), "telemetry": TELEMETRY.from_rows(times)}
