"""The documentation says what the code says."""

from __future__ import annotations

import sys

import pytest

from support.pages import DOCS
from synthflow.cli.main import COMMANDS
from synthflow.schema import TABLES
from synthflow.stages.adapters import all_stage_names
from synthflow.statistics.metrics import METRICS

sys.path.insert(0, str(DOCS))  # as when the script is started
import make as docs


@pytest.mark.parametrize("name", docs.FILES)
def test_made_parts_are_up_to_date(name: str) -> None:
    text = (DOCS / name).read_text(encoding="utf-8")
    assert docs.filled(text) == text, "run: python docs/make.py"


def test_every_part_is_shown_once() -> None:
    text = "".join((DOCS / name).read_text(encoding="utf-8") for name in docs.FILES)
    for part in docs.PARTS:
        assert text.count(f"<!-- made: {part} -->") == text.count(f"<!-- end: {part} -->") == 1
    assert all(f"## {table}\n" in text for table in TABLES)
    assert all(f"| `{metric.name}` |" in text for metric in METRICS)
    stages = {use for use in all_stage_names() if not use.startswith("tag.")}
    assert stages == {use for use in stages if f"## `{use}`\n" in text}
    assert all(f"## {command}\n" in text for command in COMMANDS)
