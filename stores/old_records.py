"""How runs of Synthflow 0.1 are read: what their manifests leave unsaid of a stage, and words that have changed since.

Later manifests record what a stage is able to do (`contracts.stage_info`) and what an export accounts for. This is the
only place that knows stages by the text after `use`, and only to read old runs: a new stage is never added here. Shards
are never rewritten: whoever reads one is given the words of today.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_CAPABILITIES: Mapping[str, tuple[str, ...]] = {
    "sample": ("writes_rollouts", "samples_groups"),
    "sample.more": ("writes_rollouts", "enlarges_groups"),
    "sample.branch": ("writes_rollouts",),
    "sample.tree": ("writes_rollouts", "gives_verdicts"),
    "verify.combine": ("gives_verdicts", "combines_verdicts"),
    "label.judge": ("finds_flaws",),
    "mine.pairs": ("mines_pairs",),
    "mine.unpaired": ("marks_examples",),
    "mine.advantages": ("weighs_rollouts",),
    "curriculum.order": ("orders_problems",),
    "curriculum.bandit": ("orders_problems",),
    "curriculum.reestimate": ("orders_problems",),
    "curriculum.repeats": ("repeats_problems",),
    "curriculum.budget": ("sets_budgets",),
}
_WHOLE = {"table": "rollouts", "key": "rollout_id", "column": "sf_rollout_id", "when": "c.condition <> 'prefix'"}
_ACCOUNTS: Mapping[str, Mapping[str, Any]] = {
    "export.sft": {"config": "sft", **_WHOLE},
    "export.stepwise": {"config": "stepwise", **_WHOLE},
    "export.preference": {
        "config": "preference", "table": "pairs", "key": "pair_id", "column": "sf_pair_id", "when": "true",
    },
    "export.rl": {
        "config": "rl", "table": "problems", "key": "problem_id", "column": "sf_problem_id", "when": "true",
    },
}  # fmt: skip
ALL_RIGHT, ALL_CORRECT = "all_right", "all_correct"
_WORDS = (("problem_stats", "group_state"), ("rejects", "reason"), ("scores", "reason"))
"""Columns in which a group whose rollouts are all correct was called `ALL_RIGHT`, alone or after another word."""
_OLD = rf"(^|[^a-zA-Z]){ALL_RIGHT}\b"


def in_todays_words(table: str, rows: pa.Table) -> pa.Table:
    """Rows of a shard of `table`, whichever columns were read."""
    for column in (c for t, c in _WORDS if t == table and c in rows.column_names):
        if pc.any(pc.match_substring(rows.column(column), ALL_RIGHT)).as_py():
            at = rows.schema.get_field_index(column)
            words = pc.replace_substring_regex(rows.column(column), _OLD, rf"\1{ALL_CORRECT}")
            rows = rows.set_column(at, rows.schema.field(at), words)
    return rows


def todays_words_sql(table: str) -> dict[str, str]:
    """SQL expressions of the columns of `table` in which words have changed, by column."""
    return {c: f"regexp_replace(\"{c}\", '{_OLD}', '\\1{ALL_CORRECT}', 'g')" for t, c in _WORDS if t == table}


def capabilities_of(use: str) -> tuple[str, ...]:
    """What a stage of version 0.1 is able to do, sorted."""
    verdicts = ("gives_verdicts",) if use.startswith("verify.") else ()
    return tuple(sorted({*_CAPABILITIES.get(use, ()), *verdicts}))


def account_of(use: str) -> Mapping[str, Any] | None:
    """What an export of version 0.1 accounts for, as `StageRecord.account` holds it."""
    return _ACCOUNTS.get(use)


def todays_groups(groups: Any) -> Any:
    """States of groups, as a configuration lists them, in today's words; what is no list stays as it is."""
    return [ALL_CORRECT if g == ALL_RIGHT else g for g in groups] if isinstance(groups, list | tuple) else groups


def told(record: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded stage with what its manifest leaves unsaid, its configuration in today's words."""
    use, config = str(record["use"]), record["config"]
    if use == "export.rl" and "groups" in config:
        config = {**config, "groups": todays_groups(config["groups"])}
    return {"capabilities": capabilities_of(use), "account": account_of(use), **record, "config": config}
