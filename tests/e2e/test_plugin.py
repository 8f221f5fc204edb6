"""A third party adds stages, a verifier, a filter and an export with `pip install`: those that docs/add-*.md show."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from support.runs import CLI, write_spec

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("add-a-verifier.md", "add-a-stage.md", "add-an-export.md")
PYPROJECT = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "my-package"
version = "0.3"
[tool.setuptools]
py-modules = ["my_package"]
"""


def shown(kind: str) -> list[str]:
    """The blocks of one kind on the pages that say how to add something."""
    texts = [(DOCS / page).read_text() for page in PAGES]
    return [block for text in texts for block in re.findall(rf"^```{kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)]


def entry_points() -> str:
    """The tables of entry points on those pages, as one."""
    found: dict[str, dict[str, str]] = {}
    for block in shown("toml"):
        for group, entries in tomllib.loads(block)["project"]["entry-points"].items():
            found.setdefault(group, {}).update(entries)
    lines = []
    for group, entries in found.items():
        lines += [f"[project.entry-points.{group!r}]", *(f"{name!r} = {value!r}" for name, value in entries.items())]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    package = tmp_path_factory.mktemp("plugin")
    (package / "pyproject.toml").write_text(f"{PYPROJECT}{entry_points()}\n")
    (package / "my_package.py").write_text("\n\n".join(shown("python")))
    site = package / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(site), str(package)], check=True, capture_output=True, timeout=120)
    return {**os.environ, "PYTHONPATH": str(site)}


@pytest.mark.extended
def test_a_plug_in_is_listed_and_runs(environment: dict[str, str], tmp_path: Path) -> None:
    def call(*args: object) -> subprocess.CompletedProcess[str]:
        command = [str(CLI), *map(str, args)]
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200, check=False)

    listed = call("list", "stages")
    assert listed.returncode == 0, listed.stderr
    assert all(f"{name} " in listed.stdout for name in ("my.tags", "my.sized", "verify.even", "filter.short"))
    stages = {
        "problems": {"use": "source.demo", "limit": 4},
        "rollouts": {"use": "sample", "of": "problems", "n": 2, "max_tokens": 64},
        "verdicts": {"use": "verify.even", "of": "rollouts"},
        "short": {"use": "filter.short", "of": "verdicts"},
        "tags": {"use": "my.tags", "of": "short", "word": "has"},
        "questions": {"use": "my.questions", "of": "short"},
        "more": {"use": "my.sized", "of": "problems", "most": 3, "max_tokens": 64},
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
    query = "SELECT count(*) FROM rollouts JOIN stages USING (stage_id) WHERE name = 'more'"
    drawn = int(call("sql", tmp_path / "run", query, "--format", "csv").stdout.split()[1])
    assert 4 < drawn <= 12
    released = sum(pq.read_metadata(p).num_rows for p in (tmp_path / "run" / "exports").rglob("*.parquet"))
    query = "SELECT count(*) FROM rejects JOIN stages USING (stage_id) WHERE name = 'questions'"
    rejected = int(call("sql", tmp_path / "run", query, "--format", "csv").stdout.split()[1])
    assert released + rejected == 8 and released > 0
    query = "SELECT DISTINCT reason FROM rejects JOIN stages USING (stage_id) WHERE name = 'questions' ORDER BY 1"
    assert call("sql", tmp_path / "run", query, "--format", "csv").stdout.split("\n")[1:-1] == [
        "filtered: short: long",
        "not correct",
    ]
    checked = call("check", tmp_path / "run")
    assert checked.returncode == 0, checked.stdout


def test_a_misspelt_field_of_a_plug_in_is_told_with_the_right_one(environment: dict[str, str], tmp_path: Path) -> None:
    stages = {
        "problems": {"use": "source.demo", "limit": 4},
        "rollouts": {"use": "sample", "of": "problems", "n": 2},
        "tags": {"use": "my.tags", "of": "rollouts", "wrod": "has"},
    }
    policy = {"backend": "transformers", "model": "demo"}
    spec = write_spec(tmp_path / "spec.yaml", {"name": "plug", "policy": policy, "stages": stages})
    done = subprocess.run([str(CLI), "plan", str(spec)], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert "'word'" in done.stderr
