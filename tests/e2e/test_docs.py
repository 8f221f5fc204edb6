"""What README and docs show is what happens: their commands run, their pipelines parse."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from support.pages import DOCS, PAGES, ROOT, TUTORIAL, blocks, name
from support.runs import synthflow, tables
from synthflow.spec import load_pipeline
from synthflow.spec.load import recipe_names
from synthflow.stores.catalog.build import open_catalog


def _blocks(kind: str) -> list[tuple[str, str]]:
    return [(name(page), text) for page in PAGES for text in blocks(page, kind)]


def _commands(program: str) -> list[tuple[str, str]]:
    typed = {name(page) for page in (*TUTORIAL, DOCS / "tutorial-smollm2.md")}  # whole, by test_first_hour.py
    lines = [
        (page, line)
        for page, text in _blocks("sh")
        if page not in typed
        for line in text.replace("\\\n", " ").splitlines()
    ]
    return [(page, line) for page, line in lines if line.startswith(program)]


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for page, line in _commands("make"):
        assert re.search(rf"^{shlex.split(line, comments=True)[1]}:", makefile, re.MULTILINE), f"{page}: {line}"


@pytest.mark.slow
def test_commands_on_a_run_work(small_run: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    shutil.copytree(small_run, tmp_path / "runs" / "quickstart")
    ran = 0
    rollout = tables(small_run)["rollouts"]["rollout_id"][0]
    for page, line in _commands("synthflow"):
        words = shlex.split(line, comments=True)[1:]
        words = [re.sub(r"^r_[0-9a-f]+$", rollout, word) for word in words]  # an id that the page made up
        words = [re.sub(r"^runs/[\w-]+$", "runs/quickstart", word) for word in words]  # whatever a page calls it
        known = ("plan", "stats", "sql", "check", "status", "list", "doctor", "verify", "runs", "compact", "clean")
        if words[0] not in known or "RUN" in words or "--apply" in words:
            continue
        if words[0] == "verify" and words[1] != "runs/quickstart":
            continue  # of files: see tests/workflows/test_docs.py
        if words[0] == "plan" and (words[1] not in recipe_names() or "--pilot" in words):
            continue
        done = synthflow(*words, cwd=tmp_path)
        assert done.returncode == 0, f"{page}: {line}\n{done.stderr}"
        ran += 1
    assert ran >= 3


@pytest.mark.slow
def test_the_picture_is_of_a_run(small_run: Path) -> None:
    script = ROOT / "docs" / "picture.py"
    done = subprocess.run([sys.executable, script, small_run], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    drawn = ElementTree.fromstring(done.stdout)
    assert drawn.tag.endswith("svg") and "answer" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "sql")], ids=name)
def test_queries_run(small_run: Path, page: Path) -> None:
    with open_catalog(small_run) as catalog:
        for query in ";".join(blocks(page, "sql")).split(";"):
            if query.strip():
                catalog.execute(query).fetchall()


@pytest.mark.slow
def test_init_plan_and_run_as_the_readme_says(tmp_path: Path) -> None:
    assert synthflow("init", "my-data", cwd=tmp_path).returncode == 0
    again = synthflow("init", "my-data", cwd=tmp_path)
    assert again.returncode == 2 and "exists already" in again.stderr
    folder = tmp_path / "my-data"
    planned = synthflow("plan", "pipeline.yaml", cwd=folder)
    assert planned.returncode == 0, planned.stderr
    assert "3 problems" in planned.stdout
    done = synthflow("run", "pipeline.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "runs" / "first" / "exports" / "sft").is_dir()


def test_the_readme_pipeline_is_one(tmp_path: Path) -> None:
    specs = [text for page, text in _blocks("yaml") if page == "README.md"]
    assert specs
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "problems.jsonl").write_text('{"prompt": "1 + 1?", "answer": "2"}\n')
    for text in specs:
        (tmp_path / "spec.yaml").write_text(text)
        pipeline = load_pipeline(tmp_path / "spec.yaml")
        assert len(pipeline.nodes) == len(yaml.safe_load(text)["stages"])


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_parse_and_say_what_they_do(name: str) -> None:
    pipeline = load_pipeline(name)
    assert pipeline.name == name
    assert pipeline.spec_text.startswith(f"# {name}: ")


@pytest.mark.slow
def test_the_benchmark_of_step_labels_reads_a_run(small_run: Path) -> None:
    script = ROOT / "benchmarks" / "step_truth.py"
    done = subprocess.run([sys.executable, str(script), str(small_run)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["steps"] > 0
    assert found["advantage"]["first_wrong"]["mean"] < found["advantage"]["right"]["mean"]
