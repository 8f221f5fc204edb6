"""The tables, declared once: a module a group of tables, and all of them by name in `TABLES`."""

from __future__ import annotations

from collections.abc import Mapping

from synthflow.schema.graph import ARTIFACTS, PROBLEMS, ROLLOUTS, STEPS
from synthflow.schema.judgements import PAIRS, PROBLEM_STATS, REJECTS, SCORES, STEP_VALUES
from synthflow.schema.measures import AGREEMENT, STATS, TELEMETRY
from synthflow.schema.runs import POLICIES, RUNS, SAMPLINGS, STAGES
from synthflow.schema.spec import SCHEMA_VERSION, Column, TableSpec

__all__ = [
    "AGREEMENT",
    "ARTIFACTS",
    "PAIRS",
    "POLICIES",
    "PROBLEMS",
    "PROBLEM_STATS",
    "REJECTS",
    "ROLLOUTS",
    "RUNS",
    "SAMPLINGS",
    "SCHEMA_VERSION",
    "SCORES",
    "STAGES",
    "STATS",
    "STEPS",
    "STEP_VALUES",
    "TABLES",
    "TELEMETRY",
    "Column",
    "TableSpec",
]

TABLES: Mapping[str, TableSpec] = {
    t.name: t
    for t in (
        PROBLEMS, ROLLOUTS, SCORES, STEPS, STEP_VALUES, PAIRS, PROBLEM_STATS, ARTIFACTS, REJECTS, STATS,
        AGREEMENT, TELEMETRY, POLICIES, SAMPLINGS, STAGES, RUNS,
    )
}  # fmt: skip
