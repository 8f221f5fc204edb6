"""The views on difficulty and budgets, on shards of a made-up run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthflow.schema import TABLES
from synthflow.stages.curriculum.orders import rank_correlation
from synthflow.stores.catalog.build import build_catalog
from synthflow.stores.catalog.sql import query
from synthflow.stores.shards import write_shard

STAGES = {
    "rollouts": ("sample", []),
    "rates": ("curriculum.pass_rate", ["rollouts"]),
    "budget": ("curriculum.budget", ["rates"]),
    "more": ("sample.more", ["budget"]),
    "again": ("curriculum.pass_rate", ["rollouts", "more"]),
    "budget2": ("curriculum.budget", ["again"]),
    "last": ("curriculum.pass_rate", ["again", "budget2"]),
}


def stat(stage: str, problem: str, correct: int, wrong: int, policy: str = "m_a", round_: int = 0) -> dict[str, Any]:
    state = "mixed" if correct and wrong else "all_correct" if correct else "all_wrong"
    return {
        "problem_id": problem, "policy_id": policy, "round": round_, "sampling_id": "g", "n": correct + wrong,
        "n_correct": correct, "n_wrong": wrong, "n_unknown": 0, "n_truncated": 0,
        "pass_rate": correct / (correct + wrong), "group_state": state, "difficulty_bin": f"of {stage}",
        "stage_id": f"e_{stage}",
    }  # fmt: skip


def forecast(stage: str, problem: str, correct: int, wrong: int, extra: int, p: float) -> dict[str, Any]:
    group = {"policy_id": "m_a", "round": 0, "sampling_id": "g", "n": correct + wrong, "n_correct": correct,
             "n_wrong": wrong, "extra": extra}  # fmt: skip
    return {
        "problem_id": problem, "target_kind": "problem", "target_id": problem, "kind": "measure",
        "scorer": "curriculum.budget.p_mixed", "scorer_version": "1", "config_hash": "c", "value": p,
        "detail": json.dumps(group), "stage_id": f"e_{stage}",
    }  # fmt: skip


def catalog(run: Path, **tables: list[dict[str, Any]]) -> Path:
    tables["stages"] = [
        {"stage_id": f"e_{n}", "name": n, "use": use, "version": "1", "fingerprint": "f", "parents": of, "config": "{}"}
        for n, (use, of) in STAGES.items()
    ]
    shards = {
        name: [write_shard(run, name, TABLES[name].from_rows(rows), "s-f", "part-0").path]
        for name, rows in tables.items()
    }
    build_catalog(run, shards)
    return run


def rows(run: Path, sql: str) -> list[tuple[Any, ...]]:
    return list(query(run, sql)[1])


def test_a_budget_beside_what_came_of_it(tmp_path: Path) -> None:
    stats = [
        stat("rates", "p_1", 2, 2), stat("rates", "p_2", 0, 4), stat("rates", "p_3", 4, 0),
        stat("again", "p_1", 3, 5), stat("again", "p_2", 1, 5), stat("again", "p_3", 4, 0),
        stat("last", "p_1", 3, 5), stat("last", "p_2", 1, 5), stat("last", "p_3", 5, 1),
    ]  # fmt: skip
    asked = [
        forecast("budget", "p_1", 2, 2, 4, 1.0), forecast("budget", "p_2", 0, 4, 2, 0.25),
        forecast("budget", "p_3", 4, 0, 0, 0.0), forecast("budget2", "p_3", 4, 0, 2, 0.5),
    ]  # fmt: skip
    run = catalog(tmp_path, problem_stats=stats, scores=asked)
    found = rows(
        run,
        "SELECT problem_id, n_before, mixed_before, extra, planned_mixed, counted_by, n_after, mixed_after "
        "FROM budgets WHERE stage = 'budget' ORDER BY 1",
    )
    assert found == [
        ("p_1", 4, True, 4, 1.0, "again", 8, True),
        ("p_2", 4, False, 2, 0.25, "again", 6, True),
        ("p_3", 4, False, 0, 0.0, "again", 4, False),
    ]
    waves = rows(run, "FROM budget_waves ORDER BY stage")
    assert waves[0] == (
        "budget",
        "again",
        3,
        12,
        6,
        pytest.approx(1 / 3),
        pytest.approx(1.25 / 3),
        pytest.approx(2 / 3),
    )
    assert waves[1] == ("budget2", "last", 1, 4, 2, 0.0, 0.5, 1.0)


def test_a_budget_that_nobody_counted_yet(tmp_path: Path) -> None:
    run = catalog(tmp_path, scores=[forecast("budget", "p_1", 0, 4, 4, 0.5)])
    assert rows(run, "SELECT stage, counted_by, ratio_planned, ratio_after FROM budget_waves") == [
        ("budget", None, 0.5, None)
    ]


def test_the_weaker_beside_the_stronger(tmp_path: Path) -> None:
    weak = {"p_1": (1, 3), "p_2": (0, 4), "p_3": (3, 1), "p_only": (4, 0)}
    strong = {"p_1": (3, 1), "p_2": (2, 2), "p_3": (2, 2)}
    stats = [stat("rates", p, *c, "m_z") for p, c in weak.items()] + [stat("rates", p, *c) for p, c in strong.items()]
    # A second wave of one group: it counts once, with all of its rollouts.
    stats.append(stat("again", "p_1", 2, 6, "m_z"))
    run = catalog(tmp_path, problem_stats=stats)
    found = rows(
        run,
        "SELECT problem_id, weak_policy, weak_pass_rate, strong_policy, strong_pass_rate, gap, "
        "weak_low < weak_pass_rate OR weak_pass_rate = 0, strong_high > strong_pass_rate "
        "FROM difficulty_by_policy ORDER BY 1",
    )
    assert found == [
        ("p_1", "m_z", 0.25, "m_a", 0.75, 0.5, True, True),
        ("p_2", "m_z", 0.0, "m_a", 0.5, 0.5, True, True),
        ("p_3", "m_z", 0.75, "m_a", 0.5, -0.25, True, True),
    ]
    ((one, other, problems, rho),) = rows(
        run, "SELECT one_policy, other_policy, problems, rank_correlation FROM difficulty_shift"
    )
    wanted = rank_correlation(np.array([0.75, 0.5, 0.5]), np.array([0.25, 0.0, 0.75]))
    assert (one, other, problems) == ("m_a", "m_z", 3) and rho == pytest.approx(wanted)


def test_rounds_are_compared_in_their_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    early, late = rng.integers(0, 5, 40), rng.integers(0, 5, 40)
    stats = [stat("rates", f"p_{i:02}", int(k), 4 - int(k), "m_z", 0) for i, k in enumerate(early)]
    stats += [stat("rates", f"p_{i:02}", int(k), 4 - int(k), "m_a", 1) for i, k in enumerate(late)]
    run = catalog(tmp_path, problem_stats=stats)
    ((one, one_round, other_round, rho),) = rows(
        run, "SELECT one_policy, one_round, other_round, rank_correlation FROM difficulty_shift"
    )
    assert (one, one_round, other_round) == ("m_z", 0, 1)
    assert rho == pytest.approx(rank_correlation(early / 4, late / 4))


def test_groups_of_two_waves_have_their_own_states(tmp_path: Path) -> None:
    """The view `groups` has a row a verify stage: the state of each is that of its own counts."""
    names = ["rollout_id", "problem_id", "policy_id", "round", "sampling_id", "prefix_id", "index", "seed", "stage_id"]
    rollouts = [
        dict(zip(names, (f"r_{i}", "p_1", "m_a", 0, "g", "x_none", i, 1, "e_rollouts"), strict=True))
        | {"condition": "none", "turn": 0, "prompt": [], "completion": "", "completion_hash": "t",
           "finish_reason": "stop", "n_tokens": 1, "on_policy": True}
        for i in range(4)
    ]  # fmt: skip
    scores = [
        {"problem_id": "p_1", "target_kind": "rollout", "target_id": f"r_{i}", "kind": "verdict", "scorer": "exact",
         "scorer_version": "1", "config_hash": "c", "verdict": "correct" if i == 3 else "wrong", "value": float(i == 3),
         "stage_id": stage}
        for stage, n in (("e_rates", 2), ("e_again", 4)) for i in range(n)
    ]  # fmt: skip
    stats = [stat("rates", "p_1", 0, 2), stat("again", "p_1", 1, 3)]
    run = catalog(tmp_path, rollouts=rollouts, scores=scores, problem_stats=stats)
    assert rows(run, "SELECT stage, n, group_state FROM groups ORDER BY n") == [
        ("rates", 2, "all_wrong"), ("again", 4, "mixed"),
    ]  # fmt: skip
