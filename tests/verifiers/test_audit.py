"""The audit's table in docs/verdicts-measured.md is what its script measures."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import audit

TEXT = (Path(__file__).parents[2] / "docs" / "verdicts-measured.md").read_text()


@pytest.mark.extended
@pytest.mark.slow
def test_the_table_is_what_the_script_measures() -> None:
    for name, grade in audit.ROWS.items():
        assert audit.row(name, grade()) in TEXT, name


def test_the_counts_are_right_and_no_case_is_there_twice() -> None:
    equal = sum(bool(case["equal"]) for case in audit.CASES)
    assert f"{len(audit.CASES)} cases" in TEXT
    assert f"{equal} equal pairs, {len(audit.CASES) - equal} traps" in TEXT
    said = sum("completion" in case for case in audit.CASES)
    assert f"{said} as responses" in TEXT
    keys = [(case["gold"], audit.completion(case)) for case in audit.CASES]
    assert len(set(keys)) == len(keys)
