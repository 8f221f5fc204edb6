"""Keys and references: every row once, and nothing that points to nowhere.

Invariants: a table's key is unique among the rows of one stage (two stages may both tell of a thing); every id that
names a row of another table names one that is there; every row carries the stage_id of the stage that wrote it.
"""

from __future__ import annotations

from dataclasses import dataclass

from synthflow.check.database import Rows, quoted
from synthflow.schema import TABLES

_LOST = "restore the shards it points to from a copy, or take this stage's lines out of manifest.jsonl and run again"
_BUG = "this is a fault of the stage that wrote it: report it, with the stage's name and version"


@dataclass(frozen=True, slots=True)
class Reference:
    """`column` of `table` names `target`.`target_column`, in the rows for which `when` holds."""

    table: str
    column: str
    target: str
    target_column: str
    when: str = "true"


_OF_A_PROBLEM = ("rollouts", "scores", "steps", "step_values", "pairs", "problem_stats", "artifacts", "rejects")
_OF_A_POLICY = ("rollouts", "step_values", "problem_stats", "artifacts")
_TARGETS = (
    ("rollout", "rollouts", "rollout_id"),
    ("problem", "problems", "problem_id"),
    ("step", "steps", "step_id"),
    ("pair", "pairs", "pair_id"),
)
REFERENCES: tuple[Reference, ...] = (
    *(Reference(t, "problem_id", "problems", "problem_id") for t in _OF_A_PROBLEM),
    *(Reference(t, "target_id", r, i, f"c.target_kind = '{k}'") for t in ("scores", "rejects") for k, r, i in _TARGETS),
    Reference("rollouts", "parent_rollout_id", "rollouts", "rollout_id"),
    Reference("rollouts", "artifact_id", "artifacts", "artifact_id"),
    Reference("artifacts", "source_rollout_id", "rollouts", "rollout_id"),
    Reference("steps", "rollout_id", "rollouts", "rollout_id"),
    Reference("step_values", "step_id", "steps", "step_id"),
    Reference("step_values", "rollout_id", "rollouts", "rollout_id"),
    Reference("pairs", "chosen_rollout_id", "rollouts", "rollout_id"),
    Reference("pairs", "rejected_rollout_id", "rollouts", "rollout_id"),
    Reference("pairs", "chosen_step_id", "steps", "step_id"),
    Reference("pairs", "rejected_step_id", "steps", "step_id"),
    *(Reference(t, "policy_id", "policies", "policy_id") for t in _OF_A_POLICY),
    *(Reference(t, "sampling_id", "samplings", "sampling_id") for t in ("rollouts", "problem_stats", "artifacts")),
)


def check_keys(rows: Rows) -> None:
    """Keys are unique by table and stage; telemetry, which nobody joins, is left out."""
    for name, spec in TABLES.items():
        if name == "telemetry" or not rows.count("duplicate_key", name):
            continue
        key = ", ".join(f'"{k}"' for k in spec.key)
        # Grouped by a hash of the keys first: ten million keys of text would not fit.
        hashed = f"hash(sf_stage, {key})"
        twice = f"SELECT {hashed} AS h FROM {rows.view(name)} GROUP BY h HAVING count(*) > 1"
        rows.connection.execute(f"CREATE OR REPLACE TABLE twice AS {twice}")
        if not rows.connection.execute("SELECT count(*) FROM twice").fetchall()[0][0]:
            continue
        rows.faults(
            "duplicate_key",
            "+".join(spec.key),
            f"""SELECT min(sf_path) AS sf_path, concat_ws('+', {key}) AS id,
                       'this key stands ' || count(*) || ' times among the rows of stage ' || sf_stage AS what
                FROM {rows.view(name)} WHERE {hashed} IN (SELECT h FROM twice)
                GROUP BY sf_stage, {key} HAVING count(*) > 1""",
            "take this stage's lines out of manifest.jsonl and run again; if it comes back, report it",
        )
    _check_stage_ids(rows)


def _check_stage_ids(rows: Rows) -> None:
    for name, spec in TABLES.items():
        if name == "stages" or "stage_id" not in spec.names or not rows.count("stage_id", name):
            continue
        rows.faults(
            "stage_id",
            "stage_id",
            f"""SELECT sf_path, coalesce(stage_id, 'null') AS id,
                       count(*) || ' rows name a stage that did not write this shard; it is ' || sf_stage_id AS what
                FROM {rows.view(name)} WHERE stage_id IS DISTINCT FROM sf_stage_id
                GROUP BY sf_path, stage_id, sf_stage_id""",
            _BUG,
        )


def _check_stages(rows: Rows) -> None:
    """What a stage_id stands for is a row of the stages table."""
    rows.faults(
        "reference",
        "stage_id",
        f"""SELECT min(c.sf_path) AS sf_path, c.sf_stage_id AS id, 'it is not in stages' AS what
            FROM placed c ANTI JOIN {rows.view("stages")} t ON c.sf_stage_id = t.stage_id
            WHERE c.sf_stage_id <> '' AND {rows.whole("c", ("stages", None))} GROUP BY c.sf_stage_id""",
        "run again: the reference tables are written anew",
    )


def check_references(rows: Rows) -> None:
    """Every id that names another row names one that is there; null names none."""
    _check_stages(rows)
    for ref in REFERENCES:
        if not rows.count("reference", ref.table):
            continue
        when = ref.when
        if ref.table == "rejects":  # a source rejects rows that never became problems, by file and line
            sources = [name for name, record in rows.graph.stages.items() if record.scope == "source"]
            when += f" AND c.sf_stage NOT IN ({', '.join(map(quoted, ['', *sources]))})"
        rows.faults(
            "reference",
            TABLES[ref.table].key[0],
            f"""SELECT c.sf_path, c."{TABLES[ref.table].key[0]}" AS id,
                       '{ref.column} ' || c.{ref.column} || ' is not in {ref.target}' AS what
                FROM {rows.view(ref.table)} c ANTI JOIN {rows.view(ref.target)} t
                  ON c.{ref.column} = t.{ref.target_column}
                WHERE c.{ref.column} IS NOT NULL AND {when} AND {rows.whole("c", (ref.target, None))}""",
            _LOST,
        )
