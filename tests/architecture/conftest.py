"""A checkout to spoil, and the scripts that read the structure of the code."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "benchmarks"))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the code without its data, with the environment that runs the tests: `make` works in it."""
    from code_modules import package_folders

    for name in ("pyproject.toml", "Makefile"):
        shutil.copy2(ROOT / name, tmp_path)
    for folder in {*package_folders(ROOT).values(), "benchmarks"}:
        for path in (ROOT / folder).rglob("*.py"):
            copied = tmp_path / path.relative_to(ROOT)
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copied)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path
