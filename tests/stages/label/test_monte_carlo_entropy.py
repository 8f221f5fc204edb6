"""Monte Carlo values of steps that begin at tokens of high entropy."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from support.toy_world import ToyServices, inputs_of, rows, true_value, world
from synthflow.contracts import SampleResult
from synthflow.execute.coverage import check_coverage, check_keys
from synthflow.stages.label.monte_carlo import MonteCarlo


class Reads(ToyServices):
    """Is unsure at the first character of every second line, and elsewhere sure."""

    def sample(self, requests, policy):
        told = {r.rollout_id: self._told(r) for r in requests if r.score is not None}
        rest = [r for r in requests if r.score is None]
        told |= {r.rollout_id: result for r, result in zip(rest, super().sample(rest, policy), strict=True)}
        return [told[r.rollout_id] for r in requests]

    def _told(self, request):
        before = [0, *(t == 10 for t in request.score)]
        entropies = tuple(float(b) * (1 + sum(before[: i + 1]) % 2) for i, b in enumerate(before[:-1]))
        n = len(request.score)
        return SampleResult(
            request.rollout_id, "", "stop", logprobs=(-0.5,) * n, entropies=entropies, entropies_exact=True
        )


def stage(**fields):
    return MonteCarlo("steps", MonteCarlo.Config.model_validate({"use": "label.monte_carlo", "of": "keep", **fields}))


def test_steps_and_values_are_of_the_same_prefixes():
    problems, rollouts, scores = world(4, 6)
    made, inputs = stage(n=200, entropy_steps={"top": 2, "above": 1.5}), inputs_of(problems, rollouts, scores)
    tables = made.run(inputs, Reads())
    check_keys("steps", tables)
    check_coverage("steps", made.covers, inputs, tables)
    text = {r["rollout_id"]: r["completion"] for r in rollouts}
    steps = {s["step_id"]: s for s in rows(tables, "steps")}
    assert {s["segmenter"] for s in steps.values()} == {"entropy:top=2,above=1.5@m_toy"}
    checked = 0
    for row in rows(tables, "step_values"):
        step = steps[row["step_id"]]
        whole = text[row["rollout_id"]]
        prefix = whole[: step["char_end"]]
        if step["index"]:
            assert whole[step["char_start"] - 1] == "\n", "cut at the beginnings of lines"
        if prefix != whole:
            assert prefix.count("\n") in (1, 3) and row["n"] == 200
            assert row["value"] == pytest.approx(true_value(prefix), abs=0.15)
            checked += 1
    assert checked >= 8
    for row in rows(tables, "rollouts"):
        assert row["branch_step"] is not None, "no token straddles a boundary"


def test_a_rollout_without_entropies_says_why():
    class Mute(Reads):
        def _told(self, request):
            return SampleResult(request.rollout_id, "", "refused", reason="too long to score")

    problems, rollouts, scores = world(2, 6)
    tables = stage(entropy_steps={}).run(inputs_of(problems, rollouts, scores), Mute())
    assert {"score_refused"} <= {r["reason"] for r in rows(tables, "rejects")} and "step_values" not in tables


def test_whose_entropies_cut_is_one_of_its_policies():
    made = stage(entropy_steps={"by": "other"})
    assert MonteCarlo.policies(made.config) == ("default", "other") and MonteCarlo.scorers(made.config) == ("other",)
    assert MonteCarlo.policies(stage().config) == ("default",) and MonteCarlo.scorers(stage().config) == ()
    with pytest.raises(ValidationError, match=r"entropy_steps\.top is below"):
        stage(method="posterior", entropy_steps={"top": 4096})
