"""What pages and docstrings name is there: files, folders, modules, other pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from code_modules import read_modules, read_scripts

from support.pages import PAGES, ROOT, name
from synthflow.registry import KINDS

MODULES = {module.name: module for module in read_modules(ROOT)}
GROUPS = {f"synthflow.{kind}" for kind in KINDS}

FILE = re.compile(r"(?<![\w./-])(?:[\w-]+/)+[\w-]+\.py\b")
FOLDER = re.compile(r"(?<![\w./-])(?:synthflow|stores|verifiers|filters|pipelines|tests)/(?:[\w-]+/)*(?=[`\s.,;:)])")
MODULE = re.compile(r"(?<![\w.-])synthflow(?:\.[a-zA-Z_]\w*)+\b(?<!\.yaml)(?<!\.json)")
CODE = re.compile(r"\b(?:[A-Z]\w+\.\w+|[A-Z]\w+[a-z][A-Z]\w+|[a-z]+_\w+)\b")
PLACEHOLDER = re.compile(r"NAME|WORD")


def _named(pattern: re.Pattern[str], page: Path) -> set[str]:
    return {name for name in pattern.findall(page.read_text()) if not PLACEHOLDER.search(name)}


def _is_defined(name: str) -> bool:
    """Whether a dotted name is a module, or stands in one."""
    module, _, last = name.rpartition(".")
    return name in MODULES or (module in MODULES and re.search(rf"\b{last}\b", MODULES[module].text) is not None)


@pytest.mark.parametrize("page", PAGES, ids=name)
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
        for page in re.findall(r"docs/[\w/-]+\.md", module.text)
    }
    assert named
    assert [(module, page) for module, page in named if not (ROOT / page).is_file()] == []


def _walks() -> list[tuple[str, str]]:
    """(file, name) for every name of code that a walk of the architecture page says to be there."""
    found = []
    for block in re.findall(r"^```text\n(.*?)^```", (ROOT / "docs" / "architecture.md").read_text(), re.M | re.S):
        file = ""
        for line in block.splitlines():
            head, _, said = line.partition(" ")
            file = head if head.endswith(".py") else file
            found += [(file, name) for name in CODE.findall(said) if file]
    return found


def test_walks_name_code_that_is_there() -> None:
    walks = _walks()
    texts = {
        file: (ROOT / file if (ROOT / file).is_file() else ROOT / "synthflow" / file).read_text() for file, _ in walks
    }
    assert len(walks) > 15
    assert [
        (file, name)
        for file, name in walks
        if not all(re.search(rf"\b{part}\b", texts[file]) for part in name.split("."))
    ] == []
