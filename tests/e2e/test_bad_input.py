"""Bad input as a new user brings it: one clear message, the right exit code, nothing lost, no traceback."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.runs import SMALL, synthflow, write_spec
from synthflow.errors import ExitCode


def _spec(folder: Path, lines: list[str] | None, **changes: Any) -> Path:
    if lines is not None:
        (folder / "in.jsonl").write_text("".join(line + "\n" for line in lines))
    spec = {
        "name": "bad",
        "policy": {"backend": "transformers", "model": "demo"},
        "stages": {
            "problems": {"use": "source.jsonl", "path": "in.jsonl"},
            "rollouts": {"use": "sample", "of": "problems", "n": 2, "max_tokens": 32},
            "verdicts": {"use": "verify.math", "of": "rollouts"},
        },
        **changes,
    }
    return write_spec(folder / "spec.yaml", spec)


def _row(n: int, **more: Any) -> str:
    return json.dumps({"prompt": f"Ana has {n} apples and buys 5 more. How many?", "answer": str(n + 5), **more})


def _fails(spec: Path, out: Path, *says: str, code: int = ExitCode.USAGE) -> subprocess.CompletedProcess[str]:
    done = synthflow("run", spec, "--out", out)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: "), done.stderr
    for text in says:
        assert text in done.stderr, done.stderr
    return done


def test_an_empty_file(tmp_path: Path) -> None:
    _fails(_spec(tmp_path, []), tmp_path / "run", "in.jsonl")


def test_malformed_json_on_line_7(tmp_path: Path) -> None:
    lines = [_row(n) for n in range(6)] + ['{"prompt": "torn'] + [_row(n) for n in range(6, 9)]
    _fails(_spec(tmp_path, lines), tmp_path / "run", "in.jsonl:7")


def test_a_missing_answer(tmp_path: Path) -> None:
    _fails(_spec(tmp_path, [_row(1), '{"prompt": "What is it?"}']), tmp_path / "run", "in.jsonl:2", "answer")


def test_a_5_mb_prompt(tmp_path: Path) -> None:
    _fails(
        _spec(tmp_path, [_row(1), _row(2, prompt="x" * 5_000_000)]), tmp_path / "run", "in.jsonl:2", "max_prompt_chars"
    )


def test_two_answers_to_one_problem(tmp_path: Path) -> None:
    _fails(_spec(tmp_path, [_row(1), _row(1, answer="7")]), tmp_path / "run", "in.jsonl:2", "different answer")


def test_a_model_path_that_does_not_exist(tmp_path: Path) -> None:
    spec = _spec(tmp_path, [_row(1)], policy={"backend": "transformers", "model": "no/such/model"})
    _fails(spec, tmp_path / "run", "no/such/model")


def test_a_run_directory_that_is_not_one(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("precious")
    _fails(_spec(tmp_path, [_row(1)]), tmp_path / "home", "not a run directory", "thesis.tex")
    assert (tmp_path / "home" / "thesis.tex").read_text() == "precious"
    for command in ("status", "stats", "sql", "check"):
        done = synthflow(command, tmp_path / "home")
        assert done.returncode == ExitCode.USAGE and "not a run directory" in done.stderr, done.stderr
        done = synthflow(command, tmp_path / "nowhere")
        assert done.returncode == ExitCode.USAGE and "no such run directory" in done.stderr, done.stderr


def test_five_mistakes_are_told_together_with_their_lines(tmp_path: Path) -> None:
    text = """\
name: five
policy: {backend: transformer, model: demo}
stages:
  problems:   {use: source.demo}
  rollouts:   {use: sample, of: problem, n: 16}
  verdicts:   {use: verify.maths, of: rollouts}
  difficulty: {use: curriculum.pass_rate, of: verdicts, min_judge: 3}
  more:       {use: sample, of: problems, n: many}
"""
    (tmp_path / "spec.yaml").write_text(text)
    done = _fails(tmp_path / "spec.yaml", tmp_path / "run", "5 mistakes")
    for line, right in (
        (2, "transformers"), (5, "problems"), (6, "verify.math"), (7, "min_judged"), (8, "stages.more.n"),
    ):  # fmt: skip
        assert any(f"spec.yaml:{line}" in said and right in said for said in done.stderr.splitlines()), done.stderr
    assert not (tmp_path / "run").exists()


def test_a_spec_that_is_not_there(tmp_path: Path) -> None:
    done = synthflow("run", tmp_path / "nothing.yaml")
    assert done.returncode == ExitCode.USAGE and "nothing.yaml" in done.stderr
    done = synthflow("run", "quickstrt")
    assert done.returncode == ExitCode.USAGE and "quickstart" in done.stderr


@pytest.mark.slow
@pytest.mark.extended
def test_duplicate_problems_run_once_and_are_told(tmp_path: Path) -> None:
    lines = [_row(1), _row(2), _row(1), _row(1)]
    spec = _spec(tmp_path, lines)
    done = synthflow("run", spec, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    said = synthflow("sql", tmp_path / "run", "SELECT reason, score FROM rejects", "--format", "csv").stdout
    assert "duplicate_problem,2" in said
    assert synthflow("check", tmp_path / "run").returncode == 0


@pytest.mark.slow
def test_a_second_run_on_the_same_directory_is_told_who_has_it(tmp_path: Path) -> None:
    from support.runs import kill_group, start

    spec = write_spec(tmp_path / "spec.yaml", SMALL)
    first = start(spec, tmp_path / "run")
    try:
        import time

        deadline = time.monotonic() + 30
        while not (tmp_path / "run" / "lock").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        done = synthflow("run", spec, "--out", tmp_path / "run")
        assert done.returncode == ExitCode.LOCKED
        assert f"process {first.pid}" in done.stderr
    finally:
        kill_group(first)
