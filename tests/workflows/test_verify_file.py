"""Verify a file: what stood in it stays, what is added is right, and mistakes are told before anything is judged."""

from __future__ import annotations

import csv
import gzip
import json
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.errors import Mistakes, UserError
from synthflow.io import readers
from synthflow.io.columns import ADDED, choose_columns
from synthflow.verifiers.exact import ExactVerifier
from synthflow.workflows.verify_file import FileVerdicts, VerifyFile, default_out, verify_file

ROWS: list[dict[str, Any]] = [
    {"question": "1 + 1?", "answer": "2", "completion": r"it is \boxed{2}"},
    {"question": "1 + 1?", "answer": "2", "completion": r"it is \boxed{12}"},
    {"question": "2 + 2?", "answer": "4", "completion": "no idea"},
    {"question": "2 + 3?", "answer": None, "completion": r"\boxed{5}"},
    {"question": "2 + 4?", "answer": "6", "completion": None},
]
EXPECTED = [
    ("correct", None, 1.0), ("wrong", None, 0.0), ("unknown", "parse_failure", None), ("unknown", "no_gold", None),
    ("unknown", "no_completion", None),
]  # fmt: skip


def jsonl(path: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def judge(path: Path | str, **fields: Any) -> FileVerdicts:
    return verify_file(VerifyFile(str(path), "exact", **fields))


def out_rows(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().rstrip("\n").split("\n")]


def verdicts(rows: list[dict[str, Any]]) -> list[tuple[Any, Any, Any]]:
    return [(row["verdict"], row["reason"] or None, row["value"]) for row in rows]


def test_a_file_gets_eight_columns_and_keeps_the_others(tmp_path: Path) -> None:
    done = judge(jsonl(tmp_path / "a.jsonl"))
    assert done.out == str(tmp_path / "a.verified.jsonl")
    rows = out_rows(done.out)
    assert verdicts(rows) == EXPECTED
    assert [{k: v for k, v in row.items() if k not in ADDED} for row in rows] == ROWS
    assert all(list(row)[-8:] == list(ADDED) for row in rows)
    assert {(row["scorer"], row["scorer_version"]) for row in rows} == {("exact", ExactVerifier().full_version())}
    assert dict(done.verdicts) == {"correct": 1, "wrong": 1, "unknown": 3}
    found = [(row["extracted"], row["rule"], row["detail"]) for row in rows]
    assert found[:3] == [("2", "boxed", "2"), ("12", "boxed", "12"), (None, None, "no answer found")]
    told = done.to_json()
    assert told["rows"] == 5 and told["rules"] == [{"rule": "boxed", "correct": 1, "wrong": 1, "unknown": 0}]


def test_a_line_of_json_stays_as_it_was_written(tmp_path: Path) -> None:
    text = '{"gold":"1.50" , "response" :"\\\\boxed{1.50}","x":1.50,"y":1e3,"u":"\\u00e9","e":{}  }'
    (tmp_path / "a.jsonl").write_text(f"\n{text}\n\n")
    line = Path(judge(tmp_path / "a.jsonl").out).read_text()
    assert line.startswith(text[:-1].rstrip() + ', "verdict": "correct"')


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.dictionaries(st.text(max_size=5).filter(lambda k: k not in ADDED), _JSON, max_size=4), min_size=1),
    st.booleans(),
)
def test_whatever_a_row_holds_it_comes_out_again(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], overwrite: bool
) -> None:
    folder = tmp_path_factory.mktemp("any")
    rows = [{**row, "completion": "\\boxed{1}", "gold": "1"} for row in rows]
    if overwrite:
        rows = [{**row, "verdict": "old"} for row in rows]
    done = judge(jsonl(folder / "a.jsonl", rows), gold_column="gold", answer_column="completion", overwrite=overwrite)
    back = out_rows(done.out)
    kept = [{k: v for k, v in row.items() if k not in ADDED} for row in rows]
    assert [{k: v for k, v in row.items() if k not in ADDED} for row in back] == kept
    assert done.verdicts["correct"] == len(rows)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=5))
def test_cells_of_csv_come_out_again(tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, str]]) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    cells = [tuple(c.encode("utf-8", "replace").decode().replace("\0", "") for c in pair) for pair in cells]  # type: ignore[misc]
    with path.open("w", newline="") as handle:
        csv.writer(handle).writerows([("completion", "gold"), *cells])
    done = judge(path)
    with Path(done.out).open(newline="") as handle:
        back = list(csv.reader(handle))
    assert back[0] == ["completion", "gold", *ADDED]
    assert [tuple(row[:2]) for row in back[1:]] == list(cells)


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "gold": pa.array([1, 2, None], pa.int16()),
            "completion": pa.array(["\\boxed{1}", "\\boxed{3}", "\\boxed{3}"], pa.large_string()),
            "token_ids": pa.array([[1], [], None], pa.list_(pa.int32())),
            "image": pa.array([b"\xff", None, b""], pa.binary()),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    done = judge(tmp_path / "a.parquet")
    back = pq.read_table(done.out)
    assert back.select(table.column_names).equals(table)
    assert back["verdict"].to_pylist() == ["correct", "wrong", "unknown"]
    assert back.schema.field("value").type == pa.float64()
    with pytest.raises(UserError, match=r"a\.parquet row 1: it holds a bytes"):
        judge(tmp_path / "a.parquet", out=str(tmp_path / "b.jsonl"))
    assert not (tmp_path / "b.jsonl").exists()


@pytest.mark.parametrize("suffix", ["csv", "tsv.gz", "parquet", "jsonl.zst", "jsonl.bz2"])
def test_formats_turn_into_each_other(tmp_path: Path, suffix: str) -> None:
    there = judge(jsonl(tmp_path / "a.jsonl"), out=str(tmp_path / f"b.{suffix}")).out
    back = judge(there, out=str(tmp_path / "c.jsonl"), overwrite=True).out
    rows = out_rows(back)
    assert verdicts(rows)[:3] == EXPECTED[:3]
    assert [row["question"] for row in rows] == [row["question"] for row in ROWS]


def test_json_with_types_that_do_not_fit_a_column_of_parquet(tmp_path: Path) -> None:
    rows = [{**ROWS[0], "x": 1}, {**ROWS[0], "x": 1.5}, {**ROWS[0], "x": "one"}]
    with pytest.raises(UserError, match=r"a\.jsonl:3: 'x' holds str where rows before hold double"):
        judge(jsonl(tmp_path / "a.jsonl", rows), out=str(tmp_path / "b.parquet"))
    done = judge(jsonl(tmp_path / "a.jsonl", rows[:2]), out=str(tmp_path / "b.parquet"))
    assert pq.read_table(done.out)["x"].to_pylist() == [1.0, 1.5]


def test_urls_are_read_and_written(tmp_path: Path) -> None:
    with fsspec.open("memory://v/a.jsonl.gz", "wb") as handle:
        handle.write(gzip.compress(jsonl(tmp_path / "a.jsonl").read_bytes()))
    done = judge("memory://v/a.jsonl.gz")
    assert done.out == "memory://v/a.verified.jsonl.gz"
    with fsspec.open(done.out, "rb", compression="gzip") as handle:
        assert verdicts([json.loads(line) for line in handle]) == EXPECTED
    with pytest.raises(Mistakes, match="it is there already"):
        judge("memory://v/a.jsonl.gz")


def test_mistakes_in_the_call_are_told_together(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{**row, "verdict": "x", "value": 1} for row in ROWS])
    asked = VerifyFile(
        str(path), "math", {"timeout": 1, "workers": 0}, answer_column="complection", gold_column="gold", out=str(path)
    )
    with pytest.raises(Mistakes) as caught:
        verify_file(asked)
    said = str(caught.value)
    assert "6 mistakes" in said
    for text in ("timeout_s", "greater than or equal to 1", "did you mean 'completion'?", "no column 'gold'",
                 "it is the input itself", "verdict, value already"):  # fmt: skip
        assert text in said, said
    with pytest.raises(Mistakes, match="did you mean 'math'"):
        verify_file(VerifyFile(str(path), "maths", overwrite=True))


def test_the_input_is_replaced_only_when_told_to(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl")
    before = path.read_bytes()
    with pytest.raises(Mistakes, match="the input itself"):
        judge(path, out=str(path))
    assert path.read_bytes() == before
    judge(path, out=str(path), overwrite=True)
    assert verdicts(out_rows(str(path))) == EXPECTED
    judge(path, out=str(path), overwrite=True)  # the columns of before are replaced, not added once more
    assert [list(row) for row in out_rows(str(path))] == [["question", "answer", "completion", *ADDED]] * 5


BROKEN = [
    b'{"gold": "1", "completion": "\\\\boxed{1}"}',
    b'{"gold": "1", "completion": "torn',
    b'{"gold": "1", "completion": "\xff"}',
    b'{"gold": {"a": 1}, "completion": "1"}',
    *[b'{"gold": "1", "completion": "\\\\boxed{1}"}'] * 60,
    b'{"gold": "1", "completion": "\\\\boxed{1}", "verdict": "good"}',
]


def test_broken_rows_stop_with_their_lines_or_are_unknown(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(BROKEN))
    with pytest.raises(Mistakes) as caught:
        judge(tmp_path / "a.jsonl")
    said = str(caught.value)
    assert "4 mistakes" in said
    for line, text in ((2, "not JSON"), (3, "not UTF-8"), (4, "a dict"), (65, "a field 'verdict' already")):
        assert f"a.jsonl:{line}: " in said and text in said, said
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]
    done = judge(tmp_path / "a.jsonl", bad_rows_unknown=True)
    assert (done.rows, done.bad_rows, done.verdicts["unknown"]) == (65, 4, 4)
    rows = out_rows(done.out)
    assert rows[1]["reason"].startswith("bad_row: not JSON") and rows[1]["bad_row"].endswith("a.jsonl:2")
    assert done.reasons["unknown", "bad_row"] == 4


def test_broken_csv(tmp_path: Path) -> None:
    lines = [b"gold,completion", b'1,"a ""\\boxed{1}"""', b"1,2,3", b'1,"a" b', b"1,\xff", b"1,\\boxed{1}"]
    (tmp_path / "a.csv").write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(Mistakes) as caught:
        judge(tmp_path / "a.csv")
    assert [m.where.rpartition(":")[2] for m in caught.value.found] == ["3", "4", "5"]
    done = judge(tmp_path / "a.csv", bad_rows_unknown=True)
    assert (done.verdicts["correct"], done.bad_rows) == (2, 3)
    for header, text in ((b"a,a\n", "two columns"), (b"", "is empty|no header"), (b"\xff,b\n", "no header")):
        (tmp_path / "b.csv").write_bytes(header)
        with pytest.raises(UserError, match=text):
            judge(tmp_path / "b.csv")


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.txt", "which format"), ("a.parquet.gz", "which format"), ("b.jsonl", "no such file; did you mean 'a.jsonl'")],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, name: str, text: str) -> None:
    jsonl(tmp_path / "a.jsonl")
    if name != "b.jsonl":
        (tmp_path / name).write_text("x")
    with pytest.raises(UserError, match=text):
        judge(tmp_path / name)


def test_a_truncated_archive_leaves_nothing(tmp_path: Path) -> None:
    packed = gzip.compress(b"".join(json.dumps(ROWS[0]).encode() + b"\n" for _ in range(5000)))
    (tmp_path / "a.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(UserError, match=r"a\.jsonl\.gz: cannot be read"):
        judge(tmp_path / "a.jsonl.gz")
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl.gz"]


@pytest.mark.parametrize(
    ("columns", "answer", "gold"),
    [
        (("prompt", "completion", "answer"), "completion", "answer"),
        (("question", "answer", "ground_truth"), "answer", "ground_truth"),
        (("Model-Output", "Expected Answer"), "Model-Output", "Expected Answer"),
        (("prediction", "reference", "response_length"), "prediction", "reference"),
    ],
)
def test_columns_are_guessed_where_only_one_can_be_meant(columns: tuple[str, ...], answer: str, gold: str) -> None:
    chosen, found = choose_columns(columns, None, None, True, False)
    assert not found and chosen is not None and (chosen.answer, chosen.gold) == (answer, gold)


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        (("question", "answer"), "no column is known to hold the answer to judge"),
        (("completion", "response", "gold"), "several columns may hold the answer to judge: completion, response"),
        (("completion", "solution"), "no column is known to hold the gold answer"),
    ],
)
def test_columns_are_not_guessed_otherwise(columns: tuple[str, ...], text: str) -> None:
    chosen, found = choose_columns(columns, None, None, True, False)
    assert chosen is None and any(text in str(mistake) for mistake in found)


@pytest.mark.parametrize(
    ("truncated", "expected"), [("unknown", ("unknown", "truncated", None)), ("wrong", ("wrong", "truncated", 0.0)),
                                ("judge", ("correct", None, 1.0))],
)  # fmt: skip
def test_how_a_completion_ended_counts_as_in_a_stage(tmp_path: Path, truncated: Any, expected: Any) -> None:
    ends = ("stop", "length", "refused")
    rows = [{"completion": "\\boxed{1}", "gold": "1", "metadata": {}, "finish_reason": end} for end in ends]
    pq.write_table(pa.Table.from_pylist([{**row, "metadata": "{}"} for row in rows]), tmp_path / "a.parquet")
    said = [("correct", None, 1.0), expected, ("unknown", "refused", None)]
    assert verdicts(out_rows(judge(jsonl(tmp_path / "a.jsonl", rows), truncated=truncated).out)) == said
    back = pq.read_table(judge(tmp_path / "a.parquet", truncated=truncated).out)
    assert verdicts(back.to_pylist()) == said


def test_a_verifier_without_gold_asks_for_no_gold_column() -> None:
    chosen, found = choose_columns(("prompt", "completion"), None, None, False, False)
    assert not found and chosen is not None and chosen.gold is None and chosen.problem == "prompt"


def test_chats_and_numbers_are_answers_too(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "\\boxed{7}"}]
    done = judge(jsonl(tmp_path / "a.jsonl", [{"completion": chat, "gold": 7}, {"completion": [], "gold": 7}]),
                 bad_rows_unknown=True)  # fmt: skip
    assert verdicts(out_rows(done.out))[0] == ("correct", None, 1.0)
    assert done.bad_rows == 1


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_rows_of_a_problem_stay_together(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "CHUNK_ROWS", 8)
    rows = [{"problem_id": f"p{i // 5}", "completion": "x", "gold": "x"} for i in range(40)]
    path = tmp_path / f"a.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        jsonl(path, rows)
    seen: list[list[str]] = [
        [str(row.values["problem_id"]) for row in chunk.rows]  # type: ignore[index]
        for chunk in readers.open_answers(str(path)).chunks("problem_id", None)
    ]
    assert [pid for one in seen for pid in one] == [row["problem_id"] for row in rows] and len(seen) > 2
    assert all(not set(a) & set(b) for a, b in pairwise(seen))


def test_memory_does_not_grow_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "CHUNK_ROWS", 64)

    def peak(n: int) -> int:
        line = json.dumps({"completion": "x" * 2000 + "\\boxed{1}", "gold": "1"}) + "\n"
        (tmp_path / "a.jsonl").write_text(line * n)
        tracemalloc.start()
        judge(tmp_path / "a.jsonl", overwrite=True)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(64)  # what is loaded once
    assert peak(4000) < 2 * peak(400)


def test_progress_is_told(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS * 1000), tmp_path / "a.parquet")
    told: list[tuple[int, int | None]] = []
    verify_file(VerifyFile(str(tmp_path / "a.parquet"), "exact"), lambda done, total: told.append((done.rows, total)))
    assert told[-1] == (5000, 5000) and len(told) > 2 and told == sorted(told)


@pytest.mark.parametrize(
    ("path", "out"),
    [
        ("a/b.jsonl", "a/b.verified.jsonl"),
        ("b.tar.csv.gz", "b.tar.verified.csv.gz"),
        ("s3://x/b.parquet", "s3://x/b.verified.parquet"),
    ],
)
def test_where_the_output_goes(path: str, out: str) -> None:
    assert default_out(path) == out


@pytest.fixture(autouse=True)
def _no_memory_files() -> Iterator[None]:
    yield
    fsspec.filesystem("memory").store.clear()
