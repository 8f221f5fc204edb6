"""Nothing is lost: what a stage reads comes out of it, or stands in `rejects` with a reason.

Invariants: for every stage that declares what it covers, each input (of its nearest ancestors that write the table)
has an output or a reject. A `sample` stage has the rollouts 0 to n - 1 of every problem, a `sample.more` stage as many
as its budget gave each, numbered without a gap. Stages that are still owed some units are judged by the units they
have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synthflow.check.database import Rows, quoted
from synthflow.schema import TABLES
from synthflow.stores.graph import StageRecord

_AGAIN = "take the stage's lines of this unit out of manifest.jsonl and run again; if it comes back, report it"


def check_coverage(rows: Rows) -> None:
    """Compare what every stage read with what it wrote and rejected."""
    for record in rows.graph.stages.values():
        if record.covers and rows.graph.stages[record.name].scope != "source":
            _check_covers(rows, record, record.covers)
        if record.has("samples_groups") and isinstance(record.config.get("n"), int):
            _check_group_sizes(rows, record.name, int(record.config["n"]))
        if record.has("enlarges_groups"):
            _check_second_wave(rows, record)


def _check_covers(rows: Rows, record: StageRecord, covers: Mapping[str, Any]) -> None:
    table, key, outputs = str(covers["input_table"]), str(covers["input_key"]), dict(covers["outputs"])
    columns = {**outputs, "rejects": "target_id"}
    producers = rows.nearest(record.name, table)
    declared = table in TABLES and key in TABLES[table].names
    if not declared or any(t not in TABLES or c not in TABLES[t].names for t, c in columns.items()):
        what = f"it says it covers {table}.{key} by {outputs}, which no table declares"
        rows.found.error("coverage", f"stage {record.name}", what, "check with the version of Synthflow that wrote it")
        return
    if not producers or not rows.count("coverage", table, producers):
        return
    told = " UNION ALL ".join(
        f"SELECT {column} AS told FROM {rows.view(t, [record.name])}" for t, column in columns.items()
    )
    needed = [(t, [record.name]) for t in columns]
    rows.faults(
        "coverage",
        key,
        f"""SELECT DISTINCT c.sf_path, c.{key} AS id,
                   {quoted(f"stage {record.name} has neither {', '.join(outputs)} nor a reject for it")} AS what
            FROM {rows.view(table, producers)} c ANTI JOIN ({told}) t ON c.{key} = t.told
            WHERE {rows.whole("c", *needed)}""",
        _AGAIN,
    )


def _check_group_sizes(rows: Rows, stage: str, n: int) -> None:
    if not rows.count("coverage", "rollouts", [stage]):
        return
    rows.faults(
        "coverage",
        "problem_id",
        f"""SELECT min(c.sf_path) AS sf_path, c.problem_id AS id,
                   {quoted(f"stage {stage} has ")} || count(DISTINCT c."index")
                   || {quoted(f" rollouts of this problem, and says that it samples 0 to {n - 1} (samples_groups)")}
                   AS what
            FROM {rows.view("rollouts", [stage])} c
            ANTI JOIN {rows.view("rejects", [stage])} x ON c.problem_id = x.target_id
            WHERE {rows.whole("c", ("rollouts", [stage]))}
            GROUP BY c.problem_id
            HAVING count(DISTINCT c."index") <> {n} OR min(c."index") <> 0 OR max(c."index") <> {n - 1}""",
        _AGAIN,
    )


def _check_second_wave(rows: Rows, record: StageRecord) -> None:
    budgets = [p for p in record.parents if rows.graph.stages[p].has("sets_budgets")]
    if not budgets or not rows.count("coverage", "scores", budgets):
        return
    scorers = ", ".join(sorted({quoted(rows.graph.stages[budget].use) for budget in budgets}))
    rows.faults(
        "coverage",
        "problem_id",
        f"""WITH made AS (SELECT problem_id, count(*) AS n, max("index") - min("index") + 1 AS span
                          FROM {rows.view("rollouts", [record.name])} GROUP BY problem_id)
            SELECT c.sf_path, c.target_id AS id, concat({quoted(f"stage {record.name} has ")}, coalesce(made.n, 0),
                   ' further rollouts of this problem, numbered over ', coalesce(made.span, 0), '; its budget gave ',
                   c.detail) AS what
            FROM {rows.view("scores", budgets)} c LEFT JOIN made ON made.problem_id = c.target_id
            WHERE c.scorer IN ({scorers}) AND {rows.whole("c", ("rollouts", [record.name]))}
              AND (coalesce(made.n, 0) <> try_cast(c.detail AS BIGINT) OR made.span <> made.n)""",
        _AGAIN,
    )
