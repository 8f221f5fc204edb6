"""The documentation says what the code says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from synthflow.schema import TABLES
from synthflow.statistics.metrics import METRICS

DOCS = Path(__file__).parents[2] / "docs"
SPEC = importlib.util.spec_from_file_location("docs_make", DOCS / "make.py")
assert SPEC is not None and SPEC.loader is not None
docs = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(docs)


@pytest.mark.parametrize("name", docs.FILES)
def test_made_parts_are_up_to_date(name: str) -> None:
    text = (DOCS / name).read_text(encoding="utf-8")
    assert docs.filled(text) == text, "run: python docs/make.py"


def test_every_part_is_shown_once() -> None:
    text = "".join((DOCS / name).read_text(encoding="utf-8") for name in docs.FILES)
    for part in docs.PARTS:
        assert text.count(f"<!-- made: {part} -->") == text.count(f"<!-- end: {part} -->") == 1
    assert all(f"### {table}\n" in text for table in TABLES)
    assert all(f"| `{metric.name}` |" in text for metric in METRICS)
