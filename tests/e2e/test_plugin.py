"""A third party adds a stage, a verifier and a filter with `pip install`, and a spec uses them by name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.runs import CLI, write_spec

pytestmark = pytest.mark.slow

PYPROJECT = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "shouting"
version = "0.3"
[project.entry-points."synthflow.stages"]
"shout.tags" = "shouting:Tags"
[project.entry-points."synthflow.verifiers"]
even = "shouting:Even"
[project.entry-points."synthflow.filters"]
short = "shouting:Short"
[tool.setuptools]
py-modules = ["shouting"]
"""

MODULE = '''\
"""A plug-in in thirty lines."""
import polars as pl
from synthflow.contracts import Coverage, Filter, Judgement, Stage, StageConfig, Verifier
from synthflow.schema import SCORES


class Even(Verifier):
    """Correct where the completion has an even number of characters."""

    name, version, needs_answer = "even", "1", False

    def judge(self, questions):
        return [Judgement(*(("correct", 1.0) if len(q.completion) % 2 == 0 else ("wrong", 0.0))) for q in questions]


class Short(Filter):
    """Drop what is longer than 200 characters."""

    name, version = "short", "1"

    def judge(self, rollouts):
        keep = rollouts["completion"].str.len_chars() <= 200
        reason = [None if k else "long" for k in keep]
        return pl.DataFrame({"keep": keep, "value": keep.cast(pl.Float64), "reason": reason})


class TagsConfig(StageConfig):
    word: str = "apples"


class Tags(Stage):
    """Measure how often a word stands in a completion."""

    use, version, Config = "shout.tags", "1", TagsConfig
    reads, writes = ("rollouts",), ("scores",)
    covers = Coverage("rollouts", "rollout_id", {"scores": "target_id"})

    def run(self, inputs, services):
        rollouts = inputs.frame("rollouts", ["rollout_id", "problem_id", "completion"], nearest=True)
        return {"scores": SCORES.from_rows([
            {"problem_id": r["problem_id"], "target_kind": "rollout", "target_id": r["rollout_id"], "kind": "measure",
             "scorer": "tags", "scorer_version": "1", "config_hash": self.config.word,
             "value": float(r["completion"].count(self.config.word)), "stage_id": services.stage_id}
            for r in rollouts.iter_rows(named=True)
        ])}
'''


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    package = tmp_path_factory.mktemp("plugin")
    (package / "pyproject.toml").write_text(PYPROJECT)
    (package / "shouting.py").write_text(MODULE)
    site = package / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(site), str(package)], check=True, capture_output=True, timeout=120)
    return {**os.environ, "PYTHONPATH": str(site)}


def test_a_plug_in_is_listed_and_runs(environment: dict[str, str], tmp_path: Path) -> None:
    def call(*args: object) -> subprocess.CompletedProcess[str]:
        command = [str(CLI), *map(str, args)]
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200, check=False)

    listed = call("list", "stages")
    assert listed.returncode == 0, listed.stderr
    assert all(name in listed.stdout for name in ("shout.tags", "verify.even", "filter.short"))
    stages = {
        "problems": {"use": "source.demo", "limit": 4},
        "rollouts": {"use": "sample", "of": "problems", "n": 2, "max_tokens": 64},
        "verdicts": {"use": "verify.even", "of": "rollouts"},
        "short": {"use": "filter.short", "of": "verdicts"},
        "tags": {"use": "shout.tags", "of": "short", "word": "has"},
        "composed": {"use": "verify.cascade", "of": "rollouts", "truncated": "judge", "steps": ["even", "exact"]},
    }
    policy = {"backend": "transformers", "model": "demo"}
    spec = write_spec(tmp_path / "spec.yaml", {"name": "plug", "policy": policy, "stages": stages})
    done = call("run", spec, "--out", tmp_path / "run", "--quiet")
    assert done.returncode == 0, done.stderr
    query = "SELECT scorer, count(*) AS n FROM scores GROUP BY 1 ORDER BY 1"
    assert call("sql", tmp_path / "run", query, "--format", "csv").stdout.split() == [
        "scorer,n", "cascade,8", "even,16", "short,8", "tags,8",
    ]  # fmt: skip


def test_a_misspelt_field_of_a_plug_in_is_told_with_the_right_one(environment: dict[str, str], tmp_path: Path) -> None:
    stages = {
        "problems": {"use": "source.demo", "limit": 4},
        "rollouts": {"use": "sample", "of": "problems", "n": 2},
        "tags": {"use": "shout.tags", "of": "rollouts", "wrod": "has"},
    }
    policy = {"backend": "transformers", "model": "demo"}
    spec = write_spec(tmp_path / "spec.yaml", {"name": "plug", "policy": policy, "stages": stages})
    done = subprocess.run([str(CLI), "plan", str(spec)], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert "'word'" in done.stderr
