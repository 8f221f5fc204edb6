"""What needs no extra works without one: only what `dependencies` bring can be imported."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support import floors, plain_install
from support.plain_install import closure
from synthflow.stores.catalog.build import build_catalog
from synthflow.stores.manifest import Manifest, shards_by_table

pytestmark = pytest.mark.slow

OLD = Path(__file__).parents[1] / "data" / "run-0.1.0" / "run"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Path(shutil.copytree(OLD, tmp_path_factory.mktemp("plain") / "run"))
    commits = Manifest(made).active()
    build_catalog(made, {table: [s.path for s in shards] for table, shards in shards_by_table(commits).items()})
    return made


def call(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(plain_install.__file__), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_extras_are_out_of_reach() -> None:
    brought = closure("synthflow")
    assert {"duckdb", "polars", "distributed", "sympy", "pytz"} <= brought
    assert not {"torch", "transformers", "pandas", "datasets", "datatrove", "aiohttp", "pytest"} & brought
    assert "torch" in closure("synthflow[transformers]")


def test_every_dependency_has_a_lowest_version() -> None:
    assert {"duckdb", "polars", "dask", "aiohttp"} <= set(floors.floors("openai", "verifiers"))


@pytest.mark.parametrize(
    "value",
    [
        "now()", "today()", "current_timestamp - INTERVAL 1 DAY", "TIMESTAMPTZ '2020-01-01 00:00:00+00'", "[now()]",
        "{'a': now()}", "MAP {'a': now()}", "TIMETZ '10:00:00+02'", "INTERVAL 1 DAY", "uuid()", "'a'::BLOB",
        "1.5::DECIMAL(10, 3)", "date_trunc('day', now())", "TIMESTAMP 'infinity'", "1::HUGEINT",
    ],
)  # fmt: skip
def test_any_value_that_sql_has_can_be_asked_for(run: Path, value: str) -> None:
    done = call("sql", run, f"SELECT {value} AS x", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["x"] is not None


@pytest.mark.parametrize(
    "command", [("status",), ("stats",), ("check",), ("agreement",), ("sql",)], ids=lambda command: command[0]
)
def test_a_run_can_be_looked_at(run: Path, command: tuple[str, ...]) -> None:
    done = call(command[0], run)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["stages", "verifiers", "filters", "backends", "exports", "recipes", "schema"])
def test_what_there_is_is_listed(kind: str) -> None:
    done = call("list", kind)
    assert done.returncode == 0 and done.stdout, done.stderr


def test_answers_are_verified(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(json.dumps({"completion": r"\boxed{\frac{1}{2}}", "gold": "0.5"}) + "\n")
    done = call("verify", path, "--verifier", "math")
    assert done.returncode == 0, done.stderr
    assert '"correct"' in (tmp_path / "answers.verified.jsonl").read_text()
