"""Problems that are in memory, in every form that people hold them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from synthflow import Pipeline
from synthflow.api.rows import written_out
from synthflow.errors import Mistakes, UserError

ROWS = [
    {"question": "What is 2 + 3?", "answer": "5", "level": 1},
    {"question": "What is 7 - 4?", "answer": "3", "level": 2},
]


def pipeline(rows: Any, **fields: Any) -> Pipeline:
    return Pipeline("from-memory", {"problems": {"use": "source.rows", "rows": rows, **fields}})


@pytest.mark.parametrize("form", [list, tuple, pd.DataFrame, pl.DataFrame, pa.Table.from_pylist])
def test_rows_of_every_form_are_the_same_problems(form: Callable[[list[dict[str, Any]]], Any], tmp_path: Path) -> None:
    checked = pipeline(form(ROWS), domain="sums")._checked(tmp_path)
    [batch] = checked["problems"].stage.batches()  # type: ignore[attr-defined]
    found = [(p["prompt"][0]["content"], p["answer"], p["domain"], p["metadata"]) for p in batch.to_pylist()]
    assert found == [(r["question"], r["answer"], "sums", f'{{"level":{r["level"]}}}') for r in ROWS]


def test_an_index_of_pandas_is_no_column(tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS, index=["a", "b"])
    written_out({"p": {"use": "source.rows", "rows": frame}}, tmp_path, tmp_path)
    assert pl.read_parquet(tmp_path / "p.parquet").columns == ["question", "answer", "level"]


def test_the_path_is_relative_so_that_a_run_can_be_moved(tmp_path: Path) -> None:
    made = written_out({"p": {"use": "source.rows", "rows": ROWS, "limit": 1}}, tmp_path / "run" / "inputs", tmp_path)
    assert made == {"p": {"use": "source.jsonl", "path": "run/inputs/p.jsonl", "limit": 1}}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("problems.jsonl", "is a str; give a list of dicts"),
        ([ROWS[0], "x"], r"rows\[1\] is a str, not a dict"),
        ([{"question": b"x"}], "JSON has no word for"),
    ],
)
def test_what_is_no_rows_is_told_in_a_line(rows: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        pipeline(rows)


def test_rows_are_checked_like_a_file() -> None:
    with pytest.raises(Mistakes, match="no column 'answer'"):
        pipeline([{"question": "What is 2 + 3?", "solution": "5"}])
    with pytest.raises(UserError, match="needs rows"):
        Pipeline("x", {"problems": {"use": "source.rows"}})


def test_rows_in_memory_have_no_place_in_a_file() -> None:
    with pytest.raises(UserError, match="no place in a file"):
        pipeline(ROWS).to_yaml()
