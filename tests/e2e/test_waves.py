"""A second wave on the real engine: partitions do not matter, and a larger n finds what both waves sampled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.runs import assert_same_rows, journal_lines, run_ok, synthflow, tables, with_changes, write_spec

pytestmark = [pytest.mark.slow, pytest.mark.extended]

WAVES: dict[str, Any] = {
    "name": "waves",
    "seed": 1,
    "policy": {"backend": "transformers", "model": "demo"},
    "stages": {
        "problems": {"use": "source.demo", "limit": 10},
        "rollouts": {"use": "sample", "of": "problems", "n": 3, "max_tokens": 160},
        "first": {"use": "verify.math", "of": "rollouts"},
        "rates": {"use": "curriculum.pass_rate", "of": "first"},
        "budget": {"use": "curriculum.budget", "of": "rates", "rollouts_per_problem": 2},
        "more": {"use": "sample.more", "of": "budget", "max_tokens": 160},
        "verdicts": {"use": "verify.math", "of": ["rollouts", "more"]},
        "difficulty": {"use": "curriculum.pass_rate", "of": "verdicts", "verdicts": "verdicts"},
        "order": {"use": "curriculum.order", "of": "difficulty", "by": "annealed", "seed": 4},
    },
    "execution": {"partition_size": 3, "engines": 1},
}


def test_waves_on_the_engine(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run_ok(write_spec(tmp_path / "spec.yaml", WAVES), run)
    rollouts = tables(run)["rollouts"]
    assert rollouts.height == 10 * 3 + 10 * 2
    assert synthflow("check", run).returncode == 0

    # Cut otherwise, over the same journal: the same rows, and nothing is sampled.
    other = tmp_path / "other"
    other.mkdir()
    (other / "journal").symlink_to(run / "journal", target_is_directory=True)
    before = journal_lines(run)
    run_ok(write_spec(tmp_path / "cut.yaml", with_changes(WAVES, execution={"partition_size": 10})), other)
    assert journal_lines(run) == before
    assert_same_rows(run, other)

    # Six of each, without waves: those that the waves sampled are found.
    stages = {name: WAVES["stages"][name] for name in ("problems", "rollouts")}
    stages["rollouts"] = {**stages["rollouts"], "n": 6}
    run_ok(write_spec(tmp_path / "six.yaml", {**WAVES, "stages": stages}), run)
    have = rollouts.filter(rollouts["index"] < 6).height
    assert len(journal_lines(run)) == len(before) + 60 - have
