"""Columns of the source travel through every export, and change nothing where none is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from synthflow.plan.records import identity_config
from synthflow.schema import TABLES
from synthflow.stages.export.graph import ExportGraph
from synthflow.stages.export.preference import ExportPreference
from synthflow.stages.export.rl import ExportRl
from synthflow.stages.export.sft import ExportSft
from synthflow.stages.export.stepwise import ExportStepwise

EXPORTS = (ExportSft, ExportPreference, ExportRl, ExportStepwise, ExportGraph)


def made(stage: Any, **fields: Any) -> Any:
    return stage(name="export", config=stage.Config(use=stage.use, of="pairs", **fields))


@pytest.mark.parametrize("stage", EXPORTS)
def test_every_row_has_the_columns_of_its_problem(stage: Any, world: Any, tables: Any, tmp_path: Path) -> None:
    problems = tables["problems"]["problems"].to_pylist()
    own = {p["problem_id"]: {"level": n, "book": {"page": n}} for n, p in enumerate(problems)}
    rows = [p | {"metadata": json.dumps(own[p["problem_id"]])} for p in problems]
    tables = tables | {"problems": {"problems": TABLES["problems"].from_rows(rows)}}
    world.export(made(stage, carry=["level", "book", "absent"]), tables, tmp_path)
    found = 0
    for folder in sorted(path for path in tmp_path.iterdir() if path.is_dir() and not path.name.startswith(".")):
        for row in pq.read_table(folder).to_pylist():
            if (problem := row.get("sf_problem_id") or row.get("problem_id")) is None:
                continue
            assert row["sf_meta_level"] == str(own[problem]["level"])
            assert json.loads(row["sf_meta_book"]) == own[problem]["book"]
            assert "sf_meta_absent" not in row
            found += 1
    assert found


@pytest.mark.parametrize("stage", EXPORTS)
def test_finished_runs_keep_their_fingerprints(stage: Any) -> None:
    assert "carry" not in identity_config(made(stage))
    assert identity_config(made(stage, carry="level"))["carry"] == ["level"]


def test_a_name_that_makes_no_column_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"not 'a\.b'"):
        made(ExportSft, carry="a.b")
