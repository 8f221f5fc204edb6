"""`synthflow verify` as it is called: what it prints, what it leaves with, what it leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synthflow.cli.main import main
from synthflow.errors import ExitCode, InfrastructureError
from synthflow.verifiers.choice import ChoiceVerifier
from synthflow.verifiers.exact import ExactVerifier


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"answer": "2", "completion": rf"\boxed{{{i}}}"} for i in (1, 2, 2)] + [{"answer": "2", "completion": "?"}]
    Path("a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def call(*args: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(["verify", *args])
    return int(left.value.code or 0)


def test_the_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("a.jsonl", "--verifier", "exact") == ExitCode.OK
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    for line in (
        ["correct", "2", "50.0%"],
        ["wrong", "1", "25.0%"],
        ["parse_failure", "1", "25.0%"],
        ["boxed", "2", "1", "0", "75.0%"],
    ):
        assert line in lines
    assert lines[-1] == ["a.verified.jsonl"]


def test_json_is_one_document_and_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("a.jsonl", "--verifier", "exact", "--json") == ExitCode.OK
    told = json.loads(capsys.readouterr().out)
    assert told["verdicts"] == {"correct": 2, "wrong": 1, "unknown": 1}
    assert told["reasons"] == [{"verdict": "unknown", "reason": "parse_failure", "rows": 1}]
    assert call("a.jsonl", "--verifier", "exact", "--overwrite", "--quiet") == ExitCode.OK
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("a.jsonl",), "say who judges with --verifier NAME; known: blend, cascade"),
        (("b.jsonl", "--verifier", "exact"), "b.jsonl: no such file; did you mean 'a.jsonl'?"),
        (("a.jsonl", "--verifier", "exact", "--stage", "x", "--apply"), "--stage, --apply: not for a file"),
        ((".", "--out", "x", "--gold-column", "y"), "--gold-column, --out: not for a run"),
        ((".", "--truncated", "wrong", "--on-bad-row", "fail"), "--on-bad-row, --truncated: not for a run"),
        ((".",), "not a run directory"),
        (("a.jsonl", "--verifier", "exact", "--set", "extract"), "write it as FIELD=VALUE"),
        (("a.jsonl", "--verifier", "exact", "--config", "none.yaml"), "none.yaml: cannot be read"),
        (("a.jsonl", "--verifier", "exact", "--config", "twice.yaml"), "stands twice, on lines 1 and 2"),
        (("a.jsonl", "--verifier", "exact", "--out", "a.txt"), "which format"),
        (("a.jsonl", "--verifier", "exact", "--out", "no/such/../../a.jsonl"), "the input itself"),
        (("*.jsonl", "--verifier", "exact"), "is a pattern"),
        (("a.jsonl", "--verifier", "exact", "--explain", "0"), "the number of a row; the first is 1"),
        (("a.jsonl", "--verifier", "exact", "--explain", "r_1"), "the number of a row; the first is 1"),
        (("a.jsonl", "--verifier", "exact", "--explain", "5"), "--explain 5: a.jsonl has 4 rows"),
        ((".", "--explain", "r_1", "--apply"), "--apply: not for --explain"),
    ],
)
def test_mistakes(args: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("twice.yaml").write_text("extract: all\nextract: boxed\n")
    assert call(*args) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert text in said and "Traceback" not in said, said
    assert sorted(p.name for p in Path().iterdir()) == ["a.jsonl", "twice.yaml"]


def test_one_verdict_is_explained_and_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    Path("b.jsonl").write_text(
        json.dumps({"question": "Which?\nA) 5\nB) [7]", "gold": "B", "completion": r"\boxed{5}? No. Answer: **B**"})
        + "\n"
    )
    before = sorted(path.name for path in Path().iterdir())
    assert call("b.jsonl", "--verifier", "choice", "--explain", "1") == ExitCode.OK
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[:2] == ["b.jsonl, row 1", f"by choice {ChoiceVerifier.version}"]
    for line in (
        "asked         Which?", "              B) [7]", "gold          B",
        "→ announced   B  gives B", "  box         5  gives A",
        "  gold        the choice B", "  answer      the choice B", "verdict       correct",
    ):  # fmt: skip
        assert line in lines, lines
    assert call("a.jsonl", "--verifier", "exact", "--explain", "4", "--json") == ExitCode.OK
    told = json.loads(capsys.readouterr().out)
    assert (told["verdict"], told["reason"], told["candidates"], told["gold"]) == ("unknown", "parse_failure", [], "2")
    assert sorted(path.name for path in Path().iterdir()) == before


def test_a_row_of_a_verified_file_is_explained_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("a.jsonl", "--verifier", "exact", "--quiet") == ExitCode.OK
    for row, verdict in (("1", "wrong"), ("2", "correct")):
        assert call("a.verified.jsonl", "--verifier", "exact", "--explain", row, "--json") == ExitCode.OK
        assert json.loads(capsys.readouterr().out)["verdict"] == verdict


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, "interrupted; nothing was written"),
        (InfrastructureError("no worker starts"), ExitCode.INCOMPLETE, "no worker starts"),
    ],
)
def test_what_stops_half_way_leaves_nothing(
    error: BaseException, code: int, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(self: ExactVerifier, questions: object) -> None:
        raise error

    monkeypatch.setattr(ExactVerifier, "judge", fail)
    assert call("a.jsonl", "--verifier", "exact") == code
    assert text in capsys.readouterr().err
    assert [p.name for p in Path().iterdir()] == ["a.jsonl"]
