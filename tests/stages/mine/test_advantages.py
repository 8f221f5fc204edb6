"""The stage `mine.advantages`: groups, reasons, branches, rewards; and that each rollout is accounted for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from support.stages import stage_info
from support.toy_world import ANCESTORS, ToyServices, inputs_of, problem_row, rollout_row, rows, score_row
from synthflow import ids
from synthflow.contracts import MemoryInputs
from synthflow.errors import UserError
from synthflow.execute.coverage import check_coverage, check_keys
from synthflow.schema import PROBLEMS, ROLLOUTS, SCORES
from synthflow.stages.mine.advantages import Advantages


def advise(inputs, of="keep", **fields):
    """{scorer: {rollout_id: row}} and {rollout_id: reason} of the rejects."""
    stage = Advantages("adv", Advantages.Config.model_validate({"use": Advantages.use, "of": of, **fields}))
    assert not list(stage.check(inputs.ancestors))
    tables = stage.run(inputs, ToyServices())
    check_keys("adv", tables)
    check_coverage("adv", stage.covers, inputs, tables)
    made: dict[str, dict[str, dict]] = {}
    for row in rows(tables, "scores"):
        assert row["kind"] == "measure" and (row["value"] is None) == (row["reason"] is not None)
        made.setdefault(row["scorer"], {})[row["target_id"]] = row
    return made, {r["target_id"]: r["reason"] for r in rows(tables, "rejects")}


def group(name, verdicts, **changed):
    problem = problem_row(name)
    made = [rollout_row(problem, i, f"text {i}", **changed) for i in range(len(verdicts))]
    return problem, made, [score_row(r, v) for r, v in zip(made, verdicts, strict=True)]


def values(made, scorer, rollouts):
    return [made[scorer][r["rollout_id"]]["value"] for r in rollouts]


def test_advantages_are_of_the_group_and_say_whose():
    a, b = group("a", ["correct", "wrong"]), group("b", ["correct", "correct", "correct", "wrong"])
    made, rejects = advise(inputs_of([a[0], b[0]], a[1] + b[1], a[2] + b[2]), estimators=["rloo", "nsr"])
    assert values(made, "advantage.rloo", a[1]) == [1, -1]
    assert values(made, "advantage.rloo", b[1]) == pytest.approx([1 / 3, 1 / 3, 1 / 3, -1])
    assert values(made, "advantage.nsr", b[1]) == [0, 0, 0, -1] and not rejects
    assert made["advantage.nsr"][b[1][0]["rollout_id"]]["detail"] == "3 of 4 right"


def test_two_samplings_of_a_problem_are_two_groups():
    one, two = group("a", ["correct", "wrong"]), group("a", ["wrong", "wrong"], sampling_id="g_two")
    made, _ = advise(inputs_of([one[0]], one[1] + two[1], one[2] + two[2]), estimators=["grpo_no_std"])
    assert values(made, "advantage.grpo_no_std", one[1] + two[1]) == [0.5, -0.5, 0, 0]


def test_unknown_is_never_wrong_unless_the_recipe_says_so():
    problem, made, scores = group("a", ["correct", "wrong", "unknown"])
    found, _ = advise(inputs_of([problem], made, scores), estimators=["grpo_no_std", "nsr"])
    assert values(found, "advantage.grpo_no_std", made) == [0.5, -0.5, None]
    assert values(found, "advantage.nsr", made) == [0, -1, None]
    assert found["advantage.nsr"][made[2]["rollout_id"]]["reason"] == "unknown: parse_failure"
    found, _ = advise(inputs_of([problem], made, scores), estimators=["grpo_no_std", "nsr"], unknown="wrong")
    assert values(found, "advantage.grpo_no_std", made) == pytest.approx([2 / 3, -1 / 3, -1 / 3])
    assert values(found, "advantage.nsr", made) == [0, -1, -1]


def test_what_nobody_judged_and_what_is_dropped():
    problem, made, scores = group("a", ["correct", "wrong", "wrong"])
    lost = score_row(made[1], "wrong", kind="filter", scorer="toy", verdict=None, value=0.0)
    found, _ = advise(inputs_of([problem], made, scores[:2], [lost]), estimators=["rloo"])
    assert values(found, "advantage.rloo", made) == [1, -1, None]  # a dropped one is what the policy does, too
    assert found["advantage.rloo"][made[2]["rollout_id"]]["reason"] == "no_verdict"


def test_hinted_rollouts_are_in_no_group():
    problem, made, scores = group("a", ["correct", "wrong"])
    hinted = rollout_row(problem, 9, "told", condition="hint", sampling_id="g_hint")
    more = [*scores, score_row(hinted, "correct")]
    found, rejects = advise(inputs_of([problem], [*made, hinted], more), estimators=["grpo_no_std"])
    assert values(found, "advantage.grpo_no_std", made) == [0.5, -0.5]
    assert rejects == {hinted["rollout_id"]: "not_first_rollout"}


FLAWED = stage_info("judged", "label.judge", ("steps", "step_values", "scores"), ("verdicts",))


def with_flaws(problem, made, scores, flawed, scorer="flawed_positive"):
    said = [
        score_row(r, "wrong", kind="measure", scorer=scorer, verdict=None, value=float(r is flawed)) for r in made[:2]
    ]
    return MemoryInputs(
        [*ANCESTORS, FLAWED],
        ["judged"],
        {
            "problems": {"problems": PROBLEMS.from_rows([problem])},
            "rollouts": {"rollouts": ROLLOUTS.from_rows(made)},
            "verdicts": {"scores": SCORES.from_rows(scores)},
            "judged": {"scores": SCORES.from_rows(said)},
        },
    )


@pytest.mark.parametrize("scorer", ["flawed_positive", "judge.flawed_positive"])
def test_flawed_positives(scorer):
    problem, made, scores = group("a", ["correct", "correct", "wrong"])
    inputs = with_flaws(problem, made, scores, made[1], scorer)
    found = {how: advise(inputs, "judged", estimators=["grpo_no_std"], flawed=how)[0]["advantage.grpo_no_std"]
             for how in ("keep", "drop", "negative")}  # fmt: skip
    numbers = {how: [found[how][r["rollout_id"]]["value"] for r in made] for how in found}
    assert numbers["keep"] == pytest.approx([1 / 3, 1 / 3, -2 / 3])
    assert numbers["drop"] == [0.5, None, -0.5]
    assert numbers["negative"] == pytest.approx([2 / 3, -1 / 3, -1 / 3])
    assert found["drop"][made[1]["rollout_id"]]["reason"] == "flawed_positive"


# -- branches ---------------------------------------------------------------------------------------------------------

BRANCH = stage_info("branches", "sample.branch", ("rollouts", "scores"), ("verdicts",))
LABELS = stage_info("labels", "label.monte_carlo", ("steps", "rollouts", "scores", "step_values"), ("branches",))


def branch(parent, index, **changed):
    prefix = ids.prefix_id(parent["problem_id"], [1, 2, 3])
    row = rollout_row({"problem_id": parent["problem_id"], "prompt": parent["prompt"]}, index, "rest")
    made = ids.rollout_id(
        parent["problem_id"], row["policy_id"], 0, "g_branch", prefix + parent["rollout_id"], index, 7
    )
    return row | {
        "rollout_id": made, "condition": "prefix", "prefix_id": prefix, "sampling_id": "g_branch",
        "parent_rollout_id": parent["rollout_id"], "branch_token": 3, "stage_id": "h_branch",
    } | changed  # fmt: skip


def branched(problem, made, scores, branches, verdicts, labels=(), of="labels"):
    return MemoryInputs(
        [*ANCESTORS, BRANCH, LABELS],
        [of],
        {
            "problems": {"problems": PROBLEMS.from_rows([problem])},
            "rollouts": {"rollouts": ROLLOUTS.from_rows(made)},
            "verdicts": {"scores": SCORES.from_rows(scores)},
            "branches": {
                "rollouts": ROLLOUTS.from_rows(branches),
                "scores": SCORES.from_rows([score_row(r, v) for r, v in zip(branches, verdicts, strict=True)]),
            },
            "labels": {
                "rollouts": ROLLOUTS.from_rows(labels),
                "scores": SCORES.from_rows([score_row(r, "wrong") for r in labels]),
            },
        },
    )


def test_branches_join_the_group_of_the_first_rollout_they_go_back_to():
    problem, made, scores = group("a", ["wrong", "wrong"])
    near = branch(made[0], 0)
    far = branch(near, 1)  # a branch of a branch
    other = branch(made[1], 2, policy_id="m_other")
    estimate = branch(made[0], 3)
    inputs = branched(problem, made, scores, [near, far, other], ["correct", "unknown", "correct"], [estimate])
    found, rejects = advise(inputs, ["labels", "branches"], estimators=["rloo"], include_branches=True)
    everyone = [*made, near]
    assert values(found, "advantage.rloo", everyone) == pytest.approx([-1 / 2, -1 / 2, 1])
    assert found["advantage.rloo"][far["rollout_id"]]["reason"] == "unknown: parse_failure"
    assert set(found["advantage.rloo"]) == {r["rollout_id"] for r in [*everyone, far]}
    assert rejects == {estimate["rollout_id"]: "continuation"}  # of the nearest rollouts, which label.* wrote
    alone, _ = advise(inputs, ["labels", "branches"], estimators=["rloo"])
    assert values(alone, "advantage.rloo", made) == [0, 0] and len(alone["advantage.rloo"]) == 2
    named, _ = advise(inputs, ["labels"], estimators=["rloo"], include_branches=["labels"])
    assert set(named["advantage.rloo"]) == {r["rollout_id"] for r in [*made, estimate]}


def test_the_whole_paths_of_a_tree_are_branches_and_their_parts_are_not():
    problem, made, scores = group("a", ["wrong", "correct"])
    part = branch(made[0], 0)  # judged by nobody: the path that ends with it is
    path = branch(part, 1, condition="tree")
    inputs = branched(problem, made, scores, [part, path], ["correct", "correct"], of="branches")
    judged = [score_row(path, "correct")]
    inputs._tables["branches"]["scores"] = SCORES.from_rows(judged)
    found, rejects = advise(inputs, ["branches"], estimators=["rloo"], include_branches=True)
    assert values(found, "advantage.rloo", [*made, path]) == [-1, 0.5, 0.5]
    assert rejects == {part["rollout_id"]: "continuation"}


def test_a_branch_that_leads_nowhere_is_a_reject():
    problem, made, scores = group("a", ["wrong", "correct"])
    lost = branch(made[0], 0, parent_rollout_id="r_gone")
    inputs = branched(problem, made, scores, [lost], ["correct"], of="branches")
    found, rejects = advise(inputs, ["branches"], estimators=["rloo"], include_branches=True)
    assert set(found["advantage.rloo"]) == {r["rollout_id"] for r in made}
    assert rejects == {lost["rollout_id"]: "continuation"}


# -- rewards of other stages ------------------------------------------------------------------------------------------

RANKED = stage_info("ranked", "measure.self_certainty", ("scores",), ("verdicts",))


def scored(problem, made, scores, numbers, scorers=("sure",)):
    said = [
        score_row(r, "wrong", kind="measure", scorer=s, verdict=None, value=v)
        for r, v in zip(made, numbers, strict=True)
        for s in scorers
    ]
    return MemoryInputs(
        [*ANCESTORS, RANKED],
        ["ranked"],
        {
            "problems": {"problems": PROBLEMS.from_rows([problem])},
            "rollouts": {"rollouts": ROLLOUTS.from_rows(made)},
            "verdicts": {"scores": SCORES.from_rows(scores)},
            "ranked": {"scores": SCORES.from_rows(said)},
        },
    )


def test_a_measure_can_be_the_reward():
    problem, made, scores = group("a", ["correct", "wrong", "wrong"])
    inputs = scored(problem, made, scores, [2.0, 4.0, None])
    found, _ = advise(inputs, "ranked", estimators=["grpo_no_std"], reward="ranked")
    assert values(found, "advantage.grpo_no_std", made) == [-1, 1, None]
    assert found["advantage.grpo_no_std"][made[2]["rollout_id"]]["reason"] == "no_reward"
    several = scored(problem, made, scores, [2.0, 4.0, float("nan")], ("sure", "fast"))
    with pytest.raises(UserError, match="several numbers a rollout: fast, sure; say which: ranked/fast"):
        advise(several, "ranked", estimators=["rloo"], reward="ranked")
    found, _ = advise(several, "ranked", estimators=["rloo"], reward="ranked/fast")
    assert values(found, "advantage.rloo", made) == [-2, 2, None]


def test_the_policy_s_own_confidence_is_a_number_too():
    problem, made, scores = group("a", ["correct", "wrong"])
    made = [r | {"logprobs": p} for r, p in zip(made, ([-1.0, -2.0], [-float("inf")]), strict=True)]
    found, _ = advise(inputs_of([problem], made, scores), estimators=["grpo"], reward="mean_logprob")
    assert [found["advantage.grpo"][r["rollout_id"]]["reason"] for r in made] == ["alone", "no_reward"]


# -- planning, and what rows depend on --------------------------------------------------------------------------------


def mistakes(ancestors, **fields):
    stage = Advantages("adv", Advantages.Config.model_validate({"use": Advantages.use, **fields}))
    return [field for field, _, _ in stage.check(ancestors)]


def test_planning():
    assert mistakes(ANCESTORS) == []
    assert mistakes(ANCESTORS[:2]) == ["of"]
    assert mistakes(ANCESTORS, verdicts="nobody") == ["verdicts"]
    assert mistakes(ANCESTORS, flawed="drop") == ["flawed"] and mistakes([*ANCESTORS, FLAWED], flawed="drop") == []
    assert mistakes([*ANCESTORS, LABELS], flawed="drop") == ["flawed"]
    assert mistakes(ANCESTORS, include_branches=True) == ["include_branches"]
    assert mistakes([*ANCESTORS, LABELS], include_branches=True) == ["include_branches"]
    assert mistakes([*ANCESTORS, BRANCH], include_branches=True) == []
    assert mistakes([*ANCESTORS, BRANCH], include_branches=["brunches"]) == ["include_branches.0"]
    assert mistakes(ANCESTORS, reward="nothing") == ["reward"] and mistakes(ANCESTORS, reward="verdicts") == []
    for bad in (
        {"estimators": []}, {"estimators": ["rloo", "rloo"]}, {"estimators": ["nsr"], "reward": "verdicts"},
        {"eps": -1}, {"estimators": ["ppo"]}, {"positive_weight": 2},
    ):  # fmt: skip
        with pytest.raises(ValidationError):
            Advantages.Config.model_validate({"use": Advantages.use, **bad})


GROUPS = st.lists(st.lists(st.sampled_from(["correct", "wrong", "unknown"]), max_size=6), min_size=1, max_size=4)


@settings(max_examples=25, deadline=None)
@given(GROUPS, st.randoms())
def test_rows_do_not_depend_on_order_or_partitions(groups, random):
    made = [group(str(i), verdicts) for i, verdicts in enumerate(groups)]
    everything = ["grpo", "grpo_no_std", "rloo", "psr", "nsr", "weighted", "oreal", "nft"]
    problems = [g[0] for g in made]
    rollouts, scores = [r for g in made for r in g[1]], [s for g in made for s in g[2]]
    random.shuffle(rollouts)
    random.shuffle(scores)
    whole, _ = advise(inputs_of(problems, rollouts, scores), estimators=everything)
    parts: dict = {}
    for g in made:
        for scorer, found in advise(inputs_of([g[0]], g[1], g[2]), estimators=everything)[0].items():
            parts.setdefault(scorer, {}).update(found)
    assert whole == parts
