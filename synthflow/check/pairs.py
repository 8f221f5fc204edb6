"""A pair is two texts that were really sampled, the better one first.

Invariants: prefix + chosen is the beginning of the completion of the rollout it cites (all of it at response level,
where there is no prefix), and so for rejected; margin = chosen_value - rejected_value; at response level the cited
rollouts were judged correct and wrong by the verify stage that the miner reads (correct by all, and not by all, where
it asks for a consensus). A cited continuation is read with the beginning of its parent before it. Reliability columns
are shares and probabilities.
"""

from __future__ import annotations

from itertools import takewhile

from synthflow.check.database import Rows
from synthflow.check.report import Finding
from synthflow.check.statistics import verify_stage
from synthflow.stores.graph import StageRecord

_FIX = "take this stage's lines out of manifest.jsonl and run again: nothing is sampled for it"
_BATCH = 256


def check_pairs(rows: Rows) -> None:
    """Texts, margins and verdicts."""
    if not rows.count("pair_text", "pairs"):
        return
    for side in ("chosen", "rejected"):
        _check_text(rows, side)
        _check_continued(rows, side)
    rows.faults(
        "pair_margin",
        "pair_id",
        f"""SELECT sf_path, pair_id AS id,
                   concat('margin is ', margin, ', the values are ', chosen_value, ' and ', rejected_value) AS what
            FROM {rows.view("pairs")} WHERE abs(margin::DOUBLE - (chosen_value::DOUBLE - rejected_value)) > 1e-5""",
        _FIX,
    )
    for column in ("interval_overlap", "scorer_agreement", "round_consistency", "p_better"):
        rows.faults(
            "pair_reliability",
            "pair_id",
            f"""SELECT sf_path, pair_id AS id, concat('{column} is ', {column}, '; expected 0 to 1') AS what
                FROM {rows.view("pairs")} WHERE NOT {column} BETWEEN 0 AND 1""",
            _FIX,
        )
    for record in rows.graph.stages.values():
        if record.has("mines_pairs"):
            _check_verdicts(rows, record)


def _check_text(rows: Rows, side: str) -> None:
    rows.faults(
        "pair_text",
        "pair_id",
        f"""SELECT p.sf_path, p.pair_id AS id,
                   '{side} is not the text of rollout ' || p.{side}_rollout_id
                   || CASE WHEN p.prefix = '' THEN '' ELSE ' after the prefix' END AS what
            FROM {rows.view("pairs")} p JOIN {rows.view("rollouts")} r ON p.{side}_rollout_id = r.rollout_id
            GROUP BY ALL
            HAVING NOT bool_or(r.condition = 'prefix' OR CASE p.level
              WHEN 'response' THEN p.prefix = '' AND r.completion = p.{side}
              ELSE starts_with(r.completion, p.prefix || p.{side}) END)""",
        _FIX,
    )


def _check_continued(rows: Rows, side: str) -> None:
    """Pairs that cite continuations: where the parent's text ends is a matter of tokens, so every end is tried."""
    result = rows.connection.execute(
        f"""SELECT DISTINCT p.sf_path, p.pair_id, p.prefix || p.{side}, o.completion, r.completion
            FROM {rows.view("pairs")} p JOIN {rows.view("rollouts")} r ON p.{side}_rollout_id = r.rollout_id
            JOIN {rows.view("rollouts")} o ON r.parent_rollout_id = o.rollout_id WHERE r.condition = 'prefix'"""
    )
    while batch := result.fetchmany(_BATCH):
        for path, pair, text, head, tail in batch:
            if not begins_with(text, head, tail):
                what = f"{side} is not the text of the continuation it cites, after some beginning of its parent"
                rows.found.add(Finding("error", "pair_text", f"{path} pair_id={pair}", what, _FIX))


def begins_with(text: str, head: str, tail: str) -> bool:
    """Whether some beginning of `head`, followed by `tail`, begins with `text`."""
    shared = sum(1 for _ in takewhile(lambda two: two[0] == two[1], zip(text, head, strict=False)))
    return shared == len(text) or any(tail.startswith(text[cut:]) for cut in range(shared, -1, -1))


def _check_verdicts(rows: Rows, record: StageRecord) -> None:
    consensus = record.config.get("consensus")
    verify = verify_stage(rows, record)
    stages = list(consensus) if consensus else [verify] if verify is not None else []
    if not stages or not rows.count("pair_verdict", "pairs", [record.name]):
        return
    n = len(stages)
    # An unknown verdict may be rejected only where the recipe says so.
    not_right = "<> 'correct'" if record.config.get("unknown") == "wrong" else "= 'wrong'"
    wanted = {
        "chosen": ("correct", f"count(DISTINCT s.sf_stage) FILTER (s.verdict = 'correct') = {n}"),
        "rejected": ("wrong", f"coalesce(bool_or(s.verdict {not_right}), false)"),
    }
    for side, (verdict, holds) in wanted.items():
        rows.faults(
            "pair_verdict",
            "pair_id",
            f"""SELECT p.sf_path, p.pair_id AS id, concat('{side} was judged ',
                       coalesce(string_agg(DISTINCT s.verdict, ', '), 'by nobody'), '; expected {verdict}') AS what
                FROM {rows.view("pairs", [record.name])} p
                LEFT JOIN (SELECT * FROM {rows.view("scores", stages)} WHERE kind = 'verdict') s
                  ON p.{side}_rollout_id = s.target_id
                WHERE p.level = 'response' AND {rows.whole("p", ("scores", stages))}
                GROUP BY p.sf_path, p.pair_id HAVING NOT {holds}""",
            _FIX,
        )
