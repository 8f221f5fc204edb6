"""What the installed verifier takes for the answer of some rollouts, and by which rule.

Invariant: a rollout whose end decides (truncated, refused) is not asked about, as in the stage; a stage that asks no
registered verifier has no rules to tell of.
"""

from __future__ import annotations

import polars as pl

from synthflow.contracts import StageInfo
from synthflow.registry import names
from synthflow.rollouts.eligibility import verdict_from_finish_reason
from synthflow.rollouts.questions import note, question
from synthflow.rollouts.verdicts import Judging
from synthflow.verifiers.opening import open_verifier

ROLLOUT = ("rollout_id", "problem_id", "completion", "finish_reason")
PROBLEM = ("problem_id", "prompt", "answer", "metadata", "domain", "source")
"""Columns that a question is made of."""

_SCHEMA = {"target_id": pl.String, "extracted_now": pl.String, "rule_now": pl.String}


def extracted_by(stage: StageInfo, rollouts: pl.DataFrame, problems: pl.DataFrame) -> pl.DataFrame:
    """Columns target_id, extracted_now and rule_now: a row for each rollout in which a rule found an answer."""
    judging = Judging.as_stage(stage)
    if judging.verifier not in names("verifiers"):
        return pl.DataFrame(schema=_SCHEMA)
    by_id = {row["problem_id"]: row for row in problems.iter_rows(named=True)}
    questions = [
        question(row["rollout_id"], row["completion"], by_id[row["problem_id"]])
        for row in rollouts.sort("rollout_id").iter_rows(named=True)
        if verdict_from_finish_reason(row["finish_reason"], judging.truncated) is None
    ]
    verifier = open_verifier(judging.verifier, judging.options)
    try:
        judged = zip(questions, verifier.judge(questions), strict=True)
        rows = [(q.target_id, note(j.extracted), j.rule) for q, j in judged if j.rule is not None]
        return pl.DataFrame(rows, schema=_SCHEMA, orient="row")
    finally:
        verifier.close()
