"""Branching at high-entropy tokens: which token, what is kept, whole answers judged, ids that stay."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace

import numpy as np

from support.stages import stage_info
from support.toy_world import (
    STOP,
    ToyRenderer,
    ToyServices,
    inputs_of,
    problem_row,
    rollout_row,
    rows,
    score_row,
    verdict,
)
from synthflow import ids
from synthflow.contracts import SampleResult
from synthflow.execute.coverage import check_coverage, check_keys
from synthflow.plan.records import identity_config
from synthflow.schema import TABLES
from synthflow.stages.sample.branch import Branch

WORDS = ("ok0\n", "ok1\n", "ok2\n", "bad0\n", "bad1\n", "bad2\n", "= 1", "= 0")


class Unsure(ToyServices):
    """The toy policy, unsure by `entropy(token, place)` of what it wrote."""

    def __init__(self, entropy=lambda token, place: float(place), renderer=None, exact=True):
        super().__init__(renderer or ToyRenderer(WORDS))
        self.entropy, self.exact, self.read = entropy, exact, []

    def sample(self, requests, policy):
        self.read += [r for r in requests if r.score is not None]
        self.sampled += [r for r in requests if r.score is None]
        return [self._told(r) if r.score is not None else self._one(r) for r in requests]

    def _told(self, request):
        n = len(request.score)
        entropies = tuple(self.entropy(t, i) for i, t in enumerate(request.score)) if self.entropy else None
        logprobs = tuple(-0.1 * i for i in range(n))
        return SampleResult(
            request.rollout_id, "", "stop", logprobs=logprobs, entropies=entropies,
            entropies_exact=self.exact if entropies else None,
        )  # fmt: skip


def made_world(n_problems=1, texts=("ok0\nok1\nok2\nok0\n= 1", "ok0\nbad1\nok2\nok0\n= 0"), **changed):
    renderer = ToyRenderer(WORDS)
    problems = [problem_row(str(p)) for p in range(n_problems)]
    made = [rollout_row(p, i, t, renderer=renderer, **changed) for p in problems for i, t in enumerate(texts)]
    scores = [score_row(r, verdict(r["completion"]).verdict) for r in made]
    return problems, made, scores


def branch(world, services, **fields):
    stage = Branch("branches", Branch.Config.model_validate({"use": "sample.branch", "of": "keep", **fields}))
    inputs = inputs_of(*world)
    tables = stage.run(inputs, services)
    for name, table in tables.items():
        TABLES[name].conform(table)
    check_keys("branches", tables)
    check_coverage("branches", stage.covers, inputs, tables)
    return tables


def forked(world, services, **fields):
    """Nats at which rollouts fork, how many tokens could be drawn, and why the others do not."""
    tables = branch(world, services, **fields)
    told = [s for s in rows(tables, "scores") if s["scorer"] == "branch_token"]
    candidates = [json.loads(s["detail"])["candidates"] for s in told]
    return sorted(s["value"] for s in told), candidates, Counter(r["reason"] for r in rows(tables, "rejects"))


def test_forks_can_be_held_to_unsure_tokens():
    """Entropies are the tokens' places: 0, 1, 2, ... of which all but the first and the last are eligible."""
    world = made_world(8)
    _, everything, _ = forked(world, Unsure())
    assert set(everything) == {4}
    values, candidates, _ = forked(world, Unsure(), top_share=0.25)
    assert set(values) == {4.0} and set(candidates) == {1}
    assert set(forked(world, Unsure(), top_share=0.26)[1]) == {2}, "rounded up"
    assert set(forked(world, Unsure(), top_share=1.0, top=3)[1]) == {3}, "top is still the most"
    values, candidates, _ = forked(world, Unsure(), above=2.0)
    assert set(values) == {3.0, 4.0} and set(candidates) == {2}
    values, _, rejects = forked(world, Unsure(), above=9.0)
    assert not values and rejects == {"no_unsure_token": 16}


def test_without_them_a_branch_is_what_it_was():
    def config(**fields):
        return identity_config(Branch("b", Branch.Config(use="sample.branch", of="x", **fields)))

    assert not {"above", "top_share"} & set(config())
    assert config(above=0.5)["above"] == 0.5 and config(top_share=0.1)["top_share"] == 0.1


def test_a_group_is_the_originals_and_n_branches_of_each():
    world = made_world(3)
    tables = branch(world, Unsure(), max_tokens=64)
    found = rows(tables, "rollouts")
    parents = {r["rollout_id"]: r for r in world[1]}
    assert Counter(r["parent_rollout_id"] for r in found) == dict.fromkeys(parents, 3)
    assert len({r["rollout_id"] for r in found}) == len(found) == 18
    judged = {s["target_id"]: s for s in rows(tables, "scores") if s["kind"] == "verdict"}
    for row in found:
        parent = parents[row["parent_rollout_id"]]
        kept = parent["token_ids"][: row["branch_token"]]
        assert row["condition"] == "prefix" and 1 <= row["branch_token"] < len(parent["token_ids"]) - 1
        assert row["prompt_token_ids"] == parent["prompt_token_ids"] + kept
        assert row["prefix_id"] == ids.prefix_id(parent["problem_id"], kept)
        whole = ToyRenderer(WORDS).decode(kept) + row["completion"]
        assert judged[row["rollout_id"]]["verdict"] == verdict(whole).verdict, "the whole answer is judged"
        assert row["branch_step"] is None and row["seed"] == ids.rollout_seed(row["rollout_id"])
    assert set(judged) == {r["rollout_id"] for r in found}


def test_one_of_the_highest_is_drawn_by_the_rollout_s_id():
    world = made_world(40)
    services = Unsure(lambda token, place: [0.0, 1.0, 3.0, 2.0, 0.5, 9.0][place])  # the stop token has the highest
    tables = branch(world, services, top=2, n=1)
    taken = {r["parent_rollout_id"]: r["branch_token"] for r in rows(tables, "rollouts")}
    for rollout, token in taken.items():
        assert token == (2, 3)[ids.rollout_seed("branch:" + rollout) % 2], "the higher of two first"
    assert 20 <= Counter(taken.values())[2] <= 60, "either is drawn about as often"
    told = {s["target_id"]: s for s in rows(tables, "scores") if s["kind"] == "measure"}
    assert set(told) == set(taken)
    for rollout, token in taken.items():
        assert told[rollout]["value"] == {2: 3.0, 3: 2.0}[token]
        detail = json.loads(told[rollout]["detail"])
        assert detail == {
            "of": "entropy",
            "token": token,
            "candidates": 2,
            "mean": round(np.mean([0, 1, 3, 2, 0.5, 9]), 6),
        }


def test_neither_the_first_token_nor_special_or_single_characters():
    renderer = ToyRenderer(("ok", "no "))
    problem = problem_row("x")
    #       ok  0  \n  no  = ' ' 1 stop: of these only `no ` is longer than a character and not the first
    row = rollout_row(problem, 0, "ok0\nno = 1", renderer=renderer)
    world = ([problem], [row], [score_row(row, "correct")])
    services = Unsure(lambda token, place: 1.0 if place == 3 else 5.0, renderer=renderer)
    [made] = rows(branch(world, services, n=1), "rollouts")
    assert made["branch_token"] == 3
    plain = rollout_row(problem, 1, "a=1", renderer=renderer)
    world = ([problem], [plain], [score_row(plain, "unknown")])
    tables = branch(world, services)
    assert rows(tables, "rollouts") == [] and [r["reason"] for r in rows(tables, "rejects")] == ["no_branch_token"]


def test_raising_n_keeps_what_was_sampled_and_prefixes_are_shared_without_loss():
    same = ("ok0\nok1\n= 1", "ok0\nok1\n= 1", "ok0\nok1\n= 0")  # all three fork before the second token
    world = made_world(1, same)
    only_second = Unsure(lambda token, place: 9.0 if place == 1 else 0.0)
    few = rows(branch(world, only_second, n=2, top=1), "rollouts")
    many = rows(branch(world, only_second, n=5, top=1), "rollouts")
    assert len({r["prefix_id"] for r in many}) == 1 and len({r["rollout_id"] for r in many}) == 15
    parent_of = {r["rollout_id"]: r["parent_rollout_id"] for r in many}
    assert all(parent_of[r["rollout_id"]] == r["parent_rollout_id"] for r in few) and len(few) == 6


def test_rows_do_not_depend_on_the_order_of_rollouts():
    problems, made, scores = made_world(4)
    one = branch((problems, made, scores), Unsure())
    other = branch((problems[::-1], made[::-1], scores[::-1]), Unsure())
    assert one["rollouts"].equals(other["rollouts"]) and one["scores"].equals(other["scores"])


def test_bounds_and_surprisal_are_named():
    def of(services):
        told = [s for s in rows(branch(made_world(), services), "scores") if s["kind"] == "measure"]
        return {json.loads(s["detail"])["of"] for s in told}

    assert of(Unsure(exact=False)) == {"entropy_lower_bound"}
    assert of(Unsure(entropy=None)) == {"surprisal"}
    told = [s for s in rows(branch(made_world(), Unsure(entropy=None), top=1), "scores") if s["kind"] == "measure"]
    assert {s["value"] for s in told} == {np.float32(0.4)}, "the least likely token, but for the stop token"


def test_what_is_not_branched_says_why():
    problems, made, scores = made_world(1, ("ok0\n= 1",) * 6)
    made[0] |= {"policy_id": "m_other"}
    made[1] |= {"token_ids": None}
    made[2] |= {"condition": "hint"}
    made[3] |= {"completion": "", "token_ids": [STOP], "n_tokens": 1}
    made[4] |= {"completion": "", "token_ids": [], "finish_reason": "refused", "n_tokens": 0}
    sick = tuple(made[5]["token_ids"])

    class Sick(Unsure):
        def _told(self, request):
            told = super()._told(request)
            return replace(told, entropies=(math.nan,) * len(sick)) if request.score == sick else told

    tables = branch((problems, made, scores), Sick())
    reasons = {r["target_id"]: r["reason"] for r in rows(tables, "rejects")}
    assert [reasons[r["rollout_id"]] for r in made] == [
        "other_policy", "no_token_ids", "not_first_rollout", "no_branch_token", "no_branch_token", "scores_not_finite",
    ]  # fmt: skip
    assert rows(tables, "rollouts") == [] and rows(tables, "scores") == []


def test_a_stage_that_judges_groups_cannot_judge_a_branch():
    stage = Branch("b", Branch.Config.model_validate({"use": "sample.branch", "of": "v"}))
    vote = stage_info("v", "verify.vote", ("scores",), ("rollouts",))
    [(field, what, _)] = stage.check([vote])
    assert field == "verdicts" and "no branch of one" in what
