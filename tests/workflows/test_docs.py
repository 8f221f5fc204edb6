"""What verify-files.md, calibration.md and what-is-read.md say is what happens; numbers are those of the formulas."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from synthflow.cli.main import cli
from synthflow.contracts import Question
from synthflow.stages.measure.calibration_config import CalibrationConfig
from synthflow.statistics.intervals import wilson
from synthflow.verifiers.opening import open_verifier

DOCS = Path(__file__).parents[2] / "docs"
FILES = (DOCS / "verify-files.md").read_text()
CALIBRATION = (DOCS / "calibration.md").read_text()
READ = (DOCS / "what-is-read.md").read_text()


def test_the_commands_on_files_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    row = {"question": "1 + 1?", "answer": "2", "completion": r"so \boxed{2}"}
    (tmp_path / "answers.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "eval.csv").write_text("output,target\n\\boxed{a},A\n")
    (tmp_path / "math.yaml").write_text("timeout_s: 2\nworkers: 1\n")
    commands = re.findall(r"^synthflow verify (?!runs/)(.+)$", FILES, re.MULTILINE)
    for command in commands:
        assert cli.main(["verify", *shlex.split(command, comments=True)], standalone_mode=False) == 0
    assert len(commands) == 4
    assert {p.name for p in tmp_path.iterdir()} == {
        "answers.jsonl", "answers.verified.jsonl", "eval.csv", "judged.parquet", "math.yaml", "strict.jsonl.gz",
    }  # fmt: skip
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["verdicts"] == {"correct": 1, "wrong": 0, "unknown": 0} and told["out"] == "answers.jsonl"


def test_the_commands_that_explain_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"question": "1 + 1?", "answer": a, "completion": rf"so \boxed{{{a}}}"} for a in ("2", "B")]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    commands = re.findall(r"^synthflow verify (?!runs/)(.+)$", READ, re.MULTILINE)
    for command in commands:
        assert cli.main(["verify", *shlex.split(command, comments=True)], standalone_mode=False) == 0
    assert len(commands) == 2 and [path.name for path in tmp_path.iterdir()] == ["answers.jsonl"]
    for_people, for_programs = capsys.readouterr().out.rsplit("\n{", 1)
    assert "→ box" in for_people and "verdict       correct" in for_people
    assert json.loads("{" + for_programs)["candidates"][0]["text"] == "B"


def _rows() -> list[tuple[str, str, str, str, str | None]]:
    """Verifier, completion, gold answer, verdict and rule of each row of the page's tables."""
    found, verifier = [], ""
    for line in READ.splitlines():
        if named := re.match(r"With `(\w+)`", line):
            verifier = named.group(1)
        if row := re.fullmatch(r"\| `(.+)` \| `(.+)` \| (\w+) \| (\w*) ?\|", line):
            found.append((verifier, row.group(1).replace("⏎", "\n"), row.group(2), row.group(3), row.group(4) or None))
    return found


def test_the_tables_of_what_is_read() -> None:
    rows = _rows()
    assert len(rows) >= 28 and {verifier for verifier, *_ in rows} == {"math", "choice", "exact"}
    for name in ("math", "choice", "exact"):
        verifier = open_verifier(name, {"extract": "last_line"} if name == "exact" else {})
        mine = [row for row in rows if row[0] == name]
        said = verifier.judge([Question("r", "p", row[1], row[2]) for row in mine])
        verifier.close()
        for (_, completion, gold, verdict, rule), judgement in zip(mine, said, strict=True):
            assert (judgement.verdict, judgement.rule) == (verdict, rule), (completion, gold, judgement)


def test_the_calibration_is_one() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", CALIBRATION, re.DOTALL)
    [text] = [block for block in blocks if "measure.calibration" in block]
    config = CalibrationConfig.model_validate(yaml.safe_load(text)["calibration"])
    assert config.require is not None and config.require.n == 200


def test_how_many_wrong_ones_a_bound_takes() -> None:
    n = int(re.findall(r"which takes (\d+) wrong rollouts", CALIBRATION)[0])
    assert float(wilson(0, n).high) <= 0.02 < float(wilson(0, n - 1).high)
