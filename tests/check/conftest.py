"""The sound run in which faults are planted, and what the tests ask of it and of a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from support.sound_run import STAGES, World
from synthflow.check import CheckReport


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "a [run] with 'odd' characters*")


@pytest.fixture
def kinds() -> Callable[[CheckReport], Mapping[str, str]]:
    """Kinds of the findings of a report, with their severity."""
    return lambda report: {f.kind: f.severity for f in report.findings}


@pytest.fixture
def shard() -> Callable[[Path, str, str], Path]:
    """The first shard of a table that a stage wrote."""

    def find(root: Path, table: str, stage: str) -> Path:
        return min((root / "tables" / table / STAGES[stage].folder).glob("*.parquet"))

    return find
