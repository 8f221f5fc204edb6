"""Where things stand: a stage's folder is the first word of its name, every package is shipped and says what it is."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest
from code_modules import package_folders, read_modules, read_scripts

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ENTRIES: dict[str, dict[str, str]] = PROJECT["project"]["entry-points"]
MODULES = read_modules(ROOT)
MOST_LINES = 400

FOLDER_OF = {"import": "imports"}
"""First words of `use` that cannot be a folder's name: `import` is a keyword of Python."""


@pytest.mark.parametrize("use", ENTRIES["synthflow.stages"])
def test_the_folder_is_the_first_word_of_use(use: str) -> None:
    word = use.split(".")[0]
    module = ENTRIES["synthflow.stages"][use].split(":")[0]
    assert module.startswith(f"synthflow.stages.{FOLDER_OF.get(word, word)}.")


@pytest.mark.parametrize("group", ["verifiers", "filters"])
def test_what_adapters_make_stages_of_stands_at_the_top(group: str) -> None:
    """A registered verifier x is the stage `verify.x`, a filter `filter.x`; their folders are the user's to see."""
    for name, entry in ENTRIES[f"synthflow.{group}"].items():
        assert entry.startswith(f"synthflow.{group}."), name
        assert f"{group.removesuffix('s')}.{name}" not in ENTRIES["synthflow.stages"]


def test_a_backend_has_a_folder_of_its_name() -> None:
    for name, entry in ENTRIES["synthflow.backends"].items():
        assert entry.startswith(f"synthflow.backends.{name}.")


def _dotted_folders() -> set[str]:
    """Dotted names of all folders that hold modules."""
    return {m.name if m.is_package else m.name.rpartition(".")[0] for m in MODULES}


def test_every_package_is_shipped() -> None:
    """Those of code, and folders of data, of which setuptools would warn."""
    settings = PROJECT["tool"]["setuptools"]
    assert settings["packages"] == sorted(_dotted_folders() | set(settings["package-data"]))


def test_packages_outside_the_main_folder_are_found_where_they_are() -> None:
    given: dict[str, str] = PROJECT["tool"]["setuptools"]["package-dir"]
    tops = {name: folder for name, folder in package_folders(ROOT).items() if name != "synthflow"}
    outside = {name for name in _dotted_folders() if ".".join(name.split(".")[:2]) in tops}
    expected = {name: name.removeprefix("synthflow.").replace(".", "/") for name in outside}
    assert given == {"synthflow": "synthflow"} | expected


@pytest.mark.parametrize("folder", sorted(_dotted_folders()))
def test_every_package_says_what_it_is(folder: str) -> None:
    faces = [m for m in MODULES if m.name == folder and m.is_package]
    assert faces, "no __init__.py"
    assert (ast.get_docstring(faces[0].tree) or "").endswith(".")


def test_no_module_is_too_long() -> None:
    assert {m.name: m.lines for m in (*MODULES, *read_scripts(ROOT)) if m.lines > MOST_LINES} == {}
