"""A wheel, installed without make into an environment that has nothing of this checkout, runs a pipeline.

Its dependencies are those of the environment of the tests: `make test-install` installs them, too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.extended]

ROOT = Path(__file__).parents[2]
FOLDERS = ("synthflow", "filters", "pipelines", "stores", "verifiers")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment that holds the wheel."""
    base = tmp_path_factory.mktemp("fresh")
    source = base / "source"
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-index"]
    build = [*pip, "wheel", *options, "--no-build-isolation", "--wheel-dir", str(base), str(source)]
    subprocess.run(build, check=True, capture_output=True, timeout=200)
    made = base / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(made)], check=True, timeout=100)
    [wheel] = base.glob("synthflow-*.whl")
    into = [*pip, "--python", str(made / "bin" / "python"), "install", *options, str(wheel)]
    subprocess.run(into, check=True, capture_output=True, timeout=200)
    site = next((made / "lib").glob("python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return made


def call(environment: Path, *args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [str(environment / "bin" / "synthflow"), *args]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=240, check=False,
        env={**clean, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip


def test_what_is_imported_is_the_wheel(environment: Path, tmp_path: Path) -> None:
    code = (
        "import synthflow, synthflow.verifiers, synthflow.stores; print(synthflow.__file__, synthflow.stores.__file__)"
    )
    told = subprocess.run(
        [environment / "bin" / "python", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert all(path.startswith(str(environment)) for path in told.stdout.split())


def test_a_first_pipeline_runs_and_all_that_ships_is_there(environment: Path, tmp_path: Path) -> None:
    assert call(environment, "init", "mine", cwd=tmp_path).returncode == 0
    small = ["-o", "stages.rollouts.n=2", "-o", "stages.steps.n=2", "--out", "run"]
    done = call(environment, "run", "mine/pipeline.yaml", *small, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    checked = call(environment, "check", "run", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    for kind in ("verifier", "export"):
        assert call(environment, "init", "--plugin", kind, cwd=tmp_path).returncode == 0
    planned = call(environment, "plan", "judge-and-vote", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr


def test_every_data_file_of_the_checkout_is_in_the_wheel(environment: Path) -> None:
    site = next((environment / "lib").glob("python*/site-packages"))
    tracked = subprocess.run(
        ["git", "ls-files", *FOLDERS], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    places = {"synthflow": "synthflow", **{name: f"synthflow/{name}" for name in FOLDERS[1:]}}
    for name in tracked:
        top, _, rest = name.partition("/")
        assert (site / places[top] / rest).is_file(), f"{name} is not in the wheel"


def test_the_container_installs_extras_that_there_are() -> None:
    """No engine for containers is at hand in the tests, so this holds what a build would stumble over first."""
    text = (ROOT / "Containerfile").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [extras] = re.findall(r"'/src\[(.*?)\]'", text)
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    [version] = re.findall(r"python:3\.(\d+)-slim", text)
    assert int(version) >= int(project["requires-python"].removeprefix(">=3."))
    assert (ROOT / "constraints.txt").is_file()
    assert "ENTRYPOINT" in text and set(project["scripts"]) == {"synthflow"}
