"""The first hour of a newcomer: README and tutorial, every command as it is written, and the output that they show.

A block of `text` below commands is what they print, whatever its numbers are; one of `console` or `json` may
be printed otherwise, since a model wrote it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from support.pages import DOCS, ROOT, TUTORIAL

README = ROOT / "README.md"
SMOLLM2 = DOCS / "tutorial-smollm2.md"
_FENCED = re.compile(r"^```(sh|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_MARK = "=== block {} ==="
_RUN_APART = "make test"
ACTIVATE = ".venv/bin/activate"


def _blocks(pages: Sequence[Path]) -> list[tuple[str, list[str]]]:
    """Every block of commands, with the lines of output that the page shows before the next one."""
    found: list[tuple[str, list[str]]] = []
    for page in pages:
        for kind, text in _FENCED.findall(page.read_text(encoding="utf-8")):
            if kind == "sh":
                found.append(("\n".join(x for x in text.splitlines() if not x.startswith(_RUN_APART)), []))
            elif found:
                found[-1][1].extend(text.splitlines())
    return found


def _script(blocks: Sequence[tuple[str, list[str]]]) -> str:
    """All of them as they are typed into one terminal, which is left at the first that fails."""
    marked = [f"echo '{_MARK.format(number)}'\n{text}" for number, (text, _) in enumerate(blocks)]
    return "\n".join(["set -eo pipefail", f"[ ! -e {ACTIVATE} ] || . {ACTIVATE}", *marked])


def _typed(pages: Sequence[Path], folder: Path, home: Path, timeout: float) -> None:
    """Type the pages' commands in `folder`, and hold what they print against what the pages show."""
    blocks = _blocks(pages)
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in ("VIRTUAL_ENV", "PYTHONPATH", "MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "PYTEST_ARGS")
    }
    ours = str(Path(sys.executable).parent)
    env["PATH"] = os.pathsep.join(place for place in env["PATH"].split(os.pathsep) if place != ours)
    done = subprocess.run(
        ["bash", "-c", _script(blocks)],
        cwd=folder, env=env | {"HOME": str(home)}, timeout=timeout,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    for number, (commands, shown) in enumerate(blocks):
        printed = done.stdout.partition(_MARK.format(number))[2].partition(_MARK.format(number + 1))[0]
        said = {_shape(line) for line in printed.splitlines()}
        missing = [line for line in shown if line.strip() and not any(re.fullmatch(_like(line), s) for s in said)]
        assert missing == [], f"{commands}\n--- printed ---\n{printed[-3000:]}"


def _shape(line: str) -> str:
    """A line whatever its numbers are, and however wide its columns."""
    return re.sub(r"\s+", " ", re.sub(r"\d[\d,.:]*", "#", line)).strip()


def _like(line: str) -> str:
    """A pattern for what a page shows: `…` stands for anything."""
    return ".*".join(re.escape(part) for part in _shape(line).split("…"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home without anything in it, but for where this one keeps what was downloaded."""
    place = tmp_path / "home"
    (place / ".cache").mkdir(parents=True)
    return place


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The folder of Synthflow as it is after `make demo`: its environment is ours."""
    folder = tmp_path / "synthflow"
    folder.mkdir()
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def _exam(home: Path, run: str) -> float:
    sys_path = Path(sys.prefix, "bin", "synthflow")
    query = "SELECT sum(n_correct) / sum(n_correct + n_wrong) FROM problem_stats"
    told = subprocess.run(
        [sys_path, "sql", home / "first-hour" / "runs" / run, query, "--format", "csv"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(told.stdout.split()[-1])


def test_every_block_is_bash() -> None:
    for commands, _ in _blocks([README, *TUTORIAL, SMOLLM2]):
        done = subprocess.run(["bash", "-n"], input=commands, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), commands


@pytest.mark.slow
def test_own_data(installed: Path, home: Path) -> None:
    _typed([DOCS / "own-data.md"], installed, home, timeout=280)
    assert (installed / "my-data" / "answers.verified.jsonl").is_file()


@pytest.mark.extended
@pytest.mark.slow
@pytest.mark.trainer
@pytest.mark.timeout(2400)
def test_the_readme_from_its_first_line(tmp_path: Path) -> None:
    """In a copy of the repository with no environment: `make demo` makes one. Then the page on training, on its run."""
    folder = tmp_path / "synthflow"
    asked = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    _typed([README], folder, Path.home(), timeout=1900)
    _typed([DOCS / "train.md"], folder, Path.home(), timeout=400)
    assert (folder / "runs" / "tuned" / "model.safetensors").is_file()
    assert (folder / "my-data" / "runs" / "first" / "exports" / "sft").is_dir()


@pytest.mark.extended
@pytest.mark.slow
@pytest.mark.trainer
@pytest.mark.timeout(1200)
def test_the_tutorial_ends_with_a_better_model(installed: Path, home: Path) -> None:
    _typed(TUTORIAL, installed, home, timeout=1100)
    before, after = _exam(home, "before"), _exam(home, "after")
    assert after > before + 0.1


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.trainer
@pytest.mark.timeout(7200)
def test_the_same_with_smollm2(installed: Path, home: Path) -> None:
    _typed([TUTORIAL[0], SMOLLM2], installed, home, timeout=7000)
    assert (home / "first-hour" / "tuned-smollm2" / "model.safetensors").is_file()
