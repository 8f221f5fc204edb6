"""A rubric's stage: every criterion has its own row, and data may ask a model but run no program."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.judging import Services, between, ids, inputs_of, measures, mistakes, problem, rollout, run, verdicts
from synthflow.stages.verify.criteria import own_criteria

ROWS = [
    rollout("r_1", r"First, 2 + 2 = 4. So \boxed{4}"),
    rollout("r_2", r"\boxed{5}"),
    rollout("r_3", "no box, and wordy wordy wordy"),
]
CRITERIA: list[dict[str, Any]] = [
    {"name": "box", "rule": "filter.format", "options": {"exactly_one_box": True}, "required": True},
    {"name": "right", "rule": "verify.math", "weight": 2},
    {"name": "steps", "principle": "It shows its steps."},
]


def reads(prompt: str, seed: int) -> str:
    assert between(prompt, "criterion") == "It shows its steps."
    return f"Met: {'yes' if 'First' in between(prompt, 'answer') else 'no'}"


def test_every_criterion_has_a_row_of_its_own() -> None:
    services = Services(reads)
    out = run("verify.rubric", inputs_of(ROWS), services, policy="j", criteria=CRITERIA, correct_from=0.7)
    assert measures(out, "rubric:box") == {"r_1": 1, "r_2": 1, "r_3": 0}
    assert measures(out, "rubric:right") == {"r_1": 1, "r_2": 0, "r_3": None}
    assert measures(out, "rubric:steps") == {"r_1": 1, "r_2": 0, "r_3": 0}
    # 1 + 2 + 1 of 4 points; 1 of 4; vetoed.
    assert verdicts(out) == {
        "r_1": ("correct", 1.0, None), "r_2": ("wrong", 0.25, None), "r_3": ("wrong", 0.0, "veto: box"),
    }  # fmt: skip
    assert len([r for r in out["scores"] if r["kind"] == "verdict"]) == 3
    assert all(r["verdict"] is None for r in out["scores"] if r["kind"] == "measure")
    assert len({(r["target_id"], r["scorer"], r["config_hash"]) for r in out["scores"]}) == len(out["scores"])
    assert {json.loads(a["details"])["criterion"] for a in out["artifacts"]} == {"steps"}
    version = out["scores"][0]["scorer_version"]
    assert "m_judge" in version and "verify.math " in version and "filter.format 1" in version
    assert len(services.sampled) == 3


def test_another_weighting_and_another_criterion_pay_for_nothing_old() -> None:
    services = Services(lambda p, s: "Met: yes")
    run("verify.rubric", inputs_of(ROWS), services, policy="j", criteria=CRITERIA)
    assert len(services.sampled) == 3
    heavier = [{**CRITERIA[2], "weight": 9}, {"name": "kind", "principle": "It is kind.", "weight": -1}]
    out = run("verify.rubric", inputs_of(ROWS), services, policy="j", criteria=heavier)
    assert len(services.sampled) == 6
    assert verdicts(out)["r_1"] == ("correct", pytest.approx(8 / 9), None)


def test_a_criterion_that_cannot_be_read_counts_neither_way() -> None:
    out = run("verify.rubric", inputs_of(ROWS[:1]), Services(), policy="j", criteria=CRITERIA, correct_from=0.7)
    assert measures(out, "rubric:steps") == {"r_1": None}
    assert verdicts(out)["r_1"] == ("correct", 0.75, None), "three of four points are enough already"
    out = run("verify.rubric", inputs_of(ROWS[:1]), Services(), policy="j", criteria=CRITERIA, correct_from=0.8)
    assert verdicts(out)["r_1"] == ("unknown", None, "criterion_unknown")
    assert next(r["reason"] for r in out["scores"] if r["scorer"] == "rubric:steps") == "parse_failure"


def test_scores_of_a_scale_are_parts_of_a_point() -> None:
    criteria = [{"name": "clear", "principle": "It is clear.", "scale": [1, 5]}]
    out = run("verify.rubric", inputs_of(ROWS[:1]), Services(lambda p, s: "Score: 4"), policy="j", criteria=criteria)
    assert verdicts(out)["r_1"] == ("correct", 0.75, None)


def test_rules_alone_need_no_judge() -> None:
    out = run("verify.rubric", inputs_of(ROWS), Services(), criteria=CRITERIA[:2])
    assert verdicts(out)["r_1"][0] == "correct" and not out["artifacts"]


X = {"principle": "x"}


def own(rubric: Any) -> dict[str, Any]:
    return problem("p_1", metadata=json.dumps({"rubric": rubric}))


def test_each_problem_may_bring_its_principles() -> None:
    def judge(prompt: str, seed: int) -> str:
        return f"Met: {'yes' if 'four' in between(prompt, 'criterion') else 'no'}"

    rubric = ["It says four.", {"criterion": "It says five.", "points": 3}, {"principle": "It is rude.", "weight": -1}]
    fields = {"policy": "j", "criteria_from": "metadata.rubric"}
    out = run("verify.rubric", inputs_of(ROWS[:1], [own(rubric)]), Services(judge), **fields)
    assert measures(out, "rubric:own-2") == {"r_1": 0}
    assert verdicts(out)["r_1"] == ("wrong", 0.25, None)
    text = json.dumps(rubric)
    artifact = {"problem_id": "p_1", "kind": "rubric", "text": text, "stage_id": "e"}
    artifact["artifact_id"] = ids.artifact_id("rubric", text, "p_1", "")
    inputs = inputs_of(ROWS[:1], artifacts=[artifact])
    again = run("verify.rubric", inputs, Services(judge), policy="j", criteria_from="artifacts")
    assert verdicts(again) == verdicts(out)


@pytest.mark.parametrize(
    "rubric",
    [
        None, [], {}, "no json", "[" * 9999, 7, [7], [[]], [""], [{"weight": 2}], ["x"] * 65,
        [{"rule": "verify.math"}], [{**X, "rule": "verify.math"}], [{**X, "options": {"a": 1}}],
        [{**X, "points": "many"}], [{**X, "points": 1e300}], [{**X, "name": "box"}], [{**X, "name": "../../x"}],
        [{**X, "surprise": 1}], [{**X, "scale": [3, 3]}], [{**X, "weight": -1}],
    ],
)  # fmt: skip
def test_a_rubric_that_is_none_is_told(rubric: Any) -> None:
    criteria = [{"name": "box", "rule": "filter.length", "weight": 0}]
    fields = {"policy": "j", "criteria_from": "metadata.rubric", "criteria": criteria}
    for row in (own(rubric), problem("p_1")):
        out = run("verify.rubric", inputs_of(ROWS, [row]), Services(), **fields)
        assert {v[2] for v in verdicts(out).values()} == {"no_rubric"} and not out["artifacts"]


KEYS = ["principle", "criterion", "points", "weight", "name", "scale", "rule"]
plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)),
    max_leaves=8,
)


@given(plain)
def test_whatever_a_problem_brings_is_principles_or_a_problem(given_: Any) -> None:
    rubric = own_criteria(given_, ["a"])
    assert bool(rubric.criteria) != (rubric.problem is not None)
    assert all(c.principle and c.rule is None for c in rubric.criteria)


def test_mistakes_are_told_before_anything_runs() -> None:
    use = "verify.rubric"
    one = {"name": "a", "principle": "x"}
    assert "give criteria" in mistakes(use)["criteria"]
    assert "name the policy" in mistakes(use, criteria=[one])["policy"]
    assert "stands twice" in mistakes(use, policy="j", criteria=[one, one])["criteria.1.name"]
    assert "did you mean" in mistakes(use, criteria=[{"name": "a", "rule": "verify.maths"}])["criteria.0.rule"]
    bad = [{"name": "a", "rule": "verify.math", "options": {"timeout": 3}}]
    assert "no such field" in mistakes(use, criteria=bad)["criteria.0.options.timeout"]
    bad = [{"name": "a", "rule": "verify.math", "options": {"timeout_s": -3}}]
    assert "-3" in mistakes(use, criteria=bad)["criteria.0.options.timeout_s"]
    assert "no rule and no principle" in mistakes(use, criteria=[{"name": "a"}])["criteria.0"]
    both = [{"name": "a", "principle": "x", "rule": "verify.math"}]
    assert "both" in mistakes(use, policy="j", criteria=both)["criteria.0"]
    assert "weight above 0" in mistakes(use, policy="j", criteria=[{**one, "weight": -1}])["criteria"]
    assert "names no place" in mistakes(use, policy="j", criteria_from="rubric")["criteria_from"]
    assert "is no name" in mistakes(use, policy="j", criteria=[{**one, "name": "a b"}])["criteria.0.name"]
