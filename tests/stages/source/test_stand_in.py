"""What stands for a source is known as it, in fingerprints and in messages."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from support.paper_runs import write_problems
from synthflow.schema import REJECTS
from synthflow.stages.adapters import stage_class
from synthflow.stages.source.base import Source
from synthflow.stages.source.stand_in import StandIn


class Nothing(StandIn):
    def batches(self):
        return iter(())

    def rejects(self, stage_id: str) -> pa.Table:
        return REJECTS.empty()


@pytest.fixture(params=["source.jsonl", "source.demo"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    cls = stage_class(request.param)
    options = {"path": str(write_problems(tmp_path / "p.jsonl", {"1 + 1?": "2"}))} if "jsonl" in request.param else {}
    return cls("problems", cls.Config.model_validate({"use": request.param, **options}))


def test_it_has_all_that_the_source_is_known_by(source: Source) -> None:
    there = Nothing(source)
    for name in ("name", "config", "use", "version", "identity_excludes", "added"):
        assert getattr(there, name) == getattr(source, name), name


def test_it_brings_rows_of_its_own_and_looks_into_those_of_the_source(source: Source) -> None:
    there = Nothing(source)
    assert list(there.batches()) == [] and next(iter(there.rows())) == next(iter(source.rows()))
