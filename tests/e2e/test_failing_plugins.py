"""A plug-in that raises: a recorded outcome for its row, or one line that names stage, place and plug-in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.runs import CLI, write_spec
from synthflow.errors import ExitCode

pytestmark = pytest.mark.slow

PYPROJECT = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "faulty"
version = "0.1"
[tool.setuptools]
py-modules = ["faulty", "faulty_import"]
[project.entry-points."synthflow.verifiers"]
touchy = "faulty:Touchy"
picky = "faulty:Picky"
[project.entry-points."synthflow.filters"]
fragile = "faulty:Fragile"
[project.entry-points."synthflow.step_checkers"]
moody = "faulty:Moody"
[project.entry-points."synthflow.stages"]
"bad.stage" = "faulty:BadStage"
"bad.export" = "faulty:BadExport"
"bad.check" = "faulty:BadCheck"
"bad.version" = "faulty:BadVersion"
"bad.estimate" = "faulty:BadEstimate"
"bad.config" = "faulty:BadConfigured"
"bad.rows" = "faulty:BadRows"
"bad.import" = "faulty_import:Stage"
"""
MODULE = """
from pydantic import field_validator
from synthflow.contracts import (
    ExportStage, Filter, Judgement, Stage, StageConfig, StepChecker, StepTruth, Verifier,
)
from synthflow.io.rows import Row
from synthflow.stages.source.base import Source


class Touchy(Verifier):
    name, version = "touchy", "1"

    def judge(self, questions):
        if any(q.prompt[-1][1].count(" ") % 2 for q in questions):
            raise ValueError("an odd question\\nwith two lines")
        return [Judgement("correct", 1.0) for _ in questions]


class Picky(Verifier):
    name, version, needs_answer = "picky", "1", True

    def judge(self, questions):
        return [Judgement("correct", 1.0) for _ in questions]

    def gold_faults(self, questions):
        raise ArithmeticError("no gold")


class Moody(StepChecker):
    name, version = "moody", "1"

    def check(self, metadata, steps):
        if len(steps) % 2:
            raise KeyError("no step here")
        return [StepTruth("right") for _ in steps]


class Fragile(Filter):
    name, version = "fragile", "1"

    def judge(self, rollouts):
        rollouts["no_such_column"]


class Base(Stage):
    version, reads, writes = "1", ("rollouts",), ("scores",)

    def run(self, inputs, services):
        raise RuntimeError("nothing works")


class BadStage(Base):
    use = "bad.stage"


class BadExport(ExportStage):
    use, version, reads = "bad.export", "1", ("rollouts",)

    def release(self, inputs, directory, services):
        (directory / "half").write_text("")
        return 1 / 0


class BadCheck(Base):
    use = "bad.check"

    def check(self, ancestors):
        yield "of", "a mistake before it raises", ""
        raise IndexError("out of range")


class BadVersion(Base):
    use = "bad.version"

    def full_version(self):
        raise OSError("no library")


class BadEstimate(Base):
    use = "bad.estimate"

    def estimate(self, upstream):
        return upstream.lines


class BadConfig(StageConfig):
    level: int = 1

    @field_validator("level")
    @classmethod
    def _checked(cls, value):
        raise TypeError("levels are lists")


class BadConfigured(Base):
    use, Config = "bad.config", BadConfig


class BadRows(Source):
    use = "bad.rows"

    def rows(self):
        yield Row("here.txt", 7, {"prompt": "q", "answer": "1"})
        raise LookupError("no eighth row")
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    package = tmp_path_factory.mktemp("faulty")
    (package / "pyproject.toml").write_text(PYPROJECT)
    (package / "faulty.py").write_text(MODULE)
    (package / "faulty_import.py").write_text("raise RuntimeError('not today')\n")
    site = package / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(site), str(package)], check=True, capture_output=True, timeout=120)
    return {**os.environ, "PYTHONPATH": str(site)}


STAGES: dict[str, dict[str, Any]] = {
    "problems": {"use": "source.demo", "limit": 4},
    "rollouts": {"use": "sample", "of": "problems", "n": 2, "max_tokens": 64},
    "verdicts": {"use": "verify.touchy", "of": "rollouts", "truncated": "judge"},
}
FAILING = {
    "filter": ({"use": "filter.fragile", "of": "verdicts"}, "stage 'new': filter 'fragile', on rollout r_"),
    "stage": ({"use": "bad.stage", "of": "verdicts"}, "stage 'new' (bad.stage of faulty 0.1), on partition q_"),
    "export": ({"use": "bad.export", "of": "verdicts"}, "stage 'new' (bad.export of faulty 0.1), on all partitions"),
}
UNPLANNED = {
    "check": ({"use": "bad.check", "of": "verdicts"}, ["a mistake before it raises", "IndexError: out of range"]),
    "version": ({"use": "bad.version", "of": "verdicts"}, ["'new' (bad.version)", "OSError: no library"]),
    "estimate": ({"use": "bad.estimate", "of": "verdicts"}, ["'new' (bad.estimate)", "no attribute 'lines'"]),
    "config": ({"use": "bad.config", "of": "verdicts", "level": 2}, ["TypeError: levels are lists"]),
    "rows": ({"use": "bad.rows"}, ["new (bad.rows), after here.txt:7, raised LookupError: no eighth row"]),
    "golds": (
        {"use": "verify.picky", "of": "rollouts"},
        ["verifier 'picky', asked about gold", "ArithmeticError: no gold"],
    ),
    "import": ({"use": "bad.import", "of": "verdicts"}, ["cannot be imported: RuntimeError: not today"]),
}


def call(environment: dict[str, str], *args: object) -> subprocess.CompletedProcess[str]:
    command = [str(CLI), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200, check=False)


def spec(folder: Path, stages: dict[str, Any]) -> Path:
    policy = {"backend": "transformers", "model": "demo"}
    return write_spec(folder / "spec.yaml", {"name": "faulty", "policy": policy, "stages": stages})


@pytest.mark.extended
def test_what_raises_on_a_row_is_that_row_s_outcome_and_the_rest_goes_on(
    environment: dict[str, str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    truth = {"truth": {"use": "label.reference", "of": "verdicts", "checker": "moody", "groups": "all"}}
    done = call(environment, "run", spec(tmp_path, {**STAGES, **truth}), "--out", run, "--quiet")
    assert done.returncode == 0, done.stderr
    query = "SELECT DISTINCT verdict, reason, detail FROM scores WHERE scorer = 'touchy' ORDER BY 1"
    assert call(environment, "sql", run, query, "--format", "csv").stdout.splitlines() == [
        "verdict,reason,detail",
        "correct,,",
        "unknown,verifier_error,ValueError: an odd question with two lines",
    ]
    query = "SELECT (SELECT count(*) FROM rejects WHERE reason = $$checker_error: KeyError: 'no step here'$$) > 0 AS a"
    assert call(environment, "sql", run, query, "--format", "csv").stdout.splitlines() == ["a", "True"]
    logged = "".join(path.read_text() for path in (run / "logs" / "attempt-1").glob("cpu-*.log"))
    assert "an odd question" in logged and "in judge" in logged, "the traceback is in the worker's log"
    assert call(environment, "check", run).returncode == 0
    for stage, words in FAILING.values():
        done = call(environment, "run", spec(tmp_path, {**STAGES, "new": stage}), "--out", run, "--quiet")
        assert done.returncode == ExitCode.CHECK_FAILED, done.stderr
        assert words in done.stderr and " raised " in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert not list((run / "exports").glob("*"))
    assert call(environment, "run", spec(tmp_path, STAGES), "--out", run, "--quiet").returncode == 0


@pytest.mark.parametrize("name", UNPLANNED)
def test_what_raises_at_planning_is_one_line(environment: dict[str, str], tmp_path: Path, name: str) -> None:
    stage, words = UNPLANNED[name]
    done = call(environment, "plan", spec(tmp_path, {**STAGES, "new": stage}), "--out", tmp_path / "run")
    assert done.returncode in (ExitCode.USAGE, ExitCode.CHECK_FAILED), done.stdout + done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert "Traceback" not in done.stderr
