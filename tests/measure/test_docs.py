"""The documentation says what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthflow.measure import docs
from synthflow.measure.metrics import METRICS
from synthflow.schema import TABLES

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", docs.FILES)
def test_made_parts_are_up_to_date(name: str) -> None:
    text = (DOCS / name).read_text(encoding="utf-8")
    assert docs.filled(text) == text, "run: python -m synthflow.measure.docs"


def test_every_part_is_shown_once() -> None:
    text = "".join((DOCS / name).read_text(encoding="utf-8") for name in docs.FILES)
    for part in docs.PARTS:
        assert text.count(f"<!-- made: {part} -->") == text.count(f"<!-- end: {part} -->") == 1
    assert all(f"### {table}\n" in text for table in TABLES)
    assert all(f"| `{metric.name}` |" in text for metric in METRICS)
