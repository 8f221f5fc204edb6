"""Advantages are differences of values, so they telescope.

Invariants: advantage = value - value_before, null where one of them is; over a rollout and labeler the advantages add
up to the last value minus the first value_before, where all are known; values and their intervals lie in [0, 1] but for
rewards, successes in [0, n]; a row of values stands beside the step it names; and where no continuation stands behind
the last value of a labeler of chances, it is the rollout's verdict.
"""

from __future__ import annotations

from synthflow.check.database import Rows

SUM_TOLERANCE = 1e-4
_ROW_TOLERANCE = 1e-5
_BUG = "the labeler is at fault: take this stage's lines out of manifest.jsonl, mend it, and run again from the journal"
_UNSURE = f"NOT coalesce(abs(advantage::DOUBLE - (value::DOUBLE - value_before)) < {_ROW_TOLERANCE}, false)"
_BROKEN = f"""CASE WHEN value IS NULL OR value_before IS NULL THEN advantage IS NOT NULL ELSE {_UNSURE} END"""


def check_values(rows: Rows) -> None:
    """Each row, then the rows of each rollout and labeler together."""
    if not rows.count("advantage", "step_values"):
        return
    rows.count("telescope", "step_values")
    view = rows.view("step_values")
    rows.faults(
        "advantage",
        "step_id",
        f"""SELECT sf_path, step_id AS id, concat('advantage is ', coalesce(advantage::VARCHAR, 'null'),
                   ', value is ', coalesce(value::VARCHAR, 'null'),
                   ', value_before is ', coalesce(value_before::VARCHAR, 'null')) AS what
            FROM {view} WHERE {_BROKEN}""",
        _BUG,
    )
    # A rollout with such a row does not telescope either: it is told once.
    rows.faults(
        "telescope",
        "rollout_id",
        f"""SELECT min(sf_path) AS sf_path, rollout_id AS id,
                   concat('the advantages of ', labeler, ' add up to ', round(sum(advantage::DOUBLE), 5), ', the last ',
                   'value minus the first value_before is ',
                   round(arg_max(value, "index")::DOUBLE - arg_min(value_before, "index"), 5)) AS what
            FROM {view} GROUP BY sf_stage, rollout_id, labeler, config_hash, policy_id
            HAVING count(*) = count(advantage) AND NOT bool_or({_BROKEN})
               AND abs(sum(advantage::DOUBLE) - (arg_max(value, "index")::DOUBLE - arg_min(value_before, "index")))
                   > {SUM_TOLERANCE}""",
        _BUG,
    )
    _check_ranges(rows)
    _check_places(rows)
    _check_last(rows)


def _check_ranges(rows: Rows) -> None:
    outside = " OR ".join(
        f"NOT coalesce({c} BETWEEN 0 AND 1, true)" for c in ("value", "value_before", "value_low", "value_high")
    )
    rows.faults(
        "step_values",
        "step_id",
        f"""SELECT sf_path, step_id AS id, CASE
              WHEN scale NOT IN ('chance', 'score', 'reward') THEN concat('its scale is ', scale)
              WHEN scale <> 'reward' AND ({outside}) THEN 'a value or an end of its interval is not between 0 and 1'
              WHEN value_low > value + {_ROW_TOLERANCE} OR value > value_high + {_ROW_TOLERANCE}
                THEN 'value is outside of its own interval'
              WHEN n < 0 OR n_unknown < 0 OR tokens_spent < 0 OR successes NOT BETWEEN 0 AND greatest(n, 0)
                THEN concat('successes = ', successes, ', n = ', n, ', n_unknown = ', n_unknown,
                            ', tokens_spent = ', tokens_spent, ' do not fit together')
              END AS what FROM {rows.view("step_values")} WHERE what IS NOT NULL""",
        _BUG,
    )


def _check_places(rows: Rows) -> None:
    rows.faults(
        "step_values",
        "step_id",
        f"""SELECT DISTINCT c.sf_path, c.step_id AS id,
                   concat('it says rollout ', c.rollout_id, ' step ', c."index", '; its step says rollout ',
                          s.rollout_id, ' step ', s."index") AS what
            FROM {rows.view("step_values")} c JOIN {rows.view("steps")} s USING (step_id)
            WHERE c.rollout_id <> s.rollout_id OR c."index" <> s."index" """,
        _BUG,
    )


def _check_last(rows: Rows) -> None:
    """The last value of a rollout, where no continuation stands behind it, is a verdict somebody gave."""
    rows.faults(
        "last_value",
        "rollout_id",
        f"""WITH last AS (SELECT sf_stage, rollout_id, labeler, min(sf_path) AS sf_path, any_value(sf_unit) AS sf_unit,
                            arg_max_null(value, "index") AS value, arg_max(n + n_unknown, "index") AS n
                          FROM {rows.view("step_values")} WHERE scale = 'chance'
                          GROUP BY sf_stage, rollout_id, labeler, config_hash, policy_id),
            verdicts AS (SELECT target_id AS rollout_id, list(DISTINCT verdict) AS given FROM {rows.view("scores")}
                         WHERE kind = 'verdict' AND target_kind = 'rollout' GROUP BY target_id)
            SELECT c.sf_path, c.rollout_id AS id, concat('the last value of ', labeler, ' is ', c.value,
                   ', the verdict is ', array_to_string(given, ' or ')) AS what
            FROM last c JOIN verdicts USING (rollout_id)
            WHERE c.n = 0 AND c.value IS NOT NULL AND NOT list_contains(given, 'unknown')
              AND NOT (list_contains(given, 'correct') AND c.value = 1)
              AND NOT (list_contains(given, 'wrong') AND c.value = 0)
              AND {rows.whole("c", ("scores", None))}""",
        _BUG,
    )
