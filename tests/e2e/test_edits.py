"""Random edits of data and spec, with kills between: a run follows them, and `plan` says beforehand what that costs.

After every edit the run is planned and run to its end, sometimes after a kill -9. What was then sampled is what the
plan said, or less where the plan gave a bound; and the rows are those of a fresh run of the same spec from the same
journal.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from support.edits import Edited, write_recording
from support.kills import journaled
from support.quick_runs import kill_a_run, run_in_child
from support.runs import assert_same_rows
from synthflow.check import check_run
from synthflow.demo import DemoProblem
from synthflow.stores.manifest import Manifest

pytestmark = pytest.mark.slow

CORE, CI, LONG = 1, 20, 200
FEW, MANY = 3, 5
"""Edits of a sequence in CI, and of one in the long suite."""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[DemoProblem]]:
    path = tmp_path_factory.mktemp("recorded") / "rollouts.parquet"
    return path, write_recording(path)


def _seeds() -> list[object]:
    extended, long = pytest.mark.extended, pytest.mark.long
    marks = [[]] * CORE + [[extended]] * (CI - CORE) + [[long]] * (LONG - CI)
    return [pytest.param(seed, marks=mark) for seed, mark in enumerate(marks)]


@pytest.mark.parametrize("seed", _seeds())
def test_a_run_follows_edits(seed: int, recorded: tuple[Path, list[DemoProblem]], tmp_path: Path) -> None:
    print(f"seed {seed}")
    edited, out, rng = Edited(tmp_path, *recorded, seed), tmp_path / "run", random.Random(f"kills {seed}")
    _follow(edited, out)
    edits = FEW if seed < CI else MANY
    for number in range(edits):
        edited.edit()
        print(f"edit {number}: {', '.join(edited.told)}")
        while rng.random() < 0.4:
            print(f"killed: {kill_a_run(edited.spec, out, rng.uniform(0, 0.6))}")
        _follow(edited, out)
        if number in (edits // 2, edits - 1):
            _is_as_a_fresh_one(edited, out, tmp_path / f"fresh-{number}")
    report = check_run(out)
    assert report.ok, [str(f) for f in report.errors]


def _follow(edited: Edited, out: Path) -> None:
    """Plan and run; what the run did is what the plan said."""
    before = sum(journaled(out).values())
    ran = run_in_child(edited.spec, out)
    assert ran.error is None, ran.error
    change, manifest = ran.plan["change"], Manifest(out)
    assert not manifest.owed()
    sampled = sum(journaled(out).values()) - before
    counted = sum(s["requests"] for s in change["stages"] if not s["at_most"])
    bounded = sum(s["requests"] for s in change["stages"] if s["at_most"])
    assert counted <= sampled <= counted + bounded, change["stages"]
    done = Counter(c.stage for c in manifest.all_commits() if c.attempt == ran.attempt)
    sources = {s["name"] for s in ran.plan["stages"] if s["use"].startswith("source.")}
    owed = {s["stage"]: s["owed"] for s in change["stages"] if s["owed"] and s["stage"] not in sources}
    assert {name: n for name, n in done.items() if name not in sources} == owed
    assert all(n == 1 for n in journaled(out).values()), "something was sampled twice"
    assert {p.name for p in (out / "exports").iterdir()} == {s for s in edited.stages if _exports(edited, s)}


def _exports(edited: Edited, stage: str) -> bool:
    return bool(edited.stages[stage]["use"].startswith("export."))


def _is_as_a_fresh_one(edited: Edited, out: Path, fresh: Path) -> None:
    """Nothing is sampled for it, and its rows and releases are the same."""
    shutil.copytree(out / "journal", fresh / "journal")
    before = journaled(fresh)
    ran = run_in_child(edited.spec, fresh)
    assert ran.error is None, ran.error
    assert journaled(fresh) == before
    assert_same_rows(out, fresh)
    for release in sorted((fresh / "exports").rglob("*.parquet")):
        assert (out / release.relative_to(fresh)).read_bytes() == release.read_bytes(), release.name
