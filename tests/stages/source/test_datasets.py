"""A data set is read whole and row by row, whatever its files are, or refused in one line that names the file."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets.data_files import DataFilesDict

from synthflow.errors import UserError
from synthflow.io.rows import RowError
from synthflow.stages.source.dataset_files import split_files
from synthflow.stages.source.datasets import DatasetsSource
from synthflow.stages.source.files import ParquetSource

pytestmark = pytest.mark.slow

JSON = pa.json_()


def make(folder: Path, **fields: Any) -> DatasetsSource:
    return DatasetsSource("d", DatasetsSource.Config(use="source.datasets", path=str(folder), **fields))


def write(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    folder.mkdir(exist_ok=True)
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(list(rows)), folder / name)
    elif name.endswith(".csv"):
        header = ",".join(rows[0])
        (folder / name).write_text("\n".join([header, *(",".join(map(str, r.values())) for r in rows)]) + "\n")
    else:
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def values(source: DatasetsSource) -> list[dict[str, Any]]:
    found = []
    for row in source.rows():
        assert not isinstance(row.values, RowError)
        found.append(dict(row.values))
    return found


def refusal(source: DatasetsSource) -> str:
    with pytest.raises(UserError) as told:
        list(source.rows())
    text = str(told.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"answer": None}, {"answer": "x"}),
        ({"answer": "1", "m": {"a": 1}}, {"answer": "1", "m": [1, 2]}),
        ({"answer": "1"}, {"answer": "1", "later": 3}),
        ({"answer": 1}, {"answer": "one"}),
        ({"answer": "1", "m": None}, {"answer": "1", "m": {"deep": [{"a": 1.5}]}}),
    ],
)
def test_a_shard_need_not_have_the_columns_and_types_of_the_first(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any], ending: str
) -> None:
    rows = [{"prompt": "a", **first}, {"prompt": "b", **second}]
    for number, row in enumerate(rows):
        write(tmp_path / "set", f"train-{number}.{ending}", [row])
    assert values(make(tmp_path / "set")) == rows


def test_a_split_of_json_lines_and_parquet_is_read_whole(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for number, name in enumerate(("train-0.jsonl", "train-1.parquet", "train-2.jsonl")):
        write(folder, name, [{"prompt": str(number), "answer": "1"}])
    assert [row["prompt"] for row in values(make(folder))] == ["0", "1", "2"]


@pytest.mark.parametrize("other", ["train-1.csv", "train-1.tsv", "train-1.json"])
def test_a_split_of_other_formats_is_refused(tmp_path: Path, other: str) -> None:
    folder = tmp_path / "set"
    write(folder, "train-0.parquet", [{"prompt": "a", "answer": "1"}])
    write(folder, "train-1.csv", [{"prompt": "b", "answer": "1"}])
    (folder / "train-1.csv").rename(folder / other)
    assert f"files of several formats: train-0.parquet, {other}" in refusal(make(folder))


def test_a_card_says_which_files_there_are(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for name in ("a.jsonl", "b.jsonl", "c.parquet"):
        write(folder, name, [{"prompt": name, "answer": "1"}])
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: one\n  data_files: [a.jsonl, c.parquet]\n"
        "- config_name: two\n  data_files: b.jsonl\n---\n"
    )
    assert [row["prompt"] for row in values(make(folder, config="one"))] == ["a.jsonl", "c.parquet"]
    assert [row["prompt"] for row in values(make(folder, config="two"))] == ["b.jsonl"]
    assert "has no split 'test'; it has train" in refusal(make(folder, config="two", split="test"))
    assert "['one', 'two']" in refusal(make(folder))


def test_what_is_no_table_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    write(folder, "data.jsonl", [{"prompt": "a", "answer": 1.5}])
    (folder / "LICENSE.txt").write_text("MIT")
    assert values(make(folder)) == [{"prompt": "a", "answer": 1.5}]


def test_one_array_of_json_is_read_by_datasets(tmp_path: Path) -> None:
    (tmp_path / "train-0.json").write_text(json.dumps([{"prompt": "a", "answer": None}]))
    (tmp_path / "train-1.json").write_text(json.dumps([{"prompt": "b", "answer": "x"}]))
    assert values(make(tmp_path)) == [{"prompt": "a", "answer": None}, {"prompt": "b", "answer": "x"}]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write(tmp_path, "train-0.csv", [{"prompt": "a", "answer": 1}])
    (tmp_path / "train-1.csv").write_text('prompt,answer\nb,"1\n')
    assert "train-1.csv cannot be read: Error tokenizing data" in refusal(make(tmp_path))


def test_files_of_a_remote_data_set_are_found_as_local_ones_are() -> None:
    base = f"memory://{uuid.uuid4().hex}"

    def put(name: str, text: str) -> None:
        with fsspec.open(f"{base}/{name}", "w") as stream:
            stream.write(text)

    line = json.dumps({"prompt": "a", "answer": "1"})
    put("train-0.jsonl", line)
    kept = [str(path) for path in DataFilesDict.from_patterns({"train": ["*"]}, base_path=base)["train"]]
    builder = SimpleNamespace(
        config=SimpleNamespace(data_files={"train": kept}), base_path=base, dataset_name="remote/set"
    )
    found = split_files(builder, "train")
    assert found is not None and found.ours and found.paths == tuple(kept)
    put("train-1.csv", "prompt,answer\nb,1\n")
    with pytest.raises(UserError, match="several formats"):
        split_files(builder, "train")
    put("README.md", "---\nconfigs:\n- config_name: default\n  data_files: train-0.jsonl\n---\n")
    found = split_files(builder, "train")
    assert found is not None and found.paths == tuple(kept)


def problems(path: Path, **fields: Any) -> tuple[list[dict[str, Any]], dict[str, float]]:
    source = ParquetSource("p", ParquetSource.Config(use="source.parquet", path=str(path), **fields))
    rows = [row for batch in source.batches() for row in batch.to_pylist()]
    return rows, {row["reason"]: row["score"] for row in source.rejects("e").to_pylist()}


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A Parquet file with what JSON has no word for, and columns of JSON."""
    identifier = uuid.UUID(int=7)
    table = pa.table(
        {
            "prompt": pa.array(['"what is it?"', '"and this?"']).cast(JSON),
            "answer": pa.array(['"x y"', "1.50"]).cast(JSON),
            "notes": pa.array(['{"a": [1, 2.50]}', None]).cast(JSON),
            "tags": pa.array([['"s"', "1"], []], pa.list_(pa.string())).cast(pa.list_(JSON)),
            "image": [{"bytes": b"\x00", "path": "a.png"}, {"bytes": None, "path": "b.png"}],
            "took": pa.array([timedelta(seconds=3), None]),
            "loss": [float("nan"), 0.5],
            "losses": [[1.0, float("-inf")], []],
            "key": pa.array([identifier.bytes] * 2, pa.binary(16)).cast(pa.uuid()),
        }
    )
    path = tmp_path / "odd.parquet"
    pq.write_table(table, path)
    return path


def test_columns_of_json_are_read_without_their_quotes(odd: Path) -> None:
    [first, second], _ = problems(odd)
    assert [m["content"] for p in (first, second) for m in p["prompt"]] == ["what is it?", "and this?"]
    assert [first["answer"], second["answer"]] == ["x y", "1.50"]
    metadata = json.loads(first["metadata"])
    assert (metadata["notes"], metadata["tags"]) == ({"a": [1, 2.5]}, ["s", 1])


def test_what_json_cannot_hold_is_mended_where_nobody_asked_for_it_and_told(odd: Path) -> None:
    rows, told = problems(odd)
    first, second = (json.loads(row["metadata"]) for row in rows)
    assert "image" not in first and second["image"] == {"bytes": None, "path": "b.png"}
    assert "took" not in first and second["took"] is None
    assert (first["loss"], first["losses"], second["loss"]) == (None, [1.0, None], 0.5)
    assert first["key"] == str(uuid.UUID(int=7))
    assert told == {
        "column_left_out: 'image' holds bytes": 1.0,
        "column_left_out: 'took' holds durations": 1.0,
        "null_instead: 'loss' holds NaN or infinity": 1.0,
        "null_instead: 'losses' holds NaN or infinity": 1.0,
    }


def test_a_column_that_was_asked_for_is_a_malformed_row(odd: Path) -> None:
    with pytest.raises(UserError, match="the metadata is no JSON"):
        problems(odd, metadata_columns=["loss"])
    rows, told = problems(odd, metadata_columns=["notes"])
    assert len(rows) == 2 and not told
