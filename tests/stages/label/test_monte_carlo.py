"""The stage on a world whose values are known, with every kind of rollout that is not labelled."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest

from support.toy_world import (
    STOP,
    VERIFY,
    ToyRenderer,
    ToyServices,
    inputs_of,
    problem_row,
    rollout_row,
    rows,
    score_row,
    true_value,
    world,
)
from synthflow import ids
from synthflow.contracts import SampleRequest
from synthflow.contracts.stage import Estimate
from synthflow.execute.coverage import check_coverage, check_keys
from synthflow.schema import TABLES
from synthflow.stages.label.monte_carlo import MonteCarlo


def stage(**fields):
    return MonteCarlo("steps", MonteCarlo.Config.model_validate({"use": "label.monte_carlo", "of": "keep", **fields}))


def label(inputs, services=None, **fields):
    services = services or ToyServices()
    made = stage(**fields)
    tables = made.run(inputs, services)
    for name, table in tables.items():
        TABLES[name].conform(table)
    check_keys("steps", tables)
    check_coverage("steps", made.covers, inputs, tables)
    return tables, services


def mixed(*completions, renderer=None):
    """One problem; verdicts as the completions say."""
    from support.toy_world import verdict

    problem = problem_row("x")
    made = [rollout_row(problem, i, text, renderer=renderer) for i, text in enumerate(completions)]
    return inputs_of([problem], made, [score_row(r, verdict(r["completion"]).verdict) for r in made]), made


RIGHT, WRONG = "ok0\nok1\nok2\nok0\n= 1", "ok0\nbad1\nok2\nok0\n= 0"


def test_values_estimate_the_known_chances():
    problems, rollouts, scores = world(6, 8)
    tables, _ = label(inputs_of(problems, rollouts, scores), n=400, rollouts_per_problem=2)
    text_of = {r["rollout_id"]: r["completion"] for r in rollouts}
    spans = {s["step_id"]: s for s in rows(tables, "steps")}
    errors, covered = [], []
    for value in rows(tables, "step_values"):
        if value["n"] == 0:
            continue
        prefix = text_of[value["rollout_id"]][: spans[value["step_id"]]["char_end"]]
        errors.append(value["value"] - true_value(prefix))
        covered.append(value["value_low"] <= true_value(prefix) <= value["value_high"])
    assert len(errors) > 20 and np.abs(errors).max() < 0.12 and np.mean(covered) > 0.85


def test_steps_tile_and_advantages_telescope():
    problems, rollouts, scores = world(5, 8)
    tables, _ = label(inputs_of(problems, rollouts, scores))
    text_of = {r["rollout_id"]: r for r in rollouts}
    by_rollout = defaultdict(list)
    for step, value in zip(rows(tables, "steps"), rows(tables, "step_values"), strict=True):
        assert step["step_id"] == value["step_id"] == ids.step_id(step["rollout_id"], "lines", step["index"])
        by_rollout[step["rollout_id"]].append((step, value))
    assert by_rollout
    verdicts = {s["target_id"]: s["value"] for s in scores}
    for rollout, pairs in by_rollout.items():
        row, steps, values = text_of[rollout], [p[0] for p in pairs], [p[1] for p in pairs]
        assert "".join(row["completion"][s["char_start"] : s["char_end"]] for s in steps) == row["completion"]
        assert [s["token_start"] for s in steps] == [0, *(s["token_end"] for s in steps[:-1])]
        assert steps[-1]["token_end"] == len(row["token_ids"])
        assert [s["parent_step_id"] for s in steps] == [None, *(s["step_id"] for s in steps[:-1])]
        assert [v["value_before"] for v in values[1:]] == [v["value"] for v in values[:-1]]
        assert values[-1]["value"] == verdicts[rollout] and values[-1]["n"] == 0
        assert sum(v["advantage"] for v in values) == pytest.approx(values[-1]["value"] - values[0]["value_before"])
        group = [verdicts[r["rollout_id"]] for r in rollouts if r["problem_id"] == row["problem_id"]]
        assert values[0]["value_before"] == pytest.approx(np.mean(group))


def test_continuations_are_rollouts_of_their_own():
    inputs, (right, wrong) = mixed(RIGHT, WRONG)
    tables, services = label(inputs, n=3)
    # Prefixes: "ok0\n" (shared), three more of RIGHT, three more of WRONG: seven, sampled once each.
    assert len(services.sampled) == 7 * 3
    found = {r["rollout_id"]: r for r in rows(tables, "rollouts")}
    assert set(found) == {r.rollout_id for r in services.sampled}
    owners = {r["rollout_id"]: r for r in (right, wrong)}
    for row in found.values():
        parent = owners[row["parent_rollout_id"]]
        prefix = parent["token_ids"][: row["branch_token"]]
        assert row["condition"] == "prefix" and row["on_policy"] and row["policy_id"] == "m_toy"
        assert row["prompt_token_ids"] == parent["prompt_token_ids"] + prefix
        assert row["prefix_id"] == ids.prefix_id(row["problem_id"], prefix)
        assert row["seed"] == ids.rollout_seed(row["rollout_id"])
        assert row["sampling_id"] == stage(n=3).samplings()[0]["sampling_id"] == stage(n=9).config.sampling_id()
        assert parent["completion"].split("\n")[: row["branch_step"]] == ToyRenderer().decode(prefix).split("\n")[:-1]
    shared = [r for r in found.values() if r["branch_step"] == 1]
    assert len(shared) == 3 and {r["parent_rollout_id"] for r in shared} == {min(owners)}
    # Judged on prefix and continuation together.
    scores = {s["target_id"]: s for s in rows(tables, "scores")}
    assert set(scores) == set(found)
    for question in services.asked:
        assert question.completion.count("=") == 1 and question.completion.count("\n") == 4
        assert scores[question.target_id]["verdict"] == ("correct" if question.completion[-1] == "1" else "wrong")


def test_shared_prefixes_share_value_and_are_booked_once():
    tables, services = label(mixed(RIGHT, WRONG)[0], n=5)
    values = rows(tables, "step_values")
    first = [v for v in values if v["index"] == 0]
    assert first[0]["value"] == first[1]["value"] and sorted(v["tokens_spent"] > 0 for v in first) == [False, True]
    assert sum(v["tokens_spent"] for v in values) == sum(r["n_tokens"] for r in rows(tables, "rollouts"))
    assert services.counts["continuations"] == 35


def test_requests_keep_shared_prefixes_adjacent():
    problems, rollouts, scores = world(3, 8)
    _, services = label(inputs_of(problems, rollouts, scores), n=2)
    order = [(r.problem_id, r.prompt_token_ids) for r in services.sampled]
    assert order == sorted(order)


def test_more_continuations_leave_the_others_as_they_are():
    inputs = mixed(RIGHT, WRONG)[0]
    few = {r["rollout_id"]: r for r in rows(label(inputs, n=2)[0], "rollouts")}
    many = {r["rollout_id"]: r for r in rows(label(inputs, n=4)[0], "rollouts")}
    assert len(many) == 2 * len(few) and all(many[k] == v for k, v in few.items())


@pytest.mark.parametrize("fields", [{}, {"rollouts_per_problem": 3}, {"groups": "all", "max_steps": 2}])
def test_rows_do_not_depend_on_partitions_or_order(fields):
    problems, rollouts, scores = world(6, 6)
    whole, _ = label(inputs_of(problems, rollouts[::-1], scores[::-1]), **fields)
    parts = defaultdict(list)
    for problem in problems:
        own = [x for x in rollouts if x["problem_id"] == problem["problem_id"]]
        judged = [x for x in scores if x["problem_id"] == problem["problem_id"]]
        for name, table in label(inputs_of([problem], own, judged), **fields)[0].items():
            parts[name] += table.to_pylist()
    for name in ("steps", "step_values", "rollouts", "scores", "rejects"):
        key = TABLES[name].key
        assert sorted(rows(whole, name), key=lambda r: [str(r[k]) for k in key]) == sorted(
            parts[name], key=lambda r: [str(r[k]) for k in key]
        )


def test_every_rollout_that_is_not_labelled_says_why():
    problem, sure, none, lone = (problem_row(x) for x in "abcd")
    made = [
        rollout_row(problem, 0, RIGHT),
        rollout_row(problem, 1, WRONG),
        rollout_row(problem, 2, ""),
        rollout_row(problem, 3, WRONG, token_ids=None),
        rollout_row(problem, 4, WRONG, completion="other text"),
        rollout_row(problem, 5, WRONG),
        rollout_row(problem, 6, RIGHT, policy_id="m_other"),
        rollout_row(problem, 7, RIGHT, condition="hint"),
        rollout_row(problem, 8, RIGHT),
        rollout_row(sure, 0, RIGHT),
        rollout_row(sure, 1, RIGHT),
        rollout_row(none, 0, WRONG),
        rollout_row(none, 1, WRONG),
        rollout_row(lone, 0, RIGHT),
    ]
    scores = [score_row(r, "correct" if i in (0, 6, 7, 9, 10, 13) else "wrong") for i, r in enumerate(made) if i != 8]
    dropped = [score_row(made[5], "wrong", kind="filter", scorer="toy", verdict=None, value=0.0, reason="long")]
    tables, _ = label(inputs_of([problem, sure, none, lone], made, scores, dropped))
    why = {r["target_id"]: r["reason"] for r in rows(tables, "rejects")}
    expected = [
        None, None, "no_steps", "no_token_ids", "tokens_do_not_spell_text", "filtered", "other_policy",
        "not_first_rollout", "no_verdict", "group_all_correct", "group_all_correct", "group_all_wrong",
        "group_all_wrong", "group_undecided",
    ]  # fmt: skip
    assert [why.get(r["rollout_id"]) for r in made] == expected
    everything, _ = label(
        inputs_of([problem, sure, none, lone], made, scores, dropped), groups="all", include_dropped=True
    )
    reasons = Counter(r["reason"] for r in rows(everything, "rejects"))
    assert set(reasons) == {
        "no_steps", "no_token_ids", "tokens_do_not_spell_text", "other_policy", "not_first_rollout", "no_verdict",
    }  # fmt: skip


def test_selection_is_balanced_and_by_hash_order():
    problem = problem_row("a")
    made = [rollout_row(problem, i, f"ok{i}\n= {int(i >= 7)}") for i in range(10)]
    scores = [score_row(r, "wrong" if i < 7 else "correct") for i, r in enumerate(made)]
    tables, _ = label(inputs_of([problem], made, scores), rollouts_per_problem=4)
    chosen = {s["rollout_id"] for s in rows(tables, "steps")}
    wrong, right = (sorted(r["rollout_id"] for r in part) for part in (made[:7], made[7:]))
    assert chosen == {*wrong[:2], *right[:2]}
    tables, _ = label(inputs_of([problem], made, scores), rollouts_per_problem=8)
    assert {s["rollout_id"] for s in rows(tables, "steps")} == {*wrong[:5], *right}
    assert Counter(r["reason"] for r in rows(tables, "rejects")) == {"not_selected": 2}


def test_an_unknown_last_step_is_estimated_without_the_stop_token():
    inputs, (_, _, unclear) = mixed(RIGHT, WRONG, "ok0\nok1\nok2\nok0\n")
    tables, _ = label(inputs, n=6)
    last = [v for v in rows(tables, "step_values") if v["rollout_id"] == unclear["rollout_id"]][-1]
    assert last["n"] == 6 and last["value"] == 1.0 and last["value_low"] < 1 and last["is_first_error"] is None
    ends = [r for r in rows(tables, "rollouts") if r["branch_token"] == len(unclear["token_ids"]) - 1]
    assert all(STOP not in r["prompt_token_ids"] for r in ends)
    assert sum(v["tokens_spent"] for v in rows(tables, "step_values")) == sum(
        r["n_tokens"] for r in rows(tables, "rollouts")
    )


def test_refused_and_truncated_continuations_are_unknown():
    refuse = lambda request: request.prompt_token_ids[-4:] == tuple(map(ord, "bad1"[-3:] + "\n"))  # noqa: E731
    inputs, (_, wrong) = mixed(RIGHT, WRONG)
    tables, _ = label(inputs, ToyServices(refuse=refuse), n=4)
    values = [v for v in rows(tables, "step_values") if v["rollout_id"] == wrong["rollout_id"]]
    lost = values[1]
    assert (lost["n"], lost["successes"], lost["n_unknown"]) == (0, 0, 4)
    assert lost["value"] is lost["value_low"] is lost["advantage"] is lost["advantage_se"] is None
    assert values[2]["value_before"] is None and values[2]["advantage"] is None and values[3]["advantage"] is not None
    reasons = Counter(s["reason"] for s in rows(tables, "scores") if s["verdict"] == "unknown")
    assert reasons == {"refused": 4}

    tables, services = label(inputs, n=4, max_tokens=1)
    assert not services.asked and {s["reason"] for s in rows(tables, "scores")} == {"truncated"}
    assert {v["n_unknown"] for v in rows(tables, "step_values")} == {0, 4}
    as_wrong = replace(VERIFY, config={**VERIFY.config, "truncated": "wrong"})
    problem = problem_row("x")
    made = [rollout_row(problem, i, text) for i, text in enumerate((RIGHT, WRONG))]
    judged = [score_row(made[0], "correct"), score_row(made[1], "wrong")]
    tables, _ = label(inputs_of([problem], made, judged, verify=as_wrong), n=4, max_tokens=1)
    assert {s["verdict"] for s in rows(tables, "scores")} == {"wrong"}


def test_a_token_across_a_boundary_keeps_text_and_tokens_together():
    """`\\nok` is one token: it goes to the step of `ok`, so the prefix ends before the newline."""
    renderer = ToyRenderer(["\nok"])
    inputs, (right, _) = mixed(RIGHT, WRONG, renderer=renderer)
    tables, services = label(inputs, ToyServices(renderer), n=2)
    steps = [s for s in rows(tables, "steps") if s["rollout_id"] == right["rollout_id"]]
    assert "".join(RIGHT[s["char_start"] : s["char_end"]] for s in steps) == RIGHT
    for row in rows(tables, "rollouts"):
        text = renderer.decode(row["prompt_token_ids"])
        assert (row["branch_step"] is None) == (not text.endswith("\n"))
    found = {r["rollout_id"]: r for r in rows(tables, "rollouts")}
    for question in services.asked:  # what is judged is what the tokens spell, nothing twice and nothing missing
        row = found[question.target_id]
        assert "Qx>" + question.completion == renderer.decode(row["prompt_token_ids"]) + row["completion"]
    assert {r["branch_step"] for r in found.values()} > {None}
    assert all(v["advantage"] is not None for v in rows(tables, "step_values"))


def test_a_template_keeps_the_prefixes_of_two_prompts_apart():
    problem = problem_row("x")
    other = [{"role": "user", "content": "Hint. Qx>"}]
    made = [rollout_row(problem, i, t) for i, t in enumerate((RIGHT, WRONG))]
    made += [
        rollout_row(problem, i, t, sampling_id="g_two", prompt=other, prompt_token_ids=[ord(c) for c in "Hint. Qx>"])
        for i, t in enumerate((RIGHT, WRONG))
    ]
    scores = [score_row(r, "correct" if r["completion"] == RIGHT else "wrong") for r in made]
    _, services = label(inputs_of([problem], made, scores), n=2)
    assert len(services.sampled) == 2 * 7 * 2 == len({r.rollout_id for r in services.sampled})


def test_merged_steps_and_the_label_that_says_so():
    tables, _ = label(mixed(RIGHT, WRONG)[0], n=2, max_steps=2)
    assert {s["segmenter"] for s in rows(tables, "steps")} == {"lines/2"}
    assert Counter(s["index"] for s in rows(tables, "steps")) == {0: 2, 1: 2}


def test_hostile_completions_do_not_stop_it():
    texts = ["\u2028\r\r\n\n\n", "\n" * 5000 + "= 0", "a\x00b\n🧑\u200d🚀\n= 0", "ok0\n" * 300 + "= 0", "= 0", RIGHT]
    tables, _ = label(mixed(*texts)[0], n=1)
    assert len({v["rollout_id"] for v in rows(tables, "step_values")}) == len(texts)
    assert max(s["index"] for s in rows(tables, "steps")) == 63


def test_nothing_to_label_is_no_error():
    problem = problem_row("x")
    made = [rollout_row(problem, 0, WRONG)]
    tables, services = label(inputs_of([problem], made, [score_row(made[0], "wrong")]))
    assert set(tables) == {"rejects"} and not services.sampled
    label(inputs_of([], [], []))


def test_planning():
    problems, rollouts, scores = world(1, 2)
    inputs = inputs_of(problems, rollouts, scores)
    assert not list(stage().check(inputs.ancestors))
    assert [m[0] for m in stage(verdicts="nope").check(inputs.ancestors)] == ["verdicts"]
    assert [m[0] for m in stage().check(inputs.ancestors[:2])] == ["of"]
    volume = stage(n=4, rollouts_per_problem=2, max_tokens=100).estimate(Estimate(problems=10, rollouts=80))
    assert volume.requests == 10 * 2 * 7 * 4 and volume.tokens == volume.requests * 50
    assert MonteCarlo.policies(stage().config) == ("default",)


def test_requests_are_what_backends_take():
    _, services = label(mixed(RIGHT, WRONG)[0], n=1, temperature=0.5, stop=["END"])
    assert all(isinstance(r, SampleRequest) and r.params.stop == ("END",) for r in services.sampled)
    assert {r.params.temperature for r in services.sampled} == {0.5}
