"""Every recipe of a paper runs on the demo policy, and what it writes is what the paper says its data are.

A recipe's claims are in `claims/RECIPE.yaml`: `set` (fields that make it small), and `claims`, each with `what` it
says, a `sql` query that gives one number, and what that number is (`is`) or at least is (`at_least`). All recipes run
on one cluster with one engine worker, whose engines stay warm.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.runs import stopped_after, synthflow
from synthflow.stores.catalog.build import open_catalog

pytestmark = pytest.mark.slow

FIRST = "psr-nsr"
"""Recipes that `make test` runs: step labels and pairs, weighted advantages."""
ROOT = Path(__file__).parents[2]
CLAIMS = Path(__file__).parent / "claims"
DASK = Path(sys.executable).with_name("dask")
NO_PAPER = {"quickstart", "quickstart-vllm", "quickstart-server", "judge-and-vote"}
"""Recipes with tests of their own, which make no claim about their data."""


def recipes() -> list[str]:
    return sorted({p.stem for p in (ROOT / "pipelines").glob("*.yaml")} - NO_PAPER)


@dataclass(frozen=True, slots=True)
class Claims:
    overrides: tuple[str, ...]
    claims: tuple[dict[str, Any], ...]


def claims_of(recipe: str) -> Claims:
    read = yaml.safe_load((CLAIMS / f"{recipe}.yaml").read_text())
    return Claims(tuple(read.get("set", ())), tuple(read["claims"]))


def test_every_recipe_of_a_paper_claims_something() -> None:
    assert sorted(p.stem for p in CLAIMS.glob("*.yaml")) == recipes()
    for recipe in recipes():
        claims = claims_of(recipe).claims
        assert any("at_least" in c for c in claims), f"{recipe}: a claim about rows that are not there says nothing"
        assert all(("is" in c) != ("at_least" in c) and c["what"] for c in claims)


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file of a scheduler with one CPU worker and one engine worker."""
    folder = tmp_path_factory.mktemp("warm")
    file = folder / "scheduler.json"
    worker = f"worker --no-dashboard --scheduler-file {file}"
    commands = (
        f"scheduler --no-dashboard --scheduler-file {file} --host 127.0.0.1 --port 0",
        f"{worker} --nthreads 2 --resources synthflow_cpu=1000",
        f"{worker} --nthreads 8 --resources synthflow_engine=1000",
    )
    with stopped_after(*([str(DASK), *shlex.split(c)] for c in commands), cwd=folder):
        yield file


@pytest.mark.parametrize(
    "recipe", [pytest.param(r, marks=[] if r == FIRST else pytest.mark.extended) for r in recipes()]
)
def test_a_recipe_keeps_its_claims(recipe: str, warm: Path, tmp_path: Path) -> None:
    made, run = claims_of(recipe), tmp_path / recipe
    changes = [part for change in made.overrides for part in ("--set", change)]
    done = synthflow("run", recipe, "--out", run, "--scheduler", warm, *changes)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    checked = synthflow("check", run)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    with open_catalog(run, locked=True) as catalog:
        for claim in made.claims:
            [(number, *_)] = catalog.execute(claim["sql"]).fetchall()
            assert number is not None, claim["what"]
            if "is" in claim:
                assert float(number) == claim["is"], claim["what"]
            else:
                assert float(number) >= claim["at_least"], claim["what"]
