"""What docs/verification.md says of files is what happens; its numbers are those of the formulas."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from synthflow.cli.main import cli
from synthflow.stages.measure.calibration_config import CalibrationConfig
from synthflow.statistics.intervals import wilson

TEXT = (Path(__file__).parents[2] / "docs" / "verification.md").read_text()


def test_the_commands_on_files_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    row = {"question": "1 + 1?", "answer": "2", "completion": r"so \boxed{2}"}
    (tmp_path / "answers.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "eval.csv").write_text("output,target\n\\boxed{a},A\n")
    (tmp_path / "math.yaml").write_text("timeout_s: 2\nworkers: 1\n")
    commands = re.findall(r"^synthflow verify (?!runs/)(.+)$", TEXT, re.MULTILINE)
    for command in commands:
        assert cli.main(["verify", *shlex.split(command, comments=True)], standalone_mode=False) == 0
    assert len(commands) == 4
    assert {p.name for p in tmp_path.iterdir()} == {
        "answers.jsonl", "answers.verified.jsonl", "eval.csv", "judged.parquet", "math.yaml", "strict.jsonl.gz",
    }  # fmt: skip
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["verdicts"] == {"correct": 1, "wrong": 0, "unknown": 0} and told["out"] == "answers.jsonl"


def test_the_calibration_is_one() -> None:
    [text] = [block for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL) if "measure.calibration" in block]
    config = CalibrationConfig.model_validate(yaml.safe_load(text)["calibration"])
    assert config.require is not None and config.require.n == 200


def test_how_many_wrong_ones_a_bound_takes() -> None:
    n = int(re.findall(r"which takes (\d+) wrong rollouts", TEXT)[0])
    assert float(wilson(0, n).high) <= 0.02 < float(wilson(0, n - 1).high)
