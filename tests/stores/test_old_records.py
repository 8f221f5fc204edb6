"""What shards and manifests of version 0.1 say is read in today's words, and nothing else is touched."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from synthflow.stores.old_records import in_todays_words, todays_words_sql, told


@pytest.mark.parametrize(
    ("table", "column", "old", "today"),
    [
        ("problem_stats", "group_state", "all_right", "all_correct"),
        ("rejects", "reason", "unpaired: mine.oreal: group_all_right", "unpaired: mine.oreal: group_all_correct"),
        ("scores", "reason", "group_all_right", "group_all_correct"),
        ("scores", "reason", "group all_right (groups: mixed)", "group all_correct (groups: mixed)"),
        ("scores", "reason", "overall_right, all_rights", "overall_right, all_rights"),
        ("rollouts", "completion", "It is all_right.", "It is all_right."),
    ],
)
def test_words_of_shards(table: str, column: str, old: str, today: str) -> None:
    rows = pa.table({"problem_id": ["all_right", "p_2"], column: [old, None]})
    assert in_todays_words(table, rows).to_pydict() == {"problem_id": ["all_right", "p_2"], column: [today, None]}
    sql = todays_words_sql(table).get(column, column)
    assert duckdb.sql(f"SELECT {sql} FROM rows").fetchall() == [(today,), (None,)], "SQL reads what Arrow reads"


def test_a_recorded_configuration() -> None:
    record = {"use": "export.rl", "config": {"groups": ["mixed", "all_right"], "verdicts": "all_right"}}
    assert told(record)["config"] == {"groups": ["mixed", "all_correct"], "verdicts": "all_right"}
    assert told({"use": "export.rl", "config": {"groups": None}})["config"] == {"groups": None}
    assert told({"use": "mine.pairs", "config": {"groups": ["all_right"]}})["config"] == {"groups": ["all_right"]}
