"""One reader of rows: what a source reads of a file is what `verify FILE` reads of it, errors included."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synthflow.errors import UserError
from synthflow.io import files
from synthflow.io.json_lines import json_lines, json_rows
from synthflow.io.parquet import parquet_rows
from synthflow.io.readers import open_answers
from synthflow.io.rows import Row, RowError, columns_of, first_rows

BROKEN = b"\n".join(
    [
        b'\xef\xbb\xbf{"a": 1}\r',
        b"",
        '  {"a": 2.50, "b": "é"} \t'.encode(),
        b'  {"a" 3}',
        b"   \xff",
        b"[4]",
        b'{"a": 5, "a": 6}',
        b'{"a": NaN}',
    ]
)


def said(rows: list[Row]) -> list[tuple[str, object]]:
    return [(row.where, str(row.values) if isinstance(row.values, RowError) else dict(row.values)) for row in rows]


def verified(path: Path) -> list[Row]:
    return [row for chunk in open_answers(str(path)).chunks(None, None) for row in chunk.rows]


@pytest.mark.parametrize(("suffix", "pack"), [("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress)])
def test_a_source_and_verify_read_the_same_of_a_file(tmp_path: Path, suffix: str, pack: object) -> None:
    assert callable(pack)
    path = tmp_path / f"x.jsonl{suffix}"
    path.write_bytes(pack(BROKEN))
    rows = said(list(json_rows(str(path))))
    assert rows == said(verified(path))
    assert [where.rpartition(":")[2] for where, _ in rows] == ["1", "3", "4", "5", "6", "7", "8"]
    assert rows[1][1] == {"a": 2.5, "b": "é"}
    assert [what for _, what in rows[2:]] == [
        "not JSON: Expecting ':' delimiter at column 8",
        "not UTF-8 (byte 3)",
        "not a JSON object",
        "the key 'a' stands twice",
        "NaN is no JSON number",
    ]
    assert columns_of(first_rows(json_rows(str(path)))) == open_answers(str(path)).columns() == ["a", "b"]


def test_a_line_is_handed_on_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(BROKEN)
    held = [line for _, line in json_lines(str(path))]
    assert held[:3] == [b'{"a": 1}', '{"a": 2.50, "b": "é"}'.encode(), b'{"a" 3}']


def test_the_end_of_a_line_is_no_part_of_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 12)
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a": "123"}\n{"a": "1234"}\n{"a": 1}' + b" " * 20 + b"x\n" + b'{"a": "456"}')
    expected = [{"a": "123"}, "longer than 12 bytes", "longer than 12 bytes", {"a": "456"}]
    assert [what for _, what in said(list(json_rows(str(path))))] == expected
    assert [what for _, what in said(verified(path))] == expected


def test_parquet_rows_are_numbered_over_batches(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": list(range(1100))}), path, row_group_size=300)
    rows = said(list(parquet_rows(str(path))))
    assert rows == said(verified(path))
    assert rows[1099][0].endswith("row 1100") and rows[1099][1] == {"a": 1099}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 100_000)[:-200], "cannot be read: "),
        ("x.jsonl.zst", b"no archive", "cannot be read: "),
        ("x.parquet", b"PAR1 and no more", "cannot be read as Parquet: "),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    read = parquet_rows if name.endswith(".parquet") else json_rows
    for reader in (lambda: list(read(str(path))), lambda: verified(path)):
        with pytest.raises(UserError, match=f"{name}: {words}"):
            reader()
