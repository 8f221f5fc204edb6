"""A large release keeps its files when problems come in addition, and has the rows of a fresh one all the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from support.edits import Edited, write_recording
from support.quick_runs import every_release_is_large, run_in_child
from support.runs import assert_same_rows
from synthflow.check import check_run

pytestmark = pytest.mark.slow

CONFIGS = ["graph/rollouts", "graph/rollouts_flat", "graph/scores", "sft/sft", "sft/sft_tokens"]


@pytest.fixture
def edited(tmp_path: Path) -> Edited:
    """16 problems in 8 partitions, no order."""
    made = Edited(tmp_path, tmp_path / "rollouts.parquet", write_recording(tmp_path / "rollouts.parquet"), 1)
    made.rows = [dict(row) for row in made.pool[:16]]
    del made.stages["order"]
    made.stages["verdicts"] = {"use": "verify.math", "of": "rollouts"}
    made.stages["sft"] = {"use": "export.sft", "of": "difficulty", "validation": 0.3, "tokens": True}
    made.stages["graph"] = {"use": "export.graph", "of": "difficulty"}
    made.whole["execution"] = {"partition_size": 2}
    made.write()
    return made


def run(spec: Path, out: Path) -> None:
    ran = run_in_child(spec, out, every_release_is_large)
    assert ran.error is None, ran.error


def files(out: Path) -> dict[str, bytes]:
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in sorted((out / "exports").rglob("*.parquet"))}


def test_problems_that_come_in_addition(edited: Edited, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run(edited.spec, out)
    first = files(out)
    assert all(name.endswith("-00000-of-00001.parquet") for name in first)

    edited.rows += [dict(row) for row in edited.pool[16:18]]
    edited.write()
    run(edited.spec, out)
    grown = files(out)
    assert len(grown) > len(first)
    for name, content in first.items():
        more = name.replace("of-00001", "of-00002")
        assert grown[more if more in grown else name] == content, name

    anew = tmp_path / "anew"
    shutil.copytree(out / "journal", anew / "journal")
    run(edited.spec, anew)
    assert_same_rows(out, anew)
    for config in CONFIGS:
        both = [pl.read_parquet(run / "exports" / config / "*.parquet").sort(pl.all()) for run in (out, anew)]
        assert both[0].equals(both[1]), config
    cards = [(run / "exports/sft/README.md").read_text().split("---\n")[2] for run in (out, anew)]
    assert cards[0].rstrip() == cards[1].partition("## LLaMA-Factory")[0].rstrip()  # which reads one train file
    assert check_run(out).ok
