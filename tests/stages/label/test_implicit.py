"""Implicit process rewards: the paper's sum by hand, for every text, and for policies that give no numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from synthflow.contracts import PolicyIdentity, SampleResult
from synthflow.errors import UserError
from synthflow.execute.coverage import check_coverage, check_keys
from synthflow.schema import TABLES
from synthflow.segment import Span
from synthflow.stages.label.implicit import Implicit
from synthflow.stages.label.implicit_rewards import step_rewards


class Reader(ToyRenderer):
    """One that has a vocabulary to compare, as a real one has."""

    def __init__(self, vocabulary):
        super().__init__()
        self.vocabulary = {"x": vocabulary}


class TwoPolicies(ToyServices):
    """`say(policy, request)` gives the log probabilities of scored tokens (and maybe entropies)."""

    def __init__(self, say, tokenizers=("t", "t"), ids_=("m_toy", "m_ref")):
        super().__init__()
        self.say, self.tokenizers, self.ids = say, tokenizers, ids_

    def identity(self, policy):
        which = int(policy == "reference")
        return PolicyIdentity(self.ids[which], "w", self.tokenizers[which], "c")

    def renderer(self, policy):
        return Reader(self.identity(policy).tokenizer_hash[0])

    def sample(self, requests, policy):
        self.sampled += [(policy, r) for r in requests]
        return [self._told(policy, r) for r in requests]

    def _told(self, policy, request):
        assert request.score is not None, "nothing is sampled"
        told = self.say(policy, request)
        if isinstance(told, SampleResult):
            return told
        entropies = tuple(float(t % 7) for t in range(len(request.score))) if request.entropy_top else None
        return SampleResult(
            request.rollout_id, "", "stop", logprobs=tuple(told), entropies=entropies,
            entropies_exact=None if entropies is None else True,
        )  # fmt: skip


def half_nat(policy, request):
    """The policy finds every token half a nat likelier than its reference, newlines a whole nat less likely."""
    base = -1.0 if policy == "reference" else -0.5
    return [base - (1.5 if token == 10 and policy != "reference" else 0) for token in request.score]


def stage(**fields):
    given = {"use": "label.implicit", "of": "keep", "reference": "reference", "groups": "all", **fields}
    return Implicit("implicit", Implicit.Config.model_validate(given))


def label(inputs, services, **fields):
    made = stage(**fields)
    tables = made.run(inputs, services)
    for name, table in tables.items():
        TABLES[name].conform(table)
    check_keys("implicit", tables)
    check_coverage("implicit", made.covers, inputs, tables)
    return tables


def one(*texts, renderer=None, **changed):
    problem = problem_row("x")
    made = [rollout_row(problem, i, text, renderer=renderer, **changed) for i, text in enumerate(texts)]
    return inputs_of([problem], made, [score_row(r, verdict(r["completion"]).verdict) for r in made]), made


def test_the_paper_s_sum_by_hand():
    """beta · sum(log p - log p_ref) over two steps of three and two tokens, in nats."""
    policy = np.array([-0.1, -0.2, -0.3, -1.0, -2.0])
    reference = np.array([-0.5, -0.2, -0.6, -0.5, -1.0])
    # differences: .4 0 .3 | -.5 -1: step rewards .7 · 0.05 = .035 and -1.5 · 0.05 = -.075, together -.04
    found = step_rewards(policy, reference, [Span(0, 3), Span(3, 5)], 0.05)
    assert found.advantage == pytest.approx([0.035, -0.075], abs=1e-7)
    assert found.value == pytest.approx([0.035, -0.04], abs=1e-7)
    assert found.before.tolist() == [0.0, found.value[0]]
    assert found.first_error is None and found.advantage_se.tolist() == [0.0, 0.0]
    assert (found.low == found.value).all() and (found.high == found.value).all()


def test_rows_by_hand():
    inputs, [made] = one("ab\nc= 1")  # tokens: a b \n | c = ' ' 1 and the stop token
    tables = label(inputs, TwoPolicies(half_nat), beta=2.0)
    first, second = rows(tables, "step_values")
    # a, b: +.5 each, the newline -1: (0) · 2; then five tokens of +.5: 2.5 · 2
    assert [first["value_before"], first["value"], first["advantage"]] == pytest.approx([0, 0, 0], abs=1e-6)
    assert [second["value_before"], second["value"], second["advantage"]] == pytest.approx([0, 5, 5], abs=1e-6)
    assert {r["scale"] for r in (first, second)} == {"reward"} and first["policy_id"] == "m_toy"
    assert {(r["n"], r["successes"], r["n_unknown"], r["tokens_spent"]) for r in (first, second)} == {(0, 0, 0, 0)}
    assert first["is_first_error"] is None and first["advantage_se"] == 0.0
    [score] = rows(tables, "scores")
    assert (score["kind"], score["scorer"], score["target_id"]) == ("measure", "implicit_reward", made["rollout_id"])
    assert score["value"] == second["value"] and score["verdict"] is None and score["reason"] is None
    assert [(s["token_start"], s["token_end"]) for s in rows(tables, "steps")] == [(0, 3), (3, 8)]


@settings(max_examples=150, deadline=None)
@given(
    st.text(st.sampled_from("ab \n=日🍏e\u0301"), min_size=1, max_size=60),
    st.integers(0, 10**9),
    st.floats(1e-3, 1e3),
)
def test_steps_sum_to_the_response_s_reward_exactly(text, seed, beta):
    told, random = {}, Random(seed)

    def say(policy, request):
        key = (policy, request.rollout_id)
        return told.setdefault(key, [float(np.float32(-random.expovariate(0.1))) for _ in request.score])

    tables = label(one(text)[0], TwoPolicies(say), beta=beta, max_steps=7)
    values, [score] = rows(tables, "step_values"), rows(tables, "scores")
    assert values[0]["value_before"] == 0.0 and values[-1]["value"] == score["value"]
    for row, after in pairwise(values):
        assert after["value_before"] == row["value"]
    for row in values:
        exact = float(row["value"]) - float(row["value_before"])
        assert row["advantage"] == pytest.approx(exact, rel=1e-6, abs=1e-30)
    policy, reference = (told[key] for key in told)
    whole = beta * math.fsum(p - r for p, r in zip(policy, reference, strict=True))
    assert score["value"] == pytest.approx(whole, rel=1e-5, abs=1e-4 * beta)


@pytest.mark.parametrize("failing", ["default", "reference"])
@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (lambda r: [math.nan] * len(r.score), "scores_not_finite"),
        (lambda r: [-math.inf] * len(r.score), "scores_not_finite"),
        (lambda r: [-3e38] * len(r.score), "scores_not_finite"),
        (lambda r: [-1.0], "no_scores"),
        (lambda r: SampleResult(r.rollout_id, "", "refused", reason="too long to score"), "score_refused"),
        (lambda r: SampleResult(r.rollout_id, "", "poison", reason="it died"), "poison"),
    ],
)
def test_a_policy_that_gives_no_numbers_is_recorded(failing, told, reason):
    inputs, made = one("ok0\n= 1", "bad1\n= 0")
    sick = made[0]["rollout_id"]

    def say(policy, request):
        of_sick = request.score == tuple(made[0]["token_ids"])
        return told(request) if of_sick and policy == failing else half_nat(policy, request)

    tables = label(inputs, TwoPolicies(say), beta=100.0)
    assert [(r["target_id"], r["reason"]) for r in rows(tables, "rejects")] == [(sick, reason)]
    assert {v["rollout_id"] for v in rows(tables, "step_values")} == {made[1]["rollout_id"]}
    by_target = {s["target_id"]: s for s in rows(tables, "scores")}
    assert by_target[sick]["value"] is None and by_target[sick]["reason"] == reason and by_target[sick]["detail"]
    assert by_target[made[1]["rollout_id"]]["value"] is not None


def test_policies_must_differ_and_read_tokens_alike():
    inputs, _ = one("ok0\n= 1")
    with pytest.raises(UserError, match="different tokenizers"):
        label(inputs, TwoPolicies(half_nat, tokenizers=("t", "u")))
    alike = label(inputs, TwoPolicies(half_nat, tokenizers=("t1", "t2")))  # they differ in a setting only
    assert rows(alike, "scores")
    with pytest.raises(UserError, match="are the same model, so every reward would be 0"):
        label(inputs, TwoPolicies(half_nat, ids_=("m_toy", "m_toy")))
    [(_, what, _)] = [m for m in stage(reference="default").check(inputs.ancestors) if m[0] == "reference"]
    assert "every reward would be 0" in what


def test_only_rollouts_that_its_tokens_spell():
    inputs, made = one("ok0\n= 1", "ok1\n= 1")
    made[1]["token_ids"] = [*ToyRenderer().encode("other"), STOP]
    inputs = inputs_of([problem_row("x")], made, [score_row(r, "correct") for r in made])
    tables = label(inputs, TwoPolicies(half_nat))
    assert [r["reason"] for r in rows(tables, "rejects")] == ["tokens_do_not_spell_text"]


def test_rows_do_not_depend_on_the_reference_s_name_but_on_what_it_is():
    inputs, _ = one("ok0\n= 1")
    tables = label(inputs, TwoPolicies(half_nat))
    other = label(inputs, TwoPolicies(half_nat, ids_=("m_toy", "m_third")))
    [a], [b] = rows(tables, "scores"), rows(other, "scores")
    assert a["config_hash"] != b["config_hash"]
    named = stage(reference="base").config.labeler_hash("m_ref")
    assert named == stage().config.labeler_hash("m_ref") != stage(beta=0.1).config.labeler_hash("m_ref")


def test_steps_at_high_entropies_are_cut_in_tokens_and_text():
    inputs, [made] = one("abcdefgh\nijk= 1")
    services = TwoPolicies(half_nat)
    tables = label(inputs, services, entropy_steps={"top": 2})
    steps = rows(tables, "steps")
    # entropies are 0 1 2 3 4 5 6 0 1 2 ...: the highest two are the tokens 6 and 13
    assert [(s["token_start"], s["char_start"]) for s in steps] == [(0, 0), (6, 6), (13, 13)]
    assert steps[-1]["char_end"] == len(made["completion"]) and steps[-1]["token_end"] == len(made["token_ids"])
    assert {s["segmenter"] for s in steps} == {"entropy:top=2@m_toy"}
    assert {s["step_id"] for s in steps} == {
        ids.step_id(made["rollout_id"], "entropy:top=2@m_toy", i) for i in range(3)
    }
    bounds = label(inputs, Bounds(half_nat), entropy_steps={"top": 2})
    assert {s["segmenter"] for s in rows(bounds, "steps")} == {"entropy:top=2@m_toy~20"}, "from other numbers: another"


class Bounds(TwoPolicies):
    def _told(self, policy, request):
        return replace(super()._told(policy, request), entropies_exact=False)


def test_without_entropies_there_are_no_such_steps():
    inputs, _ = one("ok0\n= 1")

    class Mute(TwoPolicies):
        def _told(self, policy, request):
            return replace(super()._told(policy, request), entropies=None)

    tables = label(inputs, Mute(half_nat), entropy_steps={})
    assert [r["reason"] for r in rows(tables, "rejects")] == ["no_entropies"]
