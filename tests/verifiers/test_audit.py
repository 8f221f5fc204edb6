"""The audit's table in docs/verification.md is what its script measures."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent
TEXT = (HERE.parents[1] / "docs" / "verification.md").read_text()


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    """The script, which is no package under `--import-mode=importlib`."""
    spec = importlib.util.spec_from_file_location("audit", HERE / "audit.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules["audit"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_table_is_what_the_script_measures(audit: ModuleType) -> None:
    for name, grade in audit.ROWS.items():
        assert audit.row(name, grade()) in TEXT, name


def test_the_counts_are_right_and_no_case_is_there_twice(audit: ModuleType) -> None:
    equal = sum(bool(case["equal"]) for case in audit.CASES)
    assert f"{len(audit.CASES)} cases" in TEXT
    assert f"{equal} equal pairs, {len(audit.CASES) - equal} traps" in TEXT
    said = sum("completion" in case for case in audit.CASES)
    assert f"{said} as responses" in TEXT
    keys = [(case["gold"], audit.completion(case)) for case in audit.CASES]
    assert len(set(keys)) == len(keys)
