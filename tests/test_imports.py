"""Imports go one way, and the command line loads nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {"synthflow.filters": "filters", "synthflow.stores": "stores", "synthflow.verifiers": "verifiers"}
BASE = (
    "synthflow.errors",
    "synthflow.ids",
    "synthflow.schema",
    "synthflow.schema.spec",
    "synthflow.contracts",
    "synthflow.registry",
)

# What a package may import besides itself and BASE.
ALLOWED = {
    "synthflow.contracts": ("synthflow.backends.renderer",),  # for type checkers only
    "synthflow.verifiers": ("synthflow.filters",),  # the rules of form are the filter's
    "synthflow.filters": (),
    "synthflow.stores": (),
    "synthflow.backends": ("synthflow.stores", "synthflow.demo"),
    "synthflow.segment": ("synthflow.backends",),
    "synthflow.demo": ("synthflow.backends",),
}


def _modules(package: str) -> Iterator[Path]:
    folder = ROOT / FOLDERS.get(package, package.replace(".", "/"))
    yield from folder.rglob("*.py")


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("synthflow"):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("synthflow"))


@pytest.mark.parametrize("package", ALLOWED)
def test_nothing_imports_upward(package: str) -> None:
    allowed = (package, *BASE, *ALLOWED[package], "synthflow.__version__")
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in _modules(package)
        for name in _imported(path)
        if not name.startswith(allowed)
    ]
    assert not wrong


def test_nothing_but_the_command_line_imports_the_command_line() -> None:
    folders = [ROOT / "synthflow", *(ROOT / f for f in FOLDERS.values())]
    wrong = [
        str(path.relative_to(ROOT))
        for folder in folders
        for path in folder.rglob("*.py")
        if "cli" not in path.relative_to(folder).parts
        for name in _imported(path)
        if name.startswith("synthflow.cli")
    ]
    assert not wrong


def test_help_answers_at_once_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; from synthflow.cli.main import cli; cli.main(['--help'], standalone_mode=False); "
        "heavy = {'torch', 'vllm', 'transformers', 'datatrove', 'dask', 'distributed', 'polars', 'pyarrow', 'duckdb'}; "
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    times = []
    for _ in range(3):
        started = time.monotonic()
        subprocess.run([Path(sys.executable).with_name("synthflow"), "--help"], capture_output=True, check=True)
        times.append(time.monotonic() - started)
    assert min(times) < 0.5


def test_no_module_is_too_long() -> None:
    folders = ["synthflow", *FOLDERS.values(), "benchmarks"]
    lengths = {p: len(p.read_text().splitlines()) for f in folders for p in (ROOT / f).rglob("*.py")}
    assert {str(p.relative_to(ROOT)): n for p, n in lengths.items() if n > 400} == {}
