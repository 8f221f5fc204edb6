"""Imports go down the layers, and the check that says so fails where one does not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _layers(root: Path) -> tuple[int, str]:
    """Exit code and output of `make layers`, lines unwrapped. The environment is taken as it is."""
    command = ["make", "--old-file=.venv/test", "layers"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def test_imports_go_down(checkout: Path) -> None:
    code, said = _layers(checkout)
    assert code == 0, said
    assert "Contracts: 5 kept, 0 broken." in said


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        pytest.param(
            "synthflow/statistics/intervals.py",
            "from synthflow.plan.plan import make_plan",
            "synthflow.statistics.intervals -> synthflow.plan.plan",
            id="upward",
        ),
        pytest.param(
            "stores/journal.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from synthflow.execute import driver",
            "synthflow.stores.journal -> synthflow.execute.driver",
            id="upward-for-types",
        ),
        pytest.param(
            "synthflow/contracts/filter.py",
            "def late():\n    from synthflow.spec import load",
            "synthflow.contracts.filter -> synthflow.spec.load",
            id="upward-in-a-function",
        ),
        pytest.param(
            "synthflow/stages/mine/pairs.py",
            "from synthflow.stages.label import posterior",
            "synthflow.stages.mine.pairs -> synthflow.stages.label.posterior",
            id="between-stage-folders",
        ),
        pytest.param(
            "synthflow/stages/mine/steps.py",
            "from synthflow.stages.adapters import stage_class",
            "synthflow.stages.mine.steps -> synthflow.stages.adapters",
            id="stage-to-the-look-up",
        ),
        pytest.param(
            "synthflow/stages/sample/first.py",
            "from synthflow.backends import renderer",
            "synthflow.stages.sample.first -> synthflow.backends.renderer",
            id="stage-to-backend",
        ),
        pytest.param(
            "verifiers/exact.py",
            "from synthflow.stores import journal",
            "synthflow.verifiers.exact -> synthflow.stores.journal",
            id="verifier-to-run",
        ),
        pytest.param(
            "synthflow/check/keys.py",
            "from synthflow.stages.mine import outcomes",
            "synthflow.check.keys -> synthflow.stages.mine.outcomes",
            id="check-to-what-it-checks",
        ),
        pytest.param(
            "synthflow/errors.py",
            "from synthflow import ids",
            "synthflow.errors -> synthflow.ids",
            id="the-ground",
        ),
    ],
)
def test_a_planted_import_is_named(checkout: Path, file: str, line: str, broken: str) -> None:
    with (checkout / file).open("a") as spoiled:
        spoiled.write(f"\n\n{line}\n")
    code, said = _layers(checkout)
    assert code != 0
    assert broken in said, said


def test_a_room_without_a_layer_is_named(checkout: Path) -> None:
    (checkout / "synthflow" / "novelty.py").write_text('"""Nobody said where it belongs."""\n')
    code, said = _layers(checkout)
    assert code != 0
    assert "novelty" in said, said


def test_a_new_stage_folder_is_held_to_the_rule(checkout: Path) -> None:
    folder = checkout / "synthflow" / "stages" / "novelty"
    folder.mkdir()
    (folder / "__init__.py").write_text('"""`novelty.*`: nobody has thought of it yet."""\n')
    (folder / "new.py").write_text("from synthflow.stages.mine import pairs\n")
    code, said = _layers(checkout)
    assert code != 0
    assert "synthflow.stages.novelty.new -> synthflow.stages.mine.pairs" in said, said


def test_lint_runs_the_check() -> None:
    command = ["make", "--dry-run", "--old-file=.venv/test", "lint"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "lint-imports" in done.stdout
