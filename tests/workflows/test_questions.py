"""What a verifier is told of a row of a file besides the answer and the gold answer."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from synthflow.workflows.verify_file import VerifyFile, verify_file

PROGRAM = "```python\ndef double(x):\n    return {}\n```"
TESTS = {"fn_name": "double", "inputs": [[2], [5]], "outputs": [4, 10]}


def test_a_program_is_run_against_the_tests_in_the_metadata(tmp_path: Path) -> None:
    rows = [
        {"completion": PROGRAM.format("2 * x"), "metadata": json.dumps(TESTS)},
        {"completion": PROGRAM.format("x + 2"), "metadata": json.dumps(TESTS)},
        {"completion": "no program", "metadata": json.dumps(TESTS)},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    verify_file(VerifyFile(str(tmp_path / "a.jsonl"), "code", out=str(tmp_path / "b.jsonl")))
    said = [json.loads(line) for line in (tmp_path / "b.jsonl").read_text().splitlines()]
    assert [row["verdict"] for row in said] == ["correct", "wrong", "unknown"]
    assert said[2]["reason"] == "parse_failure" and {row["scorer"] for row in said} == {"code"}


def test_a_route_reads_the_domain_of_a_parquet_file(tmp_path: Path) -> None:
    rows = {
        "prompt": ["1/2?", "Which?"],
        "domain": ["math", "quiz"],
        "completion": [r"\boxed{0.5}", "The answer is (B)."],
        "gold": ["1/2", "B"],
        "metadata": ["{}", "{}"],
    }
    pq.write_table(pa.table(rows), tmp_path / "a.parquet")
    by = {"by": "domain", "routes": {"math": {"use": "math"}, "quiz": {"use": "choice"}}}
    verify_file(VerifyFile(str(tmp_path / "a.parquet"), "route", by, out=str(tmp_path / "b.parquet")))
    assert pq.read_table(tmp_path / "b.parquet")["verdict"].to_pylist() == ["correct", "correct"]
