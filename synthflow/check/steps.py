"""Spans are exact: the steps of a rollout, joined again, are its completion.

Invariants: for each stage, rollout and segmenter the steps are numbered from 0, begin where the one before ends and
end with the completion (in Python code points), so joining them gives it back; their token ranges, where known, tile
its tokens the same way; each names the step before it.
"""

from __future__ import annotations

from synthflow.check.database import Rows

_BUG = "the segmenter is at fault: take this stage's lines out of manifest.jsonl, mend it, and run again"


def check_steps(rows: Rows) -> None:
    """Characters, tokens and the chain of parents."""
    if not rows.count("steps_rejoin", "steps"):
        return
    rows.count("token_tiling", "steps")
    rows.count("step_chain", "steps")
    rows.connection.execute(
        f"""CREATE OR REPLACE VIEW tiled AS
            WITH placed_steps AS (
              SELECT sf_path, sf_unit, sf_stage, rollout_id, step_id, parent_step_id, segmenter, "index",
                char_start, char_end, token_start, token_end,
                row_number() OVER w - 1 AS place, lag(char_end) OVER w AS char_before,
                lag(token_end) OVER w AS token_before, lag(step_id) OVER w AS step_before,
                lead(step_id) OVER w IS NULL AS is_last, lag(token_start) OVER w IS NULL AS no_tokens_before
              FROM {rows.view("steps")}
              WINDOW w AS (PARTITION BY sf_stage, rollout_id, segmenter ORDER BY "index", step_id)),
            lengths AS (
              SELECT DISTINCT rollout_id, length(completion) AS chars, coalesce(len(token_ids), n_tokens) AS tokens
              FROM {rows.view("rollouts")})
            SELECT s.*, l.chars, l.tokens FROM placed_steps s LEFT JOIN lengths l USING (rollout_id)
            WHERE {rows.whole("s", ("rollouts", None))}"""
    )
    _fault(
        rows,
        "steps_rejoin",
        """WHEN "index" <> place THEN 'it is numbered ' || "index" || ', but is number ' || place
           WHEN char_start <> coalesce(char_before, 0)
             THEN 'it starts at character ' || char_start || ', the steps before it end at ' || coalesce(char_before, 0)
           WHEN char_end < char_start THEN 'it ends at character ' || char_end || ', before it starts'
           WHEN is_last AND char_end <> chars
             THEN 'the last step ends at character ' || char_end || ', the completion at ' || chars""",
    )
    _fault(
        rows,
        "token_tiling",
        """WHEN (token_start IS NULL) <> (token_end IS NULL) THEN 'one end of its token range is unknown'
           WHEN place > 0 AND no_tokens_before <> (token_start IS NULL)
             THEN 'token ranges of some steps of this rollout are unknown, of others not'
           WHEN token_start <> coalesce(token_before, 0)
             THEN 'it starts at token ' || token_start || ', the steps before it end at ' || coalesce(token_before, 0)
           WHEN token_end < token_start THEN 'it ends at token ' || token_end || ', before it starts'
           WHEN is_last AND token_end <> tokens
             THEN 'the last step ends at token ' || token_end || ', the completion at ' || tokens""",
    )
    _fault(
        rows,
        "step_chain",
        """WHEN parent_step_id IS DISTINCT FROM step_before
             THEN 'its parent is ' || coalesce(parent_step_id, 'null') || ', the step before it '
               || coalesce(step_before, 'null')""",
    )


def _fault(rows: Rows, kind: str, cases: str) -> None:
    sql = f"SELECT sf_path, step_id AS id, CASE {cases} END AS what FROM tiled WHERE what IS NOT NULL"
    rows.faults(kind, "step_id", sql, _BUG)
