"""Training signals by hand and as properties, and the stage that writes them."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.stages import stage_info
from support.toy_world import ANCESTORS, ToyServices, rows, world
from synthflow.contracts import MemoryInputs
from synthflow.schema import PROBLEMS, ROLLOUTS, SCORES
from synthflow.stages.label import training_signals as s
from synthflow.stages.label.monte_carlo import MonteCarlo
from synthflow.stages.label.monte_carlo_config import MonteCarloConfig
from synthflow.stages.label.signals import Signals, SignalsConfig

chances = st.floats(0, 1, allow_nan=False, width=32)
values_of_a_rollout = st.lists(chances, min_size=2, max_size=12)


def test_regret_by_hand():
    """J = .2 for 10 tokens, .5 for 20, then 1 for the 20 that are left of 50: the area is 2 + 10 + 20 = 32."""
    assert s.normalised_regret([0.2, 0.5, 1.0], [10, 30], 50) == pytest.approx(1 - 32 / 50)
    # Cut at the budget: 2 + .5 · 10 = 7 of 20. The undecided last value lies beyond it.
    assert s.normalised_regret([0.2, 0.5, np.nan], [10, 30], 20) == pytest.approx(1 - 7 / 20)
    assert np.isnan(s.normalised_regret([0.2, np.nan, 1.0], [10, 30], 50))
    for bad in (([0.2], [10], 50), ([0.2, 1], [10], 0), ([0.2, 0.4, 1], [10, 5], 50)):
        with pytest.raises(ValueError):
            s.normalised_regret(*bad)


def test_rewards_by_hand():
    """J = .5, .25, .75, 0 and wrong: progress -.25, .5, -.75; correct after .75 to 1: the outcome comes on top."""
    assert s.progress([0.5, 0.25, 0.75, 0]) == pytest.approx([-0.25, 0.5, -0.75])
    assert s.progress_rewards([0.5, 0.75, 1], 1, 0.5) == pytest.approx([0.125, 1.125])
    assert s.termination_advantages([0.5, 0.25, 0.75, 0], 0) == pytest.approx([-0.5, -0.25, -0.75])


def test_normalised_by_hand():
    """Group 0: 1, 3 have mean 2, deviation 1; group 1 is all alike; an undecided one is in no mean."""
    assert s.normalised([1, 3, 7, 7, np.nan], [0, 0, 1, 1, 0])[:4] == pytest.approx([-1, 1, 0, 0])
    assert np.isnan(s.normalised([1, 3, 7, 7, np.nan], [0, 0, 1, 1, 0])[4])
    assert not len(s.normalised([], []))


@given(values_of_a_rollout, st.sampled_from([0.0, 1.0]), st.floats(0, 3))
def test_progress_conserves(values, outcome, weight):
    values[-1] = outcome
    assert s.progress(values).sum() == pytest.approx(outcome - values[0], abs=1e-4)
    rewards = s.progress_rewards(values, outcome, weight)
    assert rewards.sum() == pytest.approx(outcome + weight * (outcome - values[0]), abs=1e-4)
    to_come = np.cumsum(s.progress(values)[::-1])[::-1]
    assert s.termination_advantages(values, outcome) == pytest.approx(to_come, abs=1e-6)
    assert s.progress(values) == pytest.approx(np.diff(values), abs=1e-5)


@given(values_of_a_rollout, st.integers(1, 400), st.data())
def test_regret_is_a_share_and_falls_with_better_values(values, budget, data):
    lengths = data.draw(st.lists(st.integers(0, 60), min_size=len(values) - 1, max_size=len(values) - 1))
    ends = np.cumsum(lengths)
    regret = s.normalised_regret(values, ends, budget)
    assert -1e-9 <= regret <= 1 + 1e-9
    assert s.normalised_regret(np.minimum(np.array(values) + 0.1, 1), ends, budget) <= regret + 1e-9
    assert s.normalised_regret([1.0] * len(values), ends, budget) == pytest.approx(0)


@given(st.lists(st.tuples(st.floats(-1, 1), st.integers(0, 3)), min_size=1, max_size=40))
def test_groups_are_centred_and_scaled(rows_):
    values, groups = map(np.array, zip(*rows_, strict=True))
    found = s.normalised(values, groups)
    for g in set(groups.tolist()):
        own = found[groups == g]
        assert abs(own.mean()) < 1e-6
        assert own.std() == pytest.approx(1, abs=1e-6) or (own == 0).all()


def valued(**fields):
    """The stage's inputs, from a labeler on the toy world."""
    problems, rollouts, scores = world(3, 6)
    source = {
        "problems": {"problems": PROBLEMS.from_rows(problems)},
        "rollouts": {"rollouts": ROLLOUTS.from_rows(rollouts)},
        "verdicts": {"scores": SCORES.from_rows(scores)},
    }
    config = {"use": "label.monte_carlo", "of": "verdicts", **fields}
    before = MemoryInputs(ANCESTORS, ["verdicts"], source)
    labels = MonteCarlo("labels", MonteCarloConfig.model_validate(config)).run(before, ToyServices())
    labeler = stage_info("labels", MonteCarlo.use, MonteCarlo.writes, ("verdicts",))
    made = {name: table for name, table in labels.items() if name in MonteCarlo.writes}
    return MemoryInputs([*ANCESTORS, labeler], ["labels"], source | {"labels": made}), labels, rollouts


def signals(inputs, **fields):
    stage = Signals("signals", SignalsConfig.model_validate({"use": "label.signals", "of": "labels", **fields}))
    assert not list(stage.check(inputs.ancestors))
    return stage.run(inputs, ToyServices())


def test_the_stage_says_what_the_functions_say():
    inputs, labels, rollouts = valued(n=3)
    found = defaultdict(dict)
    for row in rows(signals(inputs, budget=100, weight=0.5), "scores"):
        assert row["kind"] == "measure" and row["target_kind"] == ("rollout" if row["scorer"] == "regret" else "step")
        found[row["scorer"]][row["target_id"]] = row["value"]
    text = {r["rollout_id"]: r["completion"] for r in rollouts}
    by_rollout = defaultdict(list)
    for step, value in zip(rows(labels, "steps"), rows(labels, "step_values"), strict=True):
        by_rollout[value["rollout_id"]].append((step, value))
    assert len(by_rollout) > 3
    by_problem = defaultdict(list)
    for rollout, pairs in by_rollout.items():
        outcome = float(text[rollout].endswith("= 1"))
        j = [pairs[0][1]["value_before"], *(v["value"] for _, v in pairs)]
        names = [v["step_id"] for _, v in pairs]
        regret = s.normalised_regret(j, [step["token_end"] for step, _ in pairs], 100)
        assert found["regret"][rollout] == pytest.approx(regret, abs=1e-6)
        rewards, ending = s.progress_rewards(j, outcome, 0.5), s.termination_advantages(j, outcome)
        assert [found["progress_reward"][n] for n in names] == pytest.approx(rewards.tolist(), abs=1e-6)
        assert [found["termination_advantage"][n] for n in names] == pytest.approx(ending.tolist(), abs=1e-6)
        by_problem[pairs[0][1]["problem_id"]] += [found["advantage_normalised"][n] for n in names]
    for spread in by_problem.values():
        assert np.mean(spread) == pytest.approx(0, abs=1e-5) and np.std(spread) == pytest.approx(1, abs=1e-5)


def test_what_is_undecided_says_so_and_nothing_is_lost():
    inputs, labels, _ = valued(method="posterior", n_max=8)
    scores = rows(signals(inputs), "scores")
    steps = {v["step_id"] for v in rows(labels, "step_values")}
    assert {r["target_id"] for r in scores if r["target_kind"] == "step"} == steps
    assert all((r["value"] is None) == (r["reason"] == "undecided") for r in scores)
    assert any(r["value"] is None for r in scores) and any(r["value"] is not None for r in scores)


def test_nothing_labelled_and_planning():
    source = {"problems": {"problems": PROBLEMS.empty()}}
    labeler = stage_info("labels", MonteCarlo.use, MonteCarlo.writes, ("verdicts",))
    empty = MemoryInputs([*ANCESTORS, labeler], ["labels"], source)
    assert rows(signals(empty), "scores") == []
    stage = Signals("signals", SignalsConfig.model_validate({"use": "label.signals", "of": "verdicts"}))
    assert [m[0] for m in stage.check(ANCESTORS)] == ["of"]
    two = [*ANCESTORS, labeler, stage_info("more", MonteCarlo.use, MonteCarlo.writes, ("verdicts",))]
    assert [m[0] for m in stage.check(two)] == ["labels"]
