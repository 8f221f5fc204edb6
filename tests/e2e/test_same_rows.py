"""The same spec, inputs and seed give the same rows, whatever the workers, the partitions and the input order."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from support.runs import assert_same_rows, run_ok, with_changes, write_spec
from synthflow.demo import heldout_path

pytestmark = pytest.mark.slow

LAYOUTS = [
    pytest.param(
        {"partition_size": 24, "cpu_workers": 1, "engines": 1, "partitions_in_flight": 1},
        id="one",
        marks=pytest.mark.extended,
    ),
    pytest.param(
        {"partition_size": 1, "cpu_workers": 2, "engines": 2, "partitions_in_flight": 8},
        id="many",
        marks=pytest.mark.extended,
    ),
    pytest.param(
        {"partition_size": 5, "cpu_workers": 3, "engines": 1, "partitions_in_flight": 2, "requests_in_flight": 3},
        id="odd",
        marks=pytest.mark.extended,
    ),
]


def _source(path: Path, lines: list[str]) -> dict[str, object]:
    path.write_text("\n".join(lines) + "\n")
    return {"use": "source.jsonl", "path": str(path)}


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return heldout_path().read_text().splitlines()[:24]


@pytest.fixture(scope="module")
def reference(replay_spec: dict[str, object], lines: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    spec = json.loads(json.dumps(replay_spec))
    spec["stages"]["problems"] = _source(folder / "in.jsonl", lines)
    run_ok(write_spec(folder / "spec.yaml", spec), folder / "run")
    return folder / "run"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_and_input_order_do_not_matter(
    layout: dict[str, int],
    replay_spec: dict[str, object],
    reference: Path,
    lines: list[str],
    tmp_path: Path,
) -> None:
    shuffled = lines[:]
    random.Random(layout["partition_size"]).shuffle(shuffled)
    spec = with_changes(replay_spec, execution=layout)
    spec["stages"]["problems"] = _source(tmp_path / "in.jsonl", shuffled)
    run_ok(write_spec(tmp_path / "spec.yaml", spec), tmp_path / "run")
    assert_same_rows(reference, tmp_path / "run")
    for release in sorted((reference / "exports").rglob("*.parquet")):
        other = tmp_path / "run" / release.relative_to(reference)
        assert other.read_bytes() == release.read_bytes(), release.name
