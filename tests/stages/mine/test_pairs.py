"""Pairs of responses and of steps: what may be paired, what is chosen, and what each says of itself."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from support.stages import stage_info
from support.toy_world import (
    ANCESTORS,
    ToyRenderer,
    ToyServices,
    inputs_of,
    problem_row,
    rollout_row,
    rows,
    score_row,
    verdict,
    world,
)
from synthflow import ids
from synthflow.contracts import MemoryInputs
from synthflow.execute.coverage import check_coverage, check_keys
from synthflow.schema import PROBLEMS, ROLLOUTS, SCORES, STEP_VALUES, STEPS
from synthflow.stages.label.monte_carlo import MonteCarlo
from synthflow.stages.mine.choose import Candidate, Candidates, Side, choose, chosen_rows
from synthflow.stages.mine.pairs import MinePairs


def mine(inputs, **fields):
    stage = MinePairs("pairs", MinePairs.Config.model_validate({"use": MinePairs.use, "of": "keep", **fields}))
    assert not list(stage.check(inputs.ancestors))
    tables = stage.run(inputs, ToyServices())
    check_keys("pairs", tables)
    check_coverage("pairs", stage.covers, inputs, tables)
    return rows(tables, "pairs"), {r["target_id"]: r["reason"] for r in rows(tables, "rejects")}


def group(name, texts, **changed):
    problem = problem_row(name)
    made = [rollout_row(problem, i, t, **changed) for i, t in enumerate(texts)]
    return problem, made, [score_row(r, verdict(r["completion"]).verdict) for r in made]


def of_groups(*groups, filters=()):
    problems = {g[0]["problem_id"]: g[0] for g in groups}
    return inputs_of(
        list(problems.values()), [r for g in groups for r in g[1]], [s for g in groups for s in g[2]], filters
    )


# -- responses --------------------------------------------------------------------------------------------------------


def test_a_response_pair_cites_its_rollouts():
    problem, made, scores = group("a", ["x= 1", "y= 0"])
    pairs, rejects = mine(of_groups((problem, made, scores)))
    (pair,) = pairs
    assert (pair["chosen"], pair["rejected"], pair["prefix"], pair["level"]) == ("x= 1", "y= 0", "", "response")
    assert (pair["chosen_rollout_id"], pair["rejected_rollout_id"]) == tuple(r["rollout_id"] for r in made)
    assert (pair["margin"], pair["margin_se"], pair["chosen_value"], pair["rejected_value"]) == (1, 0, 1, 0)
    assert pair["rule"] == "verdict" and pair["chosen_step_id"] is pair["rejected_step_id"] is None
    assert pair["prompt"] == problem["prompt"] and not rejects


def test_a_hinted_prompt_is_not_trained_on():
    plain = [{"role": "user", "content": "plain"}]
    pairs, _ = mine(of_groups(group("a", ["x= 1", "y= 0"], train_prompt=plain)))
    assert pairs[0]["prompt"] == plain


def test_why_a_problem_has_no_pair():
    groups = {
        "mixed": group("mixed", ["a= 1", "b= 0"]),
        "right": group("right", ["a= 1", "b= 1"]),
        "unknown": group("unknown", ["a= 1", "b?"]),
        "long": group("long", ["a= 1", "b" * 40 + "= 0"]),
        "dropped": group("dropped", ["a= 1", "b= 0"]),
        "none": (problem_row("none"), [], []),
        "empty": group("empty", ["a= 1", ""]),
    }
    groups["empty"][2][1] |= {"verdict": "wrong"}
    lost = score_row(groups["dropped"][1][0], "wrong", kind="filter", scorer="toy", verdict=None, value=0.0)
    pairs, rejects = mine(of_groups(*groups.values(), filters=[lost]))
    assert [p["problem_id"] for p in pairs] == [groups["mixed"][0]["problem_id"]]
    assert {name: rejects.get(g[0]["problem_id"]) for name, g in groups.items()} == {
        "mixed": None, "right": "no_mixed_group", "unknown": "no_mixed_group", "long": "no_pair_within_limits",
        "dropped": "no_mixed_group", "none": "no_rollouts", "empty": "no_mixed_group",
    }  # fmt: skip
    assert len(mine(of_groups(groups["long"]), max_length_ratio=None)[0]) == 1


def test_groups_are_never_mixed():
    one, two = group("a", ["x= 1", "z= 1"]), group("a", ["y= 0"], sampling_id="g_two")
    assert mine(of_groups(one, two))[1] == {one[0]["problem_id"]: "no_mixed_group"}


def test_rollouts_are_used_evenly_and_texts_once():
    texts = [f"right {i}= 1" for i in range(4)] + [f"wrong {i}= 0" for i in range(4)] + ["right 0= 1", "wrong 0= 0"]
    pairs, _ = mine(of_groups(group("a", texts)), max_per_problem=8)
    for side in ("chosen", "rejected"):
        assert set(Counter(p[side] for p in pairs).values()) == {2}
    assert len({(p["chosen"], p["rejected"]) for p in pairs}) == 8
    assert len(mine(of_groups(group("a", texts)), max_per_problem=1000)[0]) == 16


SIDES = st.lists(st.tuples(st.booleans(), st.integers(1, 30)), max_size=14)


@settings(max_examples=40, deadline=None)
@given(SIDES, st.integers(1, 6), st.sampled_from([1.0, 1.5, None]), st.randoms())
def test_properties_of_response_pairs(sides, most, ratio, random):
    texts = [f"{'x' * size}{i}= {int(right)}" for i, (right, size) in enumerate(sides)]
    problem, made, scores = group("a", texts)
    pairs, _ = mine(inputs_of([problem], made, scores), max_per_problem=most, max_length_ratio=ratio)
    by_id = {r["rollout_id"]: r for r in made}
    for pair in pairs:
        chosen, rejected = by_id[pair["chosen_rollout_id"]], by_id[pair["rejected_rollout_id"]]
        assert pair["chosen"] == chosen["completion"] and pair["rejected"] == rejected["completion"]
        assert pair["chosen"].endswith("1") and pair["rejected"].endswith("0")
        sizes = sorted((chosen["n_tokens"], rejected["n_tokens"]))
        assert pair["length_ratio"] == pytest.approx(sizes[1] / sizes[0]) and (
            not ratio or sizes[1] <= ratio * sizes[0]
        )
    fits = sum(
        not ratio or max(a["n_tokens"], b["n_tokens"]) <= ratio * min(a["n_tokens"], b["n_tokens"])
        for a, b in itertools.product(made, made)
        if a["completion"].endswith("1") and b["completion"].endswith("0")
    )
    assert len(pairs) == min(most, fits)
    random.shuffle(made)
    random.shuffle(scores)
    assert mine(inputs_of([problem], made, scores), max_per_problem=most, max_length_ratio=ratio)[0] == pairs


# -- steps ------------------------------------------------------------------------------------------------------------

LABELS = stage_info(
    "labels", MonteCarlo.use, ("steps", "rollouts", "scores", "step_values"), ("verdicts",), {"segmenter": "lines"}
)


def labelled(problems, rollouts, scores, renderer=None, filters=(), **fields):
    """Inputs of a miner that reads a label stage which has run."""
    keep = stage_info("keep", "filter.toy", ("scores",), ("labels",))
    stage = MonteCarlo("labels", MonteCarlo.Config.model_validate({"use": MonteCarlo.use, "of": "verdicts", **fields}))
    tables = {
        "problems": {"problems": PROBLEMS.from_rows(problems)},
        "rollouts": {"rollouts": ROLLOUTS.from_rows(rollouts)},
        "verdicts": {"scores": SCORES.from_rows(scores)},
        "keep": {"scores": SCORES.from_rows(filters)},
    }
    services = ToyServices(renderer)
    made = stage.run(MemoryInputs([*ANCESTORS, keep], ["verdicts"], tables), services)
    written = {name: table for name, table in made.items() if name in LABELS.writes}
    return MemoryInputs([*ANCESTORS, LABELS, keep], ["keep"], tables | {"labels": written}), made


def check_step_pairs(pairs, inputs, made, min_gap):
    """What every step pair must satisfy, checked from the tables alone."""
    steps = {s["step_id"]: s for s in made["steps"].to_pylist()}
    values = {v["step_id"]: v for v in made["step_values"].to_pylist()}
    everything = {r["rollout_id"]: r for r in [*inputs.frame("rollouts").rows(named=True)]}
    for pair in pairs:
        step, value = steps[pair["rejected_step_id"]], values[pair["rejected_step_id"]]
        rejected = everything[pair["rejected_rollout_id"]]
        assert step["rollout_id"] == rejected["rollout_id"]
        assert rejected["completion"][: step["char_start"]] == pair["prefix"]
        assert rejected["completion"][step["char_start"] : step["char_end"]] == pair["rejected"]
        tokens = rejected["prompt_token_ids"] + rejected["token_ids"][: step["token_start"]]
        chosen = everything[pair["chosen_rollout_id"]]
        if pair["rule"] == "sibling":
            better = steps[pair["chosen_step_id"]]
            assert chosen["completion"][: better["char_end"]] == pair["prefix"] + pair["chosen"]
            assert chosen["prompt_token_ids"] + chosen["token_ids"][: better["token_start"]] == tokens
            assert pair["chosen_value"] == values[pair["chosen_step_id"]]["value"]
        else:
            whole = (pair["prefix"] if chosen["condition"] == "prefix" else "") + chosen["completion"]
            assert pair["rule"] == "continuation" and whole.startswith(pair["prefix"] + pair["chosen"])
            assert verdict(whole).verdict == "correct" and pair["chosen_step_id"] is None
            if chosen["condition"] == "prefix":
                assert chosen["prompt_token_ids"] == tokens
            assert pair["margin"] == pytest.approx(-value["advantage"])
            assert pair["margin_se"] == pytest.approx(value["advantage_se"])
        assert pair["chosen"] != pair["rejected"]
        assert pair["margin"] == pytest.approx(pair["chosen_value"] - pair["rejected_value"], abs=1e-6)
        assert pair["rejected_value"] == value["value"] and pair["margin"] >= min_gap - 1e-5


@pytest.mark.parametrize("max_steps", [64, 3])
@pytest.mark.parametrize("rules", [["sibling"], ["continuation"], ["sibling", "continuation"]])
def test_step_pairs_on_the_toy_world(rules, max_steps):
    inputs, made = labelled(*world(6, 10), n=8, max_steps=max_steps)
    pairs, _ = mine(inputs, level="step", rules=rules, max_per_problem=12, min_gap=0.2)
    assert pairs and {p["rule"] for p in pairs} <= set(rules)
    assert max_steps < 64 or {p["rule"] for p in pairs} == set(rules)
    check_step_pairs(pairs, inputs, made, 0.2)
    # The world's truth: what is rejected is mostly a bad line or something after it.
    bad = [("bad" in p["rejected"] or p["rejected"] == "= 0") for p in pairs]
    assert max_steps < 64 or sum(bad) / len(bad) > 0.5
    rank = [("sibling", "continuation").index(p["rule"]) for p in pairs if p["problem_id"] == pairs[0]["problem_id"]]
    assert rank == sorted(rank)


def test_step_pairs_are_the_same_whatever_the_partitions():
    problems, rollouts, scores = world(5, 8)
    whole, _ = mine(labelled(problems, rollouts[::-1], scores[::-1])[0], level="step")
    parts = []
    for problem in problems:
        own = [[x for x in xs if x["problem_id"] == problem["problem_id"]] for xs in (rollouts, scores)]
        parts += mine(labelled([problem], *own)[0], level="step")[0]
    assert sorted(whole, key=str) == sorted(parts, key=str) and whole


def test_significance_asks_for_more():
    inputs, made = labelled(*world(6, 10), n=8)
    loose, _ = mine(inputs, level="step", max_per_problem=50)
    strict, _ = mine(inputs, level="step", max_per_problem=50, require_significance=True)
    assert 0 < len(strict) < len(loose)
    values = {v["step_id"]: v for v in made["step_values"].to_pylist()}
    for pair in strict:
        if pair["rule"] == "sibling":
            assert values[pair["chosen_step_id"]]["value_low"] > values[pair["rejected_step_id"]]["value_high"]
        else:
            assert pair["margin"] > 1.95 * pair["margin_se"]


def test_hand_made_siblings():
    """After `a` come `b` (0.75), `c` (0.25) and again `b`; the prompt's own step has no sibling."""
    problem, made, scores = group("a", ["a\nb\n= 1", "a\nc\n= 0", "a\nb\n= 0"])
    numbers = [[(0.5, 8), (0.75, 8), (1.0, 0)], [(0.5, 8), (0.25, 8), (0.0, 0)], [(0.5, 8), (0.75, 8), (0.0, 0)]]
    steps, values = [], []
    for row, own in zip(made, numbers, strict=True):
        before = 2 / 3
        for k, (value, n) in enumerate(own):
            common = {
                "step_id": ids.step_id(row["rollout_id"], "lines", k), "problem_id": row["problem_id"],
                "rollout_id": row["rollout_id"], "index": k, "stage_id": "h",
            }  # fmt: skip
            end = min(2 * k + 2, len(row["completion"])) if k < 2 else len(row["completion"])
            tokens = end if k < 2 else end + 1
            steps.append(common | {
                "segmenter": "lines", "char_start": 2 * k, "char_end": end, "token_start": 2 * k, "token_end": tokens,
            })  # fmt: skip
            values.append(common | {
                "labeler": "monte_carlo", "labeler_version": "1", "config_hash": "c", "policy_id": "m_toy",
                "scale": "chance",
                "value_before": before, "value": value, "n": n, "successes": round(value * n), "n_unknown": 0,
                "value_low": value - 0.1 if n else value, "value_high": value + 0.1 if n else value,
                "advantage": value - before, "advantage_se": 0.2, "tokens_spent": 0,
            })  # fmt: skip
            before = value
    inputs = MemoryInputs(
        [*ANCESTORS, LABELS],
        ["labels"],
        {
            "problems": {"problems": PROBLEMS.from_rows([problem])},
            "rollouts": {"rollouts": ROLLOUTS.from_rows(made)},
            "verdicts": {"scores": SCORES.from_rows(scores)},
            "labels": {"steps": STEPS.from_rows(steps), "step_values": STEP_VALUES.from_rows(values)},
        },
    )
    pairs, _ = mine(inputs, level="step", rules=["sibling"])
    found = {(p["prefix"], p["chosen"], p["rejected"]): p for p in pairs}
    assert set(found) == {("a\n", "b\n", "c\n"), ("a\nb\n", "= 1", "= 0")}
    pair = found["a\n", "b\n", "c\n"]
    # Both errors are sqrt(.668898 · .331102 / 8) = .166386 (6/8 and its mirror), together .235305.
    assert pair["margin"] == pytest.approx(0.5) and pair["margin_se"] == pytest.approx(0.235305, abs=1e-6)
    last = found["a\nb\n", "= 1", "= 0"]
    assert (last["margin"], last["margin_se"], last["length_ratio"]) == (1, 0, 1)
    # A margin of exactly the gap is enough, and the better step stays the chosen one.
    assert mine(inputs, level="step", rules=["sibling"], min_gap=0.5)[0] == pairs
    assert mine(inputs, level="step", rules=["sibling"], min_gap=0.51)[0] == [last]
    # `c` also loses .25 against its prefix: enough for 0.2, with `b` excluded since it has a value of its own.
    assert not mine(inputs, level="step", rules=["continuation"], min_gap=0.2)[0]


def test_a_straddling_token_never_doubles_text():
    renderer = ToyRenderer(["\nok"])
    problem = problem_row("x")
    tails = ("ok1\nok2\nok0\n", "bad1\nok2\nok0\n", "ok2\nbad0\n")
    texts = [f"ok0\n{lines}= {n}" for lines in tails for n in (0, 1)]
    made = [rollout_row(problem, i, t, renderer=renderer) for i, t in enumerate(texts)]
    scores = [score_row(r, verdict(r["completion"]).verdict) for r in made]
    inputs, tables = labelled([problem], made, scores, renderer, n=12)
    pairs, _ = mine(inputs, level="step", min_gap=0.05, max_per_problem=100, max_length_ratio=None)
    check_step_pairs(pairs, inputs, tables, 0.05)


def test_dropped_rollouts_are_in_no_step_pair():
    problems, rollouts, scores = world(4, 8)
    lost = {r["rollout_id"] for r in rollouts[::2]}
    filters = [
        score_row(r, "wrong", kind="filter", scorer="toy", verdict=None, value=0.0, reason="x") for r in rollouts[::2]
    ]
    inputs, _ = labelled(problems, rollouts, scores, filters=filters)
    pairs, _ = mine(inputs, level="step", min_gap=0.1, max_per_problem=50)
    assert pairs and not {p[c] for p in pairs for c in ("chosen_rollout_id", "rejected_rollout_id")} & lost


def test_why_a_problem_has_no_step_pair():
    lone = group("lone", ["a\n= 1", "b\n= 1"])
    flat = group("flat", ["= 1", "= 0"])
    problems, rollouts, scores = ([x for g in (lone, flat) for x in ([g[0]] if i == 0 else g[i])] for i in range(3))
    inputs, _ = labelled(problems, rollouts, scores)
    pairs, rejects = mine(inputs, level="step")
    assert rejects == {lone[0]["problem_id"]: "no_labelled_steps"} and len(pairs) == 1
    assert mine(inputs, level="step", rules=["continuation"], min_gap=0.6)[1][flat[0]["problem_id"]] in (
        "no_pair_within_limits",
        "no_two_steps_after_one_prefix",
    )


# -- configuration and choice -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [{"min_gap": 0.2}, {"labels": "x"}, {"require_significance": True}])
def test_fields_of_steps_are_mistakes_for_responses(fields):
    with pytest.raises(ValidationError, match="level: step"):
        MinePairs.Config(use=MinePairs.use, **fields)


def test_planning_wants_labels():
    def mistakes(ancestors, **fields):
        return [m[0] for m in MinePairs("p", MinePairs.Config(use=MinePairs.use, **fields)).check(ancestors)]

    second = stage_info("more", MonteCarlo.use, LABELS.writes, ("verdicts",))
    assert mistakes(ANCESTORS, level="step") == ["level"]
    assert mistakes([*ANCESTORS, LABELS, second], level="step") == ["labels"]
    assert mistakes([*ANCESTORS, LABELS, second], level="step", labels="more") == []
    assert mistakes([*ANCESTORS, LABELS], level="step", labels="nope") == ["labels"]
    assert mistakes(ANCESTORS[:2]) == ["of"]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(6, 11), st.integers(1, 9), st.integers(0, 1)), max_size=40),
    st.integers(1, 20),
    st.randoms(),
)
def test_choice_is_even_and_fixed(edges, most, random):
    def side(number, value):
        return Side(f"r{number}", f"t{number}", 5, value, value, value)

    edges = list({e[:2]: e for e in edges}.values())
    made = [
        Candidate(("verdict", "sibling")[rule], "x", "", side(a, size / 10), side(b, 0.0), 0.0, True)
        for a, b, size, rule in edges
    ]
    picked = choose(made, most, "step")
    assert len(picked) == min(most, len(made))
    random.shuffle(made)
    assert choose(made, most, "step") == picked
    # An independent, slow reading of the rule.
    left, uses, expected = list(made), defaultdict(int), []
    while left and len(expected) < most:
        best = min(
            left,
            key=lambda c: (
                c.rule != "verdict",
                uses[c.chosen.rollout_id] + uses[c.rejected.rollout_id],
                -c.margin,
                c.length_ratio,
                c.pair_id("step"),
            ),
        )
        left.remove(best)
        uses[best.chosen.rollout_id] += 1
        uses[best.rejected.rollout_id] += 1
        expected.append(best)
    assert expected == picked


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(*[st.integers(0, n) for n in (2, 3, 3, 1, 1, 2)]), max_size=30, unique_by=lambda c: (c[0], c[1], c[2])
    ),
    st.integers(1, 5),
)
def test_problems_are_chosen_of_side_by_side_as_each_alone(drawn, most):
    """Rows are (problem, chosen, rejected, rule, rank, length); a problem's rollouts are its own."""
    rows = np.array(drawn, np.int64).reshape(-1, 6)
    columns = Candidates(
        problem=rows[:, 0],
        rule=rows[:, 3],
        rank=rows[:, 4].astype(float),
        margin=np.ones(len(rows)),
        length_ratio=1.0 + rows[:, 5],
        texts=rows[:, 1] % 2 * 4 + rows[:, 2],
        chosen=rows[:, 0] * 8 + rows[:, 1],
        rejected=rows[:, 0] * 8 + 4 + rows[:, 2],
    )

    def pair_id(row):
        return str(rows[row].tolist())

    together = chosen_rows(columns, most, pair_id).tolist()
    assert len(together) == len(set(together))
    for problem in range(3):
        own = np.flatnonzero(rows[:, 0] == problem)
        alone = Candidates(*(getattr(columns, field.name)[own] for field in dataclasses.fields(Candidates)))
        picked = own[chosen_rows(alone, most, lambda row, own=own: pair_id(own[row]))].tolist()
        assert [row for row in together if rows[row, 0] == problem] == picked
