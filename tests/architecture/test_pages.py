"""What pages and docstrings name is there: files, folders, modules, other pages."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from code_modules import read_modules, read_scripts

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
MODULES = {module.name: module for module in read_modules(ROOT)}
GROUPS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]

FILE = re.compile(r"(?<![\w./-])(?:[\w-]+/)+[\w-]+\.py\b")
FOLDER = re.compile(r"(?<![\w./-])(?:synthflow|stores|verifiers|filters|pipelines|tests)/(?:[\w-]+/)*(?=[`\s.,;:)])")
MODULE = re.compile(r"(?<![\w.-])synthflow(?:\.[a-zA-Z_]\w*)+\b(?<!\.yaml)")
PLACEHOLDER = re.compile(r"NAME|WORD")


def _named(pattern: re.Pattern[str], page: Path) -> set[str]:
    return {name for name in pattern.findall(page.read_text()) if not PLACEHOLDER.search(name)}


def _is_defined(name: str) -> bool:
    """Whether a dotted name is a module, or stands in one."""
    module, _, last = name.rpartition(".")
    return name in MODULES or (module in MODULES and re.search(rf"\b{last}\b", MODULES[module].text) is not None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_is_there(page: Path) -> None:
    files = {
        name for name in _named(FILE, page) if not any((top / name).is_file() for top in (ROOT, ROOT / "synthflow"))
    }
    folders = {name for name in _named(FOLDER, page) if not (ROOT / name).is_dir()}
    modules = {name for name in _named(MODULE, page) if name not in GROUPS and not _is_defined(name)}
    assert files | folders | modules == set()


def test_pages_that_the_code_names_are_there() -> None:
    named = {
        (module.name, page)
        for module in (*MODULES.values(), *read_scripts(ROOT))
        for page in re.findall(r"docs/[\w-]+\.md", module.text)
    }
    assert named
    assert [(module, page) for module, page in named if not (ROOT / page).is_file()] == []
