"""What `synthflow init` writes works as it is: a package of every kind passes its own test, and a recipe can be run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.runs import CLI
from synthflow.cli.scaffold import PLUGINS
from synthflow.spec import load_pipeline
from synthflow.spec.load import recipe_names

pytestmark = pytest.mark.slow


def call(*args: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command, env = [str(CLI), *map(str, args)], {**os.environ, **environment}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False, env=env)


@pytest.mark.extended
def test_a_package_of_every_kind_passes_its_own_test(tmp_path: Path) -> None:
    folders = []
    for kind in PLUGINS:
        done = call("init", "--plugin", kind, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == f"next: pip install --editable my-{kind} && pytest my-{kind}"
        folders.append(f"my-{kind}")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run(
        [*pip, "--target", "site", *(f"./{folder}" for folder in folders)],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        timeout=200,
    )
    environment = {"PYTHONPATH": str(tmp_path / "site"), "PYTHONSAFEPATH": "1"}
    pytest_ = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *folders]
    done = subprocess.run(
        pytest_, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("8 passed")
    listed = call("list", "metrics", cwd=tmp_path, **environment)
    assert "my_metric" in listed.stdout, listed.stdout + listed.stderr
    twice = call("init", "--plugin", "stage", cwd=tmp_path)
    assert twice.returncode == 2 and "my-stage/pyproject.toml exists already" in twice.stderr


def test_a_package_whose_name_makes_no_module_is_refused(tmp_path: Path) -> None:
    done = call("init", "--plugin", "filter", "2nd", cwd=tmp_path)
    assert done.returncode == 2 and "'2nd' is no name for a Python module" in done.stderr
    assert not (tmp_path / "2nd").exists()


def test_a_recipe_is_copied_as_it_is_but_for_the_line_for_editors(tmp_path: Path) -> None:
    for name in ("redi", "cure"):  # both beside each other: they share the schema
        assert call("init", "--recipe", name, "mine", cwd=tmp_path).returncode == 0
    text = (tmp_path / "mine" / "redi.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=synthflow.schema.json\n")
    assert text.partition("\n")[2] == call("list", "recipes", "redi", "--yaml", cwd=tmp_path).stdout
    assert load_pipeline(tmp_path / "mine" / "redi.yaml") == load_pipeline("redi")
    assert (tmp_path / "mine" / "synthflow.schema.json").is_file()
    done = call("init", "--recipe", "reddi", cwd=tmp_path)
    assert done.returncode == 2 and "did you mean 'redi'" in done.stderr


def test_a_list_alone_names_everything_and_recipes_are_told_to_their_end(tmp_path: Path) -> None:
    everything = call("list", cwd=tmp_path).stdout
    assert all(name in everything for name in (*recipe_names(), "verify.math", "export.sft", "vendi"))
    told = " ".join(call("list", "recipes", cwd=tmp_path).stdout.split())
    assert all(end in told for end in ("(STeP, partial masking).", "arXiv 2502.06781).", "arXiv 2506.01347)."))
    assert call("list", "stages", "--yaml", cwd=tmp_path).returncode == 2
