"""Labels outlive a kill, a resume, a change of labeler and a top-up, and nothing is sampled twice: the real policy."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from support.kills import NOTED, in_flight, journaled, sampled_again
from support.runs import SMALL, kill_group, run_ok, start, synthflow, tables, with_changes, write_spec

pytestmark = [pytest.mark.slow, pytest.mark.extended, pytest.mark.timeout(900)]  # five runs

LABELS = {"use": "label.monte_carlo", "of": "verdicts", "rollouts_per_problem": 2, "max_tokens": 200}
PROBLEMS, ROLLOUTS = 12, 4
KEPT = ("problems", "rollouts", "verdicts")


def spec_with(**fields: Any) -> dict[str, Any]:
    spec = with_changes(SMALL)
    spec["stages"] = {name: spec["stages"][name] for name in KEPT} | {"steps": {**LABELS, **fields}}
    spec["stages"]["problems"]["limit"] = PROBLEMS
    spec["stages"]["rollouts"]["n"] = ROLLOUTS
    return spec


def continuations(run: Path) -> pl.DataFrame:
    return tables(run)["rollouts"].filter(pl.col("condition") == "prefix")


def test_a_change_of_labeler_pays_for_what_is_new_only(tmp_path: Path) -> None:
    run = tmp_path / "run"
    # Killed while it samples continuations, then resumed.
    spec = write_spec(tmp_path / "exhaustive.yaml", spec_with(n=3))
    victim = start(spec, run, *NOTED)
    try:
        until = time.monotonic() + 240
        while victim.poll() is None and time.monotonic() < until:
            if (run / "journal").exists() and sum(journaled(run).values()) > PROBLEMS * ROLLOUTS + 5:
                break
            time.sleep(0.05)
    finally:
        kill_group(victim)
    lost = in_flight(run)
    run_ok(spec, run, *NOTED, timeout=600)
    few = tables(run)["step_values"]
    asked = set(continuations(run)["rollout_id"])
    for name, fields in (
        ("adaptive", {"method": "adaptive", "n_max": 8, "until": {"half_width": 0.3}}),
        ("posterior", {"method": "posterior", "n_max": 8}),
        ("more", {"n": 6}),
    ):
        known = set(journaled(run))
        run_ok(write_spec(tmp_path / f"{name}.yaml", spec_with(**fields)), run, *NOTED, timeout=600)
        now = set(continuations(run)["rollout_id"])
        assert set(journaled(run)) == known | now, f"{name}: sampled what no row has"
        assert now & known, f"{name}: reused nothing"
        asked |= now
    records = journaled(run)
    assert max(records.values()) == 1, "a request that had a result was sampled again"
    assert asked <= set(records) and len(records) - len(asked) == PROBLEMS * ROLLOUTS
    assert sampled_again(run) <= lost
    # The top-up kept what was there, and its intervals are narrower.
    both = few.join(tables(run)["step_values"], on="step_id", suffix="_more").filter(pl.col("n") == 3)
    assert len(both) > 8 and (both["n_more"] == 6).all()
    width = (both["value_high_more"] - both["value_low_more"]) - (both["value_high"] - both["value_low"])
    assert (width < 0).all() and (both["successes_more"] >= both["successes"]).all()
    assert synthflow("check", run).returncode == 0
