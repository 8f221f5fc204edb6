"""`sample.tree` and `label.tree` in a world whose values are known."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest

from support.stages import stage_info
from support.toy_world import (
    ANCESTORS,
    STOP,
    ToyRenderer,
    ToyServices,
    inputs_of,
    problem_row,
    rows,
    true_value,
    verdict,
    world,
)
from synthflow import ids
from synthflow.contracts import Judgement, MemoryInputs
from synthflow.execute.coverage import check_coverage, check_keys
from synthflow.rollouts.views import verify_stages
from synthflow.schema import PROBLEMS, TABLES
from synthflow.stages.label.monte_carlo import MonteCarlo
from synthflow.stages.label.tree import LabelTree
from synthflow.stages.mine.pairs import MinePairs
from synthflow.stages.mine.traces import MineTraces
from synthflow.stages.sample.first import Sample
from synthflow.stages.sample.tree import SampleTree


def tree_stage(**fields):
    config = {"use": "sample.tree", "of": "problems", "verifier": "exact", "max_tokens": 200, **fields}
    return SampleTree("tree", SampleTree.Config.model_validate(config))


def grow(n_problems=3, services=None, names=None, **fields):
    problems = [problem_row(name) for name in names or map(str, range(n_problems))]
    inputs = MemoryInputs(ANCESTORS[:1], ["problems"], {"problems": {"problems": PROBLEMS.from_rows(problems)}})
    services = services or ToyServices()
    stage = tree_stage(**fields)
    assert not list(stage.check(inputs.ancestors))
    tables = stage.run(inputs, services)
    for name, table in tables.items():
        TABLES[name].conform(table)
    check_keys("tree", tables)
    check_coverage("tree", stage.covers, inputs, tables)
    return problems, tables, services


def above(problems, tables, *more, parents=("tree",)):
    """Inputs of a stage that reads the tree (and what `more` names as (info, tables))."""
    infos = [ANCESTORS[0], stage_info("tree", "sample.tree", ("rollouts", "scores"), ("problems",))]
    made = {"problems": {"problems": PROBLEMS.from_rows(problems)}, "tree": without_extras(tables)}
    for info, own in more:
        infos.append(info)
        made[info.name] = without_extras(own)
    return MemoryInputs(infos, list(parents), made)


def without_extras(tables):
    return {name: table for name, table in tables.items() if name not in ("telemetry", "rejects")}


def label(inputs, **fields):
    fields = {"use": "label.tree", "of": inputs.parents, **fields}
    stage = LabelTree("labels", LabelTree.Config.model_validate(fields))
    assert not list(stage.check(inputs.ancestors))
    tables = stage.run(inputs, ToyServices())
    for name, table in tables.items():
        TABLES[name].conform(table)
    check_keys("labels", tables)
    check_coverage("labels", stage.covers, inputs, tables)
    return tables


LABELS = stage_info("labels", "label.tree", ("steps", "step_values"), ("tree",))


# -- the search --------------------------------------------------------------------------------------------------------


def test_what_is_sampled_is_a_tree_of_rollouts():
    _, tables, services = grow(first=3, branch=2, iterations=5)
    found = {r["rollout_id"]: r for r in rows(tables, "rollouts")}
    by_condition = Counter(r["condition"] for r in found.values())
    assert by_condition == {"none": 9, "prefix": 30, "tree": 30} and len(services.sampled) == 39
    for row in found.values():
        parent = found.get(row["parent_rollout_id"])
        assert row["rollout_id"] == ids.rollout_id(
            row["problem_id"], row["policy_id"], 0, row["sampling_id"], row["prefix_id"], row["index"], 7
        )
        assert row["seed"] == ids.rollout_seed(row["rollout_id"])
        if row["condition"] == "prefix":
            prefix = parent["token_ids"][: row["branch_token"]]
            assert (
                parent["condition"] in ("none", "tree")
                and parent["prompt_token_ids"] + prefix == row["prompt_token_ids"]
            )
            assert row["prefix_id"] == ids.prefix_id(row["problem_id"], prefix)
            assert (
                parent["completion"].split("\n")[: row["branch_step"]] == ToyRenderer().decode(prefix).split("\n")[:-1]
            )
        if row["condition"] == "tree":
            assert parent["condition"] == "prefix"
            assert parent["prompt_token_ids"] + parent["token_ids"] == row["prompt_token_ids"] + row["token_ids"]
            assert row["completion"] == ToyRenderer().decode(row["token_ids"]) and row["completion"].count("=") == 1
            assert len(row["token_ids"]) == len(row["logprobs"]) == row["n_tokens"] and row["token_ids"][-1] == STOP
    scores = {s["target_id"]: s for s in rows(tables, "scores")}
    assert set(scores) == set(found)
    for name, row in found.items():
        if row["condition"] != "prefix":
            assert scores[name]["verdict"] == verdict(row["completion"]).verdict
        if row["condition"] == "tree":
            assert scores[row["parent_rollout_id"]]["verdict"] == scores[name]["verdict"]
    samplings = {s["sampling_id"]: s["condition"] for s in tree_stage().samplings()}
    assert {samplings[r["sampling_id"]] == r["condition"] for r in found.values()} == {True}


def test_a_problems_tree_is_its_own_whatever_stands_beside_it():
    _, together, _ = grow(names="abc", iterations=6)
    _, alone, _ = grow(names="b", iterations=6)
    other = rows(alone, "rollouts")
    same = [r for r in rows(together, "rollouts") if r["problem_id"] == other[0]["problem_id"]]
    by_id = lambda r: r["rollout_id"]  # noqa: E731
    assert sorted(same, key=by_id) == sorted(other, key=by_id)


@pytest.mark.parametrize("search", ["uct", "puct", "best_of_n"])
def test_the_control_spends_the_same_tokens(search):
    budget = 300
    _, tables, _ = grow(4, search=search, iterations=1000, tokens=budget, first=2, branch=2)
    assert {r["condition"] for r in rows(tables, "rollouts")} == (
        {"none"} if search == "best_of_n" else {"none", "prefix", "tree"}
    )
    spent = defaultdict(int)
    for row in rows(tables, "rollouts"):
        if row["condition"] != "tree":
            spent[row["problem_id"]] += row["n_tokens"]
    wave = 2 * 24  # tokens of a wave at most: two solutions of four lines
    assert all(budget <= s < budget + wave for s in spent.values()), spent


def test_a_search_is_resumed_from_what_was_sampled():
    """The same requests in the same order: a journal that has them answers without an engine."""
    _, _, first = grow(iterations=4)
    _, _, again = grow(iterations=4)
    assert [r.rollout_id for r in first.sampled] == [r.rollout_id for r in again.sampled]
    _, _, more = grow(iterations=6)
    assert {r.rollout_id for r in first.sampled} < {r.rollout_id for r in more.sampled}


def test_refused_truncated_and_odd_samples():
    class Odd(ToyServices):
        def judge(self, verifier, config, questions):
            return [Judgement.unknown("timeout") for _ in questions], "1", "c"

    _, tables, _ = grow(services=Odd(refuse=lambda r: len(r.prompt_token_ids) > 3), iterations=3)
    reasons = Counter(s["reason"] for s in rows(tables, "scores"))
    assert set(reasons) == {"timeout", "refused"}
    assert all(r["condition"] != "tree" or r["finish_reason"] == "stop" for r in rows(tables, "rollouts"))
    _, tables, _ = grow(max_tokens=6, iterations=3)
    assert {s["reason"] for s in rows(tables, "scores")} == {"truncated"}
    _, tables, _ = grow(max_tokens=6, iterations=3, truncated="wrong")
    assert {s["verdict"] for s in rows(tables, "scores")} == {"wrong"}


def test_without_a_tokenizer_it_is_best_of_n():
    class Blind(ToyServices):
        def renderer(self, policy):
            return None

        def sample(self, requests, policy):
            assert all(r.prompt_token_ids is None for r in requests)
            return [self._blind(r) for r in requests]

        def _blind(self, request):
            from synthflow.contracts import SampleResult

            return SampleResult(request.rollout_id, "= 1", "stop", n_tokens=3)

    _, tables, _ = grow(services=Blind(), iterations=3, first=2, branch=2)
    assert Counter(r["condition"] for r in rows(tables, "rollouts")) == {"none": 3 * 8}


def test_it_shares_its_samples_with_whoever_samples_alike():
    """The same parameters are the same sampling, so first rollouts and continuations have the ids that others give."""
    of = {s["condition"]: s["sampling_id"] for s in tree_stage().samplings()}
    sample = Sample("s", Sample.Config.model_validate({"use": "sample", "of": "problems", "max_tokens": 200}))
    steps = MonteCarlo(
        "m", MonteCarlo.Config.model_validate({"use": "label.monte_carlo", "of": "s", "max_tokens": 200})
    )
    assert [s["sampling_id"] for s in (*sample.samplings(), *steps.samplings())] == [of["none"], of["prefix"]]


def test_planning_names_mistakes():
    stage = tree_stage(verifier="mth")
    assert [m[0] for m in stage.check(ANCESTORS[:1])] == ["verifier"]
    assert [m[0] for m in tree_stage(verifier_options={"nope": 1}).check(ANCESTORS[:1])] == ["verifier_options.nope"]
    with pytest.raises(ValueError, match="temperature 0"):
        tree_stage(temperature=0)
    assert verify_stages([stage_info("t", "sample.tree", ("rollouts", "scores"))]) == ["t"]
    assert "+" in tree_stage().full_version() and "verifier_options" in tree_stage().identity()
    from synthflow.contracts.stage import Estimate

    flat, deep = (tree_stage(search=s).estimate(Estimate(problems=10)) for s in ("best_of_n", "uct"))
    assert flat.requests == deep.requests == 10 * (4 + 32) and deep.rows["rollouts"] == 10 * (36 + 32)


# -- labels ------------------------------------------------------------------------------------------------------------


def test_means_are_those_of_the_paths():
    problems, tables, _ = grow(iterations=8)
    inputs = above(problems, tables)
    labels = label(inputs, groups="all")
    whole = {r["rollout_id"]: r for r in rows(tables, "rollouts") if r["condition"] in ("none", "tree")}
    said = {s["target_id"]: s["verdict"] == "correct" for s in rows(tables, "scores")}
    steps = {s["step_id"]: s for s in rows(labels, "steps")}
    values = rows(labels, "step_values")
    assert {v["rollout_id"] for v in values} == set(whole)
    for value in values:
        row, step = whole[value["rollout_id"]], steps[value["step_id"]]
        tokens = row["token_ids"][: step["token_end"]]
        through = [
            said[name]
            for name, other in whole.items()
            if other["problem_id"] == row["problem_id"] and other["token_ids"][: len(tokens)] == tokens
        ]
        assert value["value"] == pytest.approx(np.mean(through), abs=1e-6)
        last = step["char_end"] == len(row["completion"])
        assert value["n"] == (0 if last else len(through)) and value["scale"] == "chance"
    reasons = {r["target_id"]: r["reason"] for r in rows(labels, "rejects")}
    assert set(reasons.values()) == {"continuation"} and len(reasons) == 3 * 16


def test_the_policys_chances_are_not_those_of_the_search():
    """A greedy search goes where it went well: its mean of the prompt is too high, the policy's own estimate is not."""
    problems, tables, _ = grow(60, first=6, branch=4, iterations=6, exploration=0.05)
    inputs = above(problems, tables)
    off = {}
    for rule in ("policy", "mean"):
        values = rows(label(inputs, rule=rule, groups="all"), "step_values")
        prompts = {v["problem_id"]: v["value_before"] for v in values if v["index"] == 0}
        errors = np.array([*prompts.values()]) - true_value("")
        off[rule] = errors.mean(), errors.std() / len(errors) ** 0.5
    assert abs(off["policy"][0]) < 3 * off["policy"][1]
    assert off["mean"][0] > 5 * off["mean"][1]


def test_scores_of_a_tree():
    problems, tables, _ = grow(iterations=8)
    inputs = above(problems, tables)
    said = {s["target_id"]: s["verdict"] for s in rows(tables, "scores")}
    for rule in ("hard", "rest_mcts"):
        values = rows(label(inputs, rule=rule), "step_values")
        assert values and all(0 <= v["value"] <= 1 and v["value_low"] is None for v in values)
        last = {v["rollout_id"]: v for v in sorted(values, key=lambda v: v["index"])}
        assert all(v["value"] == 1 for v in last.values() if said[v["rollout_id"]] == "correct")
        assert {v["scale"] for v in values} == {"score"}
        for value in values:
            if value["is_first_error"]:
                assert said[value["rollout_id"]] == "wrong" and value["value"] <= value["value_before"]
        if rule == "rest_mcts":
            assert {v["value_before"] for v in values if v["index"] == 0} == {0.0}
            assert all(v["value"] < 1 for v in last.values() if said[v["rollout_id"]] == "wrong")


def test_a_flat_group_is_the_depth_1_case():
    problems, rollouts, scores = world(4, 8)
    inputs = inputs_of(problems, rollouts, scores)
    labels = label(inputs, groups="all")
    by_prefix = defaultdict(list)
    for row in rollouts:
        by_prefix[row["problem_id"], row["completion"].split("\n")[0]].append(verdict(row["completion"]).value)
    of = {r["rollout_id"]: r for r in rollouts}
    for value in rows(labels, "step_values"):
        if value["index"] == 0:
            row = of[value["rollout_id"]]
            outcomes = by_prefix[row["problem_id"], row["completion"].split("\n")[0]]
            assert value["value"] == pytest.approx(np.mean(outcomes), abs=1e-6) and value["n"] == len(outcomes)
    same = label(inputs, groups="all", rule="policy")
    assert [v["value"] for v in rows(same, "step_values")] == [v["value"] for v in rows(labels, "step_values")]


def test_which_trees_are_labelled():
    problems, rollouts, scores = world(12, 2)
    labels = label(inputs_of(problems, rollouts, scores))
    said = {s["target_id"]: s["verdict"] for s in scores}
    groups = defaultdict(set)
    for row in rollouts:
        groups[row["problem_id"]].add(said[row["rollout_id"]])
    reasons = {r["target_id"]: r["reason"] for r in rows(labels, "rejects")}
    for row in rollouts:
        found = groups[row["problem_id"]]
        wanted = None if len(found) == 2 else "tree_all_correct" if found == {"correct"} else "tree_all_wrong"
        assert reasons.get(row["rollout_id"]) == wanted
    everything = label(inputs_of(problems, rollouts, scores), groups="all", rule="rest_mcts")
    assert {r["reason"] for r in rows(everything, "rejects")} == {"no_correct_path"}
    few = label(inputs_of(problems, rollouts, scores), groups="all", rollouts_per_problem=1)
    assert Counter(r["reason"] for r in rows(few, "rejects")) == {"not_selected": 12}


# -- what is mined -----------------------------------------------------------------------------------------------------


def mine(stage_class, inputs, **fields):
    made = stage_class("mined", stage_class.Config.model_validate({"use": stage_class.use, "of": "labels", **fields}))
    assert not list(made.check(inputs.ancestors))
    tables = made.run(inputs, ToyServices())
    for name, table in tables.items():
        TABLES[name].conform(table)
    check_keys("mined", tables)
    check_coverage("mined", made.covers, inputs, tables)
    return tables


def labelled(rule="mean", **fields):
    problems, tables, _ = grow(iterations=10, branch=3, **fields)
    labels = label(above(problems, tables), rule=rule)
    return tables, labels, above(problems, tables, (LABELS, labels), parents=("labels",))


@pytest.mark.parametrize("rule", ["mean", "policy", "rest_mcts"])
def test_siblings_of_a_tree_are_pairs(rule):
    tables, labels, inputs = labelled(rule)
    pairs = rows(mine(MinePairs, inputs, level="step", rules=["sibling"], siblings="extremes", min_gap=0.2), "pairs")
    assert len(pairs) > 2
    of = {r["rollout_id"]: r for r in rows(tables, "rollouts")}
    steps = {s["step_id"]: s for s in rows(labels, "steps")}
    values = {v["step_id"]: v for v in rows(labels, "step_values")}
    for pair in pairs:
        better, worse = steps[pair["chosen_step_id"]], steps[pair["rejected_step_id"]]
        tokens = [of[s["rollout_id"]]["token_ids"][: s["token_start"]] for s in (better, worse)]
        assert tokens[0] == tokens[1] and better["char_start"] == worse["char_start"] == len(pair["prefix"])
        assert pair["margin"] == pytest.approx(values[better["step_id"]]["value"] - values[worse["step_id"]]["value"])
        assert 0 < pair["visit_confidence"] < 1 and (pair["margin_se"] is None) == (rule == "rest_mcts")
    by_prefix = Counter((p["problem_id"], p["prefix"]) for p in pairs)
    assert set(by_prefix.values()) == {1}, "one pair a node"


def test_the_best_traces_are_kept():
    tables, labels, inputs = labelled()
    scores = rows(mine(MineTraces, inputs, max_per_problem=2), "scores")
    said = {s["target_id"]: s["verdict"] for s in rows(tables, "scores")}
    whole = [r for r in rows(tables, "rollouts") if r["condition"] in ("none", "tree")]
    assert {s["target_id"] for s in scores} == {r["rollout_id"] for r in whole}
    kept = [s for s in scores if s["value"] == 1]
    assert kept and all(said[s["target_id"]] == "correct" for s in kept)
    assert max(Counter(s["problem_id"] for s in kept).values()) <= 2
    assert all(s["reason"] for s in scores if s["value"] == 0)
    mean = defaultdict(list)
    for value in rows(labels, "step_values"):
        mean[value["rollout_id"]].append(value["value"])
    for problem in {s["problem_id"] for s in kept}:
        best = max(np.mean(v) for name, v in mean.items() if said[name] == "correct" and name in
                   {r["rollout_id"] for r in whole if r["problem_id"] == problem})  # fmt: skip
        assert max(float(s["detail"]) for s in kept if s["problem_id"] == problem) == pytest.approx(best, abs=1e-5)
