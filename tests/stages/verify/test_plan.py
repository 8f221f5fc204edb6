"""What a spec gets wrong about judges is told when it is read, with its place; what the docs show is right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from synthflow.contracts import Estimate
from synthflow.errors import Mistakes
from synthflow.spec import Pipeline

OURS = (Path(__file__).parents[3] / "docs" / "judges.md").read_text()
POLICIES = {
    "default": {"backend": "transformers", "model": "demo"},
    "judge": {"backend": "transformers", "model": "demo"},
}
STAGES: dict[str, Any] = {
    "problems": {"use": "source.demo", "limit": 4},
    "rollouts": {"use": "sample", "of": "problems", "n": 8, "max_tokens": 64},
}


def built(**stages: Any) -> Pipeline:
    return Pipeline.build("x", {**STAGES, **stages}, policies=POLICIES)


def said(**stages: Any) -> str:
    with pytest.raises(Mistakes) as caught:
        built(**stages)
    return str(caught.value)


def test_a_judge_is_named_and_known() -> None:
    judged = {"use": "verify.judge", "of": "rollouts"}
    assert "stages.judged.policy: missing" in said(judged=judged)
    assert "no policy is called 'judg'" in said(judged={**judged, "policy": "judg"})
    assert "no such field (did you mean 'max_tokens'?)" in said(judged={**judged, "policy": "judge", "max_token": 3})
    assert "expected verdict or score" in said(judged={**judged, "policy": "judge", "ask": "stars"})


def test_several_mistakes_are_told_together_with_their_places() -> None:
    rubric = {
        "use": "verify.rubric", "of": "rollouts",
        "criteria": [{"name": "a", "rule": "filter.lenght"}, {"name": "a", "principle": "x"}, {"nam": "b"}],
    }  # fmt: skip
    assert "stages.rubric.criteria[2].nam" in said(rubric=rubric)
    rubric["criteria"] = rubric["criteria"][:2]
    told = said(rubric=rubric, vote={"use": "verify.vote", "of": "rollouts", "weigh": "value"})
    for expected in (
        "criteria[0].rule",
        "did you mean 'filter.length'?",
        "criteria[1].name",
        "policy: missing",
        "vote.scores",
    ):
        assert expected in told, told


def test_continuations_need_a_verifier() -> None:
    vote = {"use": "verify.vote", "of": "rollouts"}
    told = said(vote=vote, steps={"use": "label.monte_carlo", "of": "vote"})
    assert "verify.vote ('vote') judges rollouts, and no continuation of one" in told
    gold = {"use": "verify.math", "of": "vote"}
    built(vote=vote, gold=gold, steps={"use": "label.monte_carlo", "of": "gold", "verdicts": "gold"})


def test_estimates_say_what_judging_costs() -> None:
    upstream = Estimate(problems=10, rollouts=80)

    def asked(**fields: Any) -> float:
        use = fields.pop("use", "verify.judge")
        pipeline = built(judged={"use": use, "of": "rollouts", "policy": "judge", "max_tokens": 10, **fields})
        volume = pipeline["judged"].stage.estimate(upstream)
        assert volume.tokens == 10 * volume.requests and volume.rollouts == 80
        return volume.requests

    assert asked() == 80
    assert asked(k=3, temperature=1.0) == 240
    assert asked(mode="pairwise") == 10 * 28 * 2
    assert asked(mode="pairwise", opponents=1) == 10 * 8 * 2
    assert asked(mode="pairwise", against="reference", reference="answer") == 160
    criteria = [
        {"name": "a", "principle": "x"},
        {"name": "b", "principle": "y"},
        {"name": "c", "rule": "filter.length"},
    ]
    assert asked(use="verify.rubric", criteria=criteria) == 160


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", OURS, re.DOTALL))
def test_examples_are_sound(block: str) -> None:
    judged = {"use": "verify.judge", "of": "rollouts", "policy": "judge"}
    built(judged=judged, **yaml.safe_load(block))
