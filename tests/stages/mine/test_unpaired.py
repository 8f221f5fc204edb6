"""Positives and negatives with weights: each rule by hand, and that no group is looked at twice."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from support.stages import stage_info
from support.toy_world import ANCESTORS, ToyServices, problem_row, rollout_row, rows, score_row
from synthflow.contracts import MemoryInputs
from synthflow.execute.coverage import check_coverage, check_keys
from synthflow.schema import PROBLEMS, ROLLOUTS, SCORES
from synthflow.stages.mine.unpaired import Unpaired

SECOND = stage_info("second", "verify.math", ("scores",), ("rollouts",))


def world(groups, filters=(), second=None):
    """Groups of (verdict, text) with, where `second` is given, the verdicts of another verify stage."""
    problems, rollouts, scores, others = [], [], [], []
    for number, group in enumerate(groups):
        problem = problem_row(str(number))
        problems.append(problem)
        for i, verdict in enumerate(group):
            rollouts.append(rollout_row(problem, i, f"text {i}"))
            scores.append(score_row(rollouts[-1], verdict))
            if second is not None:
                others.append(score_row(rollouts[-1], second[number][i], scorer="math"))
    dropped = [score_row(rollouts[i], "wrong", kind="filter", scorer="toy", verdict=None, value=0.0) for i in filters]
    more = [SECOND] if second is not None else []
    keep = stage_info("keep", "filter.toy", ("scores",), ("verdicts", *(a.name for a in more)))
    inputs = MemoryInputs(
        [*ANCESTORS, *more, keep],
        ["keep"],
        {
            "problems": {"problems": PROBLEMS.from_rows(problems)},
            "rollouts": {"rollouts": ROLLOUTS.from_rows(rollouts)},
            "verdicts": {"scores": SCORES.from_rows(scores)},
            "second": {"scores": SCORES.from_rows(others)},
            "keep": {"scores": SCORES.from_rows(dropped)},
        },
    )
    return inputs, rollouts


def unpair(inputs, **fields):
    """{rollout_id: (weight, reason, detail)}."""
    stage = Unpaired("u", Unpaired.Config.model_validate({"use": Unpaired.use, "of": "keep", **fields}))
    assert not list(stage.check(inputs.ancestors))
    tables = stage.run(inputs, ToyServices())
    check_keys("u", tables)
    check_coverage("u", stage.covers, inputs, tables)
    made = rows(tables, "scores")
    assert {r["scorer"] for r in made} <= {f"mine.{fields.get('rule', 'all')}"}
    assert all((r["value"] is None) == (r["reason"] is not None) for r in made)
    return {r["target_id"]: (r["value"], r["reason"], r["detail"]) for r in made}


def weights(groups, **fields):
    filters, second = fields.pop("filters", ()), fields.pop("second", None)
    inputs, rollouts = world(groups, filters, second)
    made = unpair(inputs, **fields)
    return [made[r["rollout_id"]][:2] for r in rollouts]


C, W, U = "correct", "wrong", "unknown"


def test_the_rules_of_weights_by_hand():
    group = [[C, W, U]]
    unknown = (None, "unknown: parse_failure")
    assert weights(group) == [(1, None), (-1, None), unknown]
    assert weights(group, rule="psr") == [(1, None), (None, "wrong"), unknown]
    assert weights(group, rule="nsr") == [(None, "right"), (-1, None), unknown]
    assert weights(group, rule="weighted") == [(pytest.approx(0.1), None), (-1, None), unknown]
    assert weights(group, rule="weighted", positive_weight=0.25)[0] == (0.25, None)
    assert weights(group, unknown="wrong")[2] == (-1, None)


def test_what_cannot_be_trained_on_is_neither():
    made = weights([[C, W, C]], filters=[0])
    assert made == [(None, "filtered: toy: dropped"), (-1, None), (1, None)]
    inputs, rollouts = world([[C, W]])
    table = [r | ({"completion": ""} if r["index"] == 0 else {}) for r in rollouts]
    inputs._tables["rollouts"]["rollouts"] = ROLLOUTS.from_rows(table)
    assert unpair(inputs)[rollouts[0]["rollout_id"]][:2] == (None, "empty")


def test_redi_takes_the_first_positive_and_the_first_negative():
    assert weights([[W, C, W, C]], rule="redi") == [(-1, None), (1, None), (None, "not_first"), (None, "not_first")]
    assert weights([[W, W]], rule="redi") == [(None, "no_positive")] * 2
    assert weights([[C, C]], rule="redi") == [(1, None), (None, "not_first")]
    assert weights([[C, C, W]], rule="redi", filters=[0])[1:] == [(1, None), (-1, None)]


def test_a_consensus_is_of_all():
    """One `wrong` is enough; an unknown beside a correct one is unknown, and negative where the recipe says so."""
    first, second = [[C, C, C, W, U, U]], [[C, W, U, U, C, W]]
    fields = {"consensus": ["verdicts", "second"], "second": second}
    made = weights(first, **fields)
    assert [w for w, _ in made] == [1, -1, None, -1, None, -1]
    assert made[2][1] == made[4][1] == "unknown: parse_failure"
    assert [w for w, _ in weights(first, unknown="wrong", **fields)] == [1, -1, -1, -1, -1, -1]
    redi = weights(first, rule="redi", unknown="wrong", **fields)
    assert [w for w, _ in redi] == [1, -1, None, None, None, None]


def test_oreal_draws_one_of_each_side_of_mixed_groups():
    inputs, rollouts = world([[C, W, C, W, U], [C, C], [W, W, U], [W, C]])
    made = unpair(inputs, rule="oreal")
    for side, weight in ((C, 1), (W, -0.5)):
        own = sorted(r["rollout_id"] for r in rollouts[:5] if r["index"] in ((0, 2) if side == C else (1, 3)))
        assert [made[r][0] for r in own] == [weight, None] and made[own[1]][1] == "not_drawn"
    assert made[rollouts[0]["rollout_id"]][2] == "2 of 4 right"
    assert {made[r["rollout_id"]][1] for r in rollouts[5:7]} == {"group_all_correct"}
    assert [made[r["rollout_id"]][1] for r in rollouts[7:10]] == ["group_all_wrong"] * 2 + ["unknown: parse_failure"]
    assert [made[r["rollout_id"]][0] for r in rollouts[10:]] == [-0.5, 1]
    # The group is mixed by what the policy did; but with nothing left on one side there is nobody to draw.
    assert [r for _, r in weights([[C, W, W]], rule="oreal", filters=[0])][1:] == ["no_partner"] * 2


def mistakes(ancestors, **fields):
    stage = Unpaired("u", Unpaired.Config.model_validate({"use": Unpaired.use, **fields}))
    return [field for field, _, _ in stage.check(ancestors)]


def test_planning():
    two = [*ANCESTORS, SECOND]
    assert mistakes(ANCESTORS) == [] and mistakes(two) == ["verdicts"] and mistakes(two, verdicts="second") == []
    assert mistakes(two, consensus=["verdicts", "second"]) == []
    assert mistakes(two, consensus=["verdicts", "secund"]) == ["consensus.1"]
    for bad in ({"consensus": ["a"]}, {"consensus": ["a", "a"]}, {"consensus": ["a", "b"], "verdicts": "a"},
                {"rule": "kto"}, {"negative_weight": 0}):  # fmt: skip
        with pytest.raises(ValidationError):
            Unpaired.Config.model_validate({"use": Unpaired.use, **bad})


GROUPS = st.lists(st.lists(st.sampled_from([C, W, U]), max_size=7), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None)
@given(GROUPS, st.sampled_from(["all", "psr", "nsr", "weighted", "redi", "oreal"]), st.booleans())
def test_properties(groups, rule, strict):
    inputs, rollouts = world(groups)
    made = unpair(inputs, rule=rule, unknown="wrong" if strict else "ignore")
    by_problem = {}
    for r, verdict in zip(rollouts, [v for group in groups for v in group], strict=True):
        side = verdict if verdict != U else (W if strict else None)
        weight = made[r["rollout_id"]][0]
        assert weight is None or (weight > 0) == (side == C)  # nobody changes sides
        by_problem.setdefault(r["problem_id"], []).append((side, weight))
    for own in by_problem.values():
        sides, taken = Counter(s for s, _ in own), Counter(s for s, w in own if w is not None)
        mixed = sides[C] > 0 and sides[W] > 0
        expected = {
            "all": (sides[C], sides[W]), "weighted": (sides[C], sides[W]), "psr": (sides[C], 0), "nsr": (0, sides[W]),
            "redi": (min(sides[C], 1), int(mixed)), "oreal": (int(mixed), int(mixed)),
        }  # fmt: skip
        assert (taken[C], taken[W]) == expected[rule]
