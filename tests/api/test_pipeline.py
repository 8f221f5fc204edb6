"""A pipeline in Python is the one that a file describes, and runs wherever Python does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import synthflow
from synthflow import Pipeline, Run
from synthflow.errors import Mistakes, UserError
from synthflow.spec import load_pipeline

STAGES = {
    "problems": {"use": "source.demo", "limit": 4},
    "rollouts": {"use": "sample", "of": "problems", "n": 2, "max_tokens": 64},
    "verdicts": {"use": "verify.math", "of": "rollouts"},
    "sft": {"use": "export.sft", "of": "verdicts"},
}
DEMO = {"backend": "transformers", "model": "demo"}

SCRIPT = """
import asyncio
from synthflow import Pipeline

rows = [{"prompt": "Ana has 12 apples. She buys 5 more. How many apples does Ana have now?", "answer": "17"}]
pipeline = Pipeline(
    "script",
    policy={"backend": "transformers", "model": "demo"},
    stages={
        "problems": {"use": "source.rows", "rows": rows},
        "rollouts": {"use": "sample", "of": "problems", "n": 4, "max_tokens": 64},
        "verdicts": {"use": "verify.math", "of": "rollouts"},
        "sft": {"use": "export.sft", "of": "verdicts"},
    },
)
print("started")


async def in_a_notebook():  # whose cells run inside of a loop
    return pipeline.run(out="runs/mine")


run = asyncio.run(in_a_notebook())
print(run.sql("SELECT count(*) AS n FROM verdicts")["n"].item(), "verdicts", sorted(run.releases))
again = pipeline.run(out="runs/mine")
print("attempt", again.attempt, __file__ is not None)
"""


def test_it_is_the_pipeline_of_a_file(tmp_path: Path) -> None:
    made = Pipeline("same", STAGES, DEMO, seed=3)
    (tmp_path / "same.yaml").write_text(made.to_yaml())
    assert load_pipeline(tmp_path / "same.yaml") == made._checked(tmp_path)
    loaded = Pipeline.load(tmp_path / "same.yaml", "seed=4")
    assert loaded.name == "same" and "seed: 4" in loaded.to_yaml()


def test_mistakes_are_found_when_it_is_made() -> None:
    with pytest.raises(Mistakes, match=r"verify\.math"):
        Pipeline("wrong", {**STAGES, "verdicts": {"use": "verify.maths", "of": "rollouts"}}, DEMO)


def test_a_plan_says_what_will_run(tmp_path: Path) -> None:
    planned = Pipeline("planned", STAGES, DEMO).plan(tmp_path / "run")
    assert planned["total"]["requests"] == 8 and not (tmp_path / "run").exists()


def test_the_package_has_no_other_names() -> None:
    assert synthflow.Pipeline is Pipeline
    with pytest.raises(AttributeError, match="Pipelines"):
        synthflow.Pipelines  # noqa: B018
    with pytest.raises(UserError, match="no such run directory"):
        Run("nowhere")


@pytest.mark.slow
def test_a_script_without_a_guard_runs_once_and_its_run_can_be_looked_at(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "mine.py"], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines.count("started") == 1, done.stdout
    assert "4 verdicts ['sft']" in lines and "attempt None True" in lines
    assert any(line.split()[1:3] == ["rollouts", "done"] for line in lines), done.stdout
    run = Run(tmp_path / "runs" / "mine")
    assert run.table("rollouts").height == 4 and run.release("sft").is_dir()
    with pytest.raises(UserError, match="did you mean 'rollouts'"):
        run.table("rollout")
    with pytest.raises(UserError, match="no release of a stage 'sfd'"):
        run.release("sfd")
