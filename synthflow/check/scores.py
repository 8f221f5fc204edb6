"""A verdict is correct, wrong or unknown, and unknown has a reason.

Invariants: a verdict's value agrees with it (null for unknown; partial credit between 0 and 1 is never full credit
for a wrong one or none for a correct one); a filter that drops a row says why; a truncated rollout is unknown unless
the recipe says otherwise (`truncated: wrong` or `judge` of the verify stage), and a refused one always is.
"""

from __future__ import annotations

from typing import NamedTuple

from synthflow.check.database import Rows, quoted
from synthflow.stores.graph import StageRecord

_BUG = "the scorer, whose name and version stand in the row, is at fault: mend it and verify again"


class _Rule(NamedTuple):
    kind: str
    broken: str
    what: str


_JUDGED = "kind IN ('verdict', 'component')"
_RULES = (
    _Rule(
        "verdict",
        "kind NOT IN ('verdict', 'component', 'filter', 'measure')",
        "'kind is ' || kind || ', which nothing reads'",
    ),
    _Rule(
        "verdict",
        f"{_JUDGED} AND coalesce(verdict, 'null') NOT IN ('correct', 'wrong', 'unknown')",
        "'its verdict is ' || coalesce(verdict, 'null') || '; expected correct, wrong or unknown'",
    ),
    _Rule("verdict", f"NOT {_JUDGED} AND verdict IS NOT NULL", "'a ' || kind || ' gives the verdict ' || verdict"),
    _Rule(
        "no_reason",
        f"{_JUDGED} AND verdict = 'unknown' AND trim(coalesce(reason, '')) = ''",
        "'unknown, by ' || scorer || ' ' || scorer_version || ', without a reason'",
    ),
    _Rule(
        "no_reason",
        "kind = 'filter' AND value = 0 AND trim(coalesce(reason, '')) = ''",
        "'dropped by ' || scorer || ' ' || scorer_version || ' without a reason'",
    ),
    _Rule(
        "verdict_value",
        f"""{_JUDGED} AND (
             (verdict = 'unknown' AND value IS NOT NULL)
             OR (verdict IN ('correct', 'wrong') AND NOT coalesce(value BETWEEN 0 AND 1, false))
             OR (verdict = 'correct' AND value = 0) OR (verdict = 'wrong' AND value = 1))""",
        "verdict || ' with the value ' || coalesce(value::VARCHAR, 'null')",
    ),
)


def check_scores(rows: Rows) -> None:
    """Every score by itself, then verdicts against how their rollout ended."""
    if not rows.count("verdict", "scores"):
        return
    for rule in _RULES:
        rows.faults(
            rule.kind,
            "target_id",
            f"SELECT sf_path, target_id AS id, {rule.what} AS what FROM {rows.view('scores')} WHERE {rule.broken}",
            _BUG,
        )
    for record in rows.graph.stages.values():
        if "scores" in record.writes:
            _check_endings(rows, record)


def _check_endings(rows: Rows, record: StageRecord) -> None:
    if not rows.count("truncated", "scores", [record.name]):
        return
    allowed = {_truncated(verify) for verify in _verify_stages(rows, record)}
    wanted = [f"s.verdict <> {quoted(v)}" for v in sorted(allowed & {"unknown", "wrong"})]
    truncated = "false" if "judge" in allowed or not wanted else " AND ".join(wanted)
    rule = quoted(f"; the recipe says {' or '.join(sorted(allowed)) or 'unknown'}")
    rows.faults(
        "truncated",
        "target_id",
        f"""SELECT DISTINCT s.sf_path, s.target_id AS id,
                   CASE r.finish_reason WHEN 'length' THEN 'truncated, but ' || s.verdict || {rule}
                   ELSE r.finish_reason || ', so there is no answer, but ' || s.verdict END AS what
            FROM {rows.view("scores", [record.name])} s
            JOIN {rows.view("rollouts")} r ON s.target_kind = 'rollout' AND s.target_id = r.rollout_id
            WHERE s.kind = 'verdict'
              AND ((r.finish_reason = 'length' AND {truncated})
                OR (r.finish_reason IN ('refused', 'failed', 'poison') AND s.verdict <> 'unknown'))""",
        _BUG,
    )


def _verify_stages(rows: Rows, record: StageRecord) -> list[StageRecord]:
    """Whose rule for truncated rollouts a stage's verdicts follow: its own, or that of the verify stage it reads."""
    if record.has("combines_verdicts"):  # it says what the stages say whose verdicts it combines
        named = [rows.graph.stages[name] for name in record.config["verdicts"] if name in rows.graph.stages]
        return [found for each in named for found in _verify_stages(rows, each)]
    if record.has("gives_verdicts"):
        return [record]
    above = [rows.graph.stages[a] for a in rows.graph.ancestors_of(record.name)]
    verify = [a for a in above if a.has("gives_verdicts")]
    named = [a for a in verify if a.name == record.config.get("verdicts")]
    return named or verify


def _truncated(record: StageRecord) -> str:
    return str(record.config.get("truncated", "unknown"))
