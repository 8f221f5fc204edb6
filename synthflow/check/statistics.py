"""Pass rates are counts of verdicts, and say how sure they are.

Invariants: n = n_correct + n_wrong + n_unknown; pass_rate = n_correct / (n_correct + n_wrong), null if none was
judged, with its Wilson 95% interval (Wilson, JASA 22, 1927), recomputed here on its own; the group's state fits the
counts; and the counts are those of the verdicts on the group's first rollouts.
"""

from __future__ import annotations

from synthflow.check.database import Rows
from synthflow.stores.graph import StageRecord

_Z = 1.959963984540054
_TOLERANCE = 2e-4
"""float32, and a z of 1.96 instead of 1.95996, which moves an end by less than 1e-5."""

_FIX = "take this stage's lines out of manifest.jsonl and run again: nothing is sampled for it"
_KEY = "concat_ws('+', c.problem_id, c.policy_id, c.round, c.sampling_id)"
_NAME = "problem_id+policy_id+round+sampling_id"


def check_statistics(rows: Rows) -> None:
    """Every row of problem_stats by itself, then against the scores."""
    if not rows.count("pass_rate", "problem_stats"):
        return
    _check_counts(rows)
    _check_intervals(rows)
    for record in rows.graph.stages.values():
        if "problem_stats" in record.writes:
            _check_against_scores(rows, record)


def _check_counts(rows: Rows) -> None:
    rows.faults(
        "stats_counts",
        _NAME,
        f"""SELECT c.sf_path, {_KEY} AS id, concat('n = ', n, ', n_correct = ', n_correct, ', n_wrong = ', n_wrong,
                   ', n_unknown = ', n_unknown, ', n_truncated = ', n_truncated, ', group_state = ', group_state)
                   || ' do not fit together' AS what
            FROM {rows.view("problem_stats")} c
            WHERE n <> n_correct + n_wrong + n_unknown OR least(n_correct, n_wrong, n_unknown, n_truncated) < 0
               OR n_truncated > n OR NOT CASE group_state WHEN 'all_correct' THEN n_correct > 0 AND n_wrong = 0
                  WHEN 'all_wrong' THEN n_wrong > 0 AND n_correct = 0 WHEN 'mixed' THEN n_correct > 0 AND n_wrong > 0
                  ELSE group_state = 'undecided' END""",
        _FIX,
    )


def _check_intervals(rows: Rows) -> None:
    """Wilson: centre (k + z²/2) / (m + z²), half width z / (m + z²) · sqrt(k (m - k) / m + z²/4) of k of m."""
    square = _Z * _Z
    rows.faults(
        "pass_rate",
        _NAME,
        f"""WITH judged AS (SELECT *, n_correct::DOUBLE AS k, (n_correct + n_wrong)::DOUBLE AS m
                            FROM {rows.view("problem_stats")}),
            computed AS (SELECT *, CASE WHEN m > 0 THEN k / m END AS rate,
                CASE WHEN m > 0 THEN (k + {square / 2}) / (m + {square}) END AS centre,
                CASE WHEN m > 0 THEN {_Z} / (m + {square})
                     * sqrt(greatest(k * (m - k), 0) / m + {square / 4}) END AS half FROM judged),
            wanted AS (SELECT *, greatest(centre - half, 0) AS low, least(centre + half, 1) AS high FROM computed)
            SELECT c.sf_path, {_KEY} AS id, concat(n_correct, ' of ', n_correct + n_wrong, ' judged are correct: ',
                   'expected ', round(rate, 4), ' [', round(low, 4), ', ', round(high, 4), '], found ',
                   round(pass_rate, 4), ' [', round(pass_low, 4), ', ', round(pass_high, 4), ']') AS what
            FROM wanted c
            WHERE (m = 0 AND coalesce(pass_rate, pass_low, pass_high, difficulty) IS NOT NULL)
               OR (m > 0 AND NOT coalesce(abs(pass_rate - rate) < {_TOLERANCE} AND abs(pass_low - low) < {_TOLERANCE}
                   AND abs(pass_high - high) < {_TOLERANCE} AND abs(coalesce(difficulty, 1 - rate) - 1 + rate)
                   < {_TOLERANCE}, false))""",
        _FIX,
    )


def _check_against_scores(rows: Rows, record: StageRecord) -> None:
    verify = verify_stage(rows, record)
    sampled = rows.above(record.name, "rollouts")
    if verify is None or not sampled or not rows.count("stats_scores", "problem_stats", [record.name]):
        return
    group = "problem_id, policy_id, round, sampling_id"
    rows.faults(
        "stats_scores",
        _NAME,
        f"""WITH firsts AS (SELECT DISTINCT rollout_id, {group}, finish_reason
                            FROM {rows.view("rollouts", sampled)} WHERE condition = 'none'),
            told AS (SELECT DISTINCT target_id AS rollout_id, verdict FROM {rows.view("scores", [verify])}
                     WHERE kind = 'verdict' AND target_kind = 'rollout'),
            counted AS (SELECT {group}, count(*) AS all_, count(*) FILTER (verdict = 'correct') AS correct,
                        count(*) FILTER (verdict = 'wrong') AS wrong,
                        count(*) FILTER (finish_reason = 'length') AS truncated
                        FROM firsts LEFT JOIN told USING (rollout_id) GROUP BY {group})
            SELECT c.sf_path, {_KEY} AS id,
                   concat('it counts ', n, ' (', n_correct, ' correct, ', n_wrong, ' wrong, ', n_truncated,
                   ' truncated), the verdicts of {verify} are ', coalesce(all_, 0), ' (', coalesce(correct, 0),
                   ' correct, ', coalesce(wrong, 0), ' wrong, ', coalesce(truncated, 0), ' truncated)') AS what
            FROM {rows.view("problem_stats", [record.name])} c LEFT JOIN counted USING ({group})
            WHERE {rows.whole("c", ("rollouts", sampled), ("scores", [verify]))}
              AND (n, n_correct, n_wrong, n_truncated)
                  <> (coalesce(all_, 0), coalesce(correct, 0), coalesce(wrong, 0), coalesce(truncated, 0))""",
        _FIX,
    )


def verify_stage(rows: Rows, record: StageRecord) -> str | None:
    """The verify stage whose verdicts a stage counts: the one it names, or the only one above it."""
    above = [a for a in rows.graph.ancestors_of(record.name) if rows.graph.stages[a].has("gives_verdicts")]
    named = record.config.get("verdicts")
    if named in above:
        return str(named)
    return above[0] if len(above) == 1 else None
