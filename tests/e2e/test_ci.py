"""What CI runs: the README's test command first, and in all every test that is not `long`."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.extended]

ROOT = Path(__file__).parents[2]
CALLS = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.startswith("make ")]
COLLECTOR = """
import json

def pytest_collection_modifyitems(items):
    for item in items:
        print("COLLECTED", json.dumps([item.nodeid, sorted({mark.name for mark in item.iter_markers()})]))
"""


def _pytest_calls(command: str) -> list[list[str]]:
    """The words after `pytest` in what a call of make would run; nothing of a make that this test runs under."""
    words = shlex.split(command)
    outer = {"MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "PYTEST_ARGS"}
    clean = {name: value for name, value in os.environ.items() if name not in outer}
    told = subprocess.run(
        [words[0], "--dry-run", *words[1:]], cwd=ROOT, env=clean, capture_output=True, text=True, check=True
    )
    lines = (shlex.split(line) for line in told.stdout.splitlines() if line.split()[:1] == [".venv/bin/pytest"])
    return [line[1:] for line in lines]


def _takes(call: list[str], test: str, marks: set[str]) -> bool:
    """Whether a call of pytest runs a test: its marker expression, which reads as Python does, and its paths."""
    expression = call[call.index("-m") + 1]
    names = {word: word in marks for word in expression.split()}
    places = [word for word in call if word.startswith("tests/")] or ["tests/"]
    ignored = [word.removeprefix("--ignore=") for word in call if word.startswith("--ignore=")]
    chosen = any(test.startswith(place) for place in places) and not any(test.startswith(place) for place in ignored)
    return chosen and bool(eval(expression, {}, names))


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The marks of every test there is."""
    folder = tmp_path_factory.mktemp("collector")
    (folder / "collector.py").write_text(COLLECTOR)
    pytest_ = Path(sys.executable).with_name("pytest")
    done = subprocess.run(
        [pytest_, "--collect-only", "-q", "-m", "", "-p", "collector", "tests"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    lines = (line for line in done.stdout.splitlines() if line.startswith("COLLECTED"))
    return {test: set(marks) for test, marks in (json.loads(line.removeprefix("COLLECTED")) for line in lines)}


def test_ci_begins_with_the_command_of_the_readme() -> None:
    told = [line.partition("#")[0].strip() for line in (ROOT / "README.md").read_text().splitlines()]
    assert CALLS[0] == "make test" and CALLS[0] in told


def test_ci_runs_every_test_that_is_not_long(collected: dict[str, set[str]]) -> None:
    calls = [call for command in CALLS for call in _pytest_calls(command)]
    assert len(calls) == 4, calls
    often = {test: sum(_takes(call, test, marks) for call in calls) for test, marks in collected.items()}
    short = {test for test, marks in collected.items() if "long" not in marks}
    assert {test for test in short if often[test] != 1} == set(), "tests that CI leaves out, or runs twice"
    assert len(short) > 3000


def test_every_test_by_name_is_one_call(collected: dict[str, set[str]]) -> None:
    """`make test PYTEST_ARGS="-k name"` has the same tests to choose from as `make test`."""
    [named] = _pytest_calls("make test PYTEST_ARGS='-k some_name'")
    whole = _pytest_calls("make test")
    assert named[-2:] == ["-k", "some_name"]
    for test, marks in collected.items():
        assert _takes(named[:-2], test, marks) == any(_takes(call, test, marks) for call in whole), test
