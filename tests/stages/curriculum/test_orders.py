"""Orders, the bandit, re-estimation and repeats: hand-worked cases, permutations, and what seeds decide."""

from __future__ import annotations

import json
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from support.stages import stage_info
from support.toy_world import ToyServices, problem_row, rows
from synthflow.contracts import MemoryInputs
from synthflow.errors import UserError
from synthflow.execute.coverage import check_coverage, check_keys
from synthflow.schema import PROBLEM_STATS, PROBLEMS
from synthflow.stages.curriculum import arms, bandit, orders
from synthflow.stages.curriculum.bandit import Bandit
from synthflow.stages.curriculum.bins import DEFAULT_BINS
from synthflow.stages.curriculum.order import Order
from synthflow.stages.curriculum.pass_rate import PassRate
from synthflow.stages.curriculum.reestimate import Reestimate
from synthflow.stages.curriculum.repeats import Repeats


def known(*rates):
    return pl.DataFrame({"problem_id": [f"p_{i:02}" for i in range(len(rates))], "rate": [float(r) for r in rates]})


RATES = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]), max_size=30)


@settings(deadline=None, max_examples=50)
@given(RATES, st.integers(1, 7), st.integers(0, 3), st.booleans())
def test_every_order_is_a_permutation_whatever_the_input_order(rates, parts, seed, easy_first):
    frame = known(*rates)
    mixed = frame.reverse()
    for make in (
        lambda f: orders.by_rate(f, easy_first),
        lambda f: orders.cyclic(f, DEFAULT_BINS, parts, easy_first, seed),
        lambda f: orders.annealed(f.sort("problem_id"), parts, 0.1, easy_first, seed),
        lambda f: orders.reestimated(f.with_columns(now=1 - pl.col("rate")), parts, easy_first),
    ):
        order = make(frame)["problem_id"].to_list()
        assert sorted(order) == frame["problem_id"].to_list()
        assert make(mixed)["problem_id"].to_list() == order


def test_cycles_pass_over_the_bins():
    frame = known(0.1, 0.1, 0.5, 0.5, 0.9, 0.9, 0.9)
    order = orders.cyclic(frame, DEFAULT_BINS, 2, True, 0)["rate"].to_list()
    assert order == [0.9, 0.9, 0.5, 0.1, 0.9, 0.5, 0.1]
    assert orders.cyclic(frame, DEFAULT_BINS, 1, False, 0)["rate"].to_list() == sorted(frame["rate"])
    draws = {tuple(orders.cyclic(frame, DEFAULT_BINS, 2, True, seed)["problem_id"]) for seed in range(8)}
    assert len(draws) > 1


def test_annealing_moves_from_easy_to_hard():
    rng = np.random.default_rng(0)
    frame = known(*rng.uniform(size=400))
    order = orders.annealed(frame, 10, 0.1, True, 1)["rate"].to_numpy()
    tenths = order.reshape(10, 40).mean(axis=1)
    assert (np.diff(tenths) < 0.03).all() and tenths[0] > 0.75 and tenths[-1] < 0.25
    assert order.tolist() != sorted(order, reverse=True)  # drawn, not sorted
    back = orders.annealed(frame, 10, 0.1, False, 1)["rate"].to_numpy().reshape(10, 40).mean(axis=1)
    assert back[0] < 0.25 and back[-1] > 0.75
    flat = orders.annealed(frame, 10, 100.0, True, 1)["rate"].to_numpy().reshape(10, 40).mean(axis=1)
    assert np.ptp(flat) < 0.35  # wide weights are no weights


def test_gumbel_draws_have_the_weights_they_should():
    """One phase, two problems: the first is drawn first with w1 / (w1 + w2)."""
    first = 0
    for seed in range(2000):
        frame = known(0.5, 0.3)  # target 0.5: weights 1 and exp(-.2/.2)
        first += orders.annealed(frame, 1, 0.2, True, seed)["problem_id"][0] == "p_00"
    wanted = 1 / (1 + math.exp(-1))
    assert first / 2000 == pytest.approx(wanted, abs=4 * math.sqrt(wanted * (1 - wanted) / 2000))


def test_batches_are_sorted_again_and_kept():
    frame = known(0.9, 0.8, 0.7, 0.6, 0.5).with_columns(now=pl.Series([0.1, 0.95, None, 0.9, 0.2]))
    # Batches of two by the earlier order: (0, 1), (2, 3), (4): within them by .1/.95, .7/.9.
    assert orders.reestimated(frame, 2, True)["problem_id"].to_list() == ["p_01", "p_00", "p_03", "p_02", "p_04"]
    assert orders.reestimated(frame, 5, True)["problem_id"].to_list() == ["p_01", "p_03", "p_02", "p_04", "p_00"]


def test_rank_correlation_by_hand():
    one = np.array([0.1, 0.2, 0.3, 0.4])
    assert orders.rank_correlation(one, one * 2) == pytest.approx(1)
    assert orders.rank_correlation(one, -one) == pytest.approx(-1)
    # Ranks 1 2 3 4 against 1.5 1.5 4 3: products of deviations 1.5 + .5 + .75 + .75, squares 5 and 4.5.
    assert orders.rank_correlation(one, np.array([0.0, 0.0, 0.9, 0.5])) == pytest.approx(3.5 / math.sqrt(5 * 4.5))
    assert orders.rank_correlation(one, np.ones(4)) is None
    assert orders.rank_correlation(one[:1], one[:1]) is None


# -- the bandit -----------------------------------------------------------------------------------------------------


def test_expected_advantage_by_hand():
    assert arms.expected_advantage([0, 0.5, 1, 0.1]) == pytest.approx([0, 1, 0, 0.6])
    for right, n in ((1, 4), (3, 4), (2, 10)):  # against the mean of |(r - mean) / std| itself
        rewards = np.array([1.0] * right + [0.0] * (n - right))
        wanted = np.abs((rewards - rewards.mean()) / rewards.std()).mean()
        assert arms.expected_advantage(right / n) == pytest.approx(wanted)


def test_boltzmann_by_hand():
    p = arms.boltzmann(np.array([0.0, 0.2 * math.log(3), 9.0]), 0.2, np.array([True, True, False]))
    assert p == pytest.approx([0.25, 0.75, 0])
    assert arms.boltzmann(np.array([1e6, 0.0]), 1e-3, np.array([True, True])) == pytest.approx([1, 0])


def settings_of(**changed):
    return arms.Settings(**{"learning_rate": 0.5, "temperature": 0.2, "batch": 2, "seed": 0, "start": {}, **changed})


def test_two_batches_by_hand():
    queues = [np.array([0, 1, 2, 3])]
    trace = arms.play(queues, ["a"], np.array([1.0, 0.5, 0.0, 0.2]), settings_of())
    assert trace.problem.tolist() == [0, 1, 2, 3] and trace.batch.tolist() == [0, 0, 1, 1]
    # Q: .5 x 0 + .5 x .75 = .375; then .5 x .375 + .5 x .1 = .2375.
    assert trace.q == pytest.approx([0.375, 0.375, 0.2375, 0.2375]) and (trace.p == 1).all()
    begun = arms.play(queues, ["a"], np.array([1.0, 0.5, 0.0, 0.2]), settings_of(start={"a": 1.0}))
    assert begun.q[0] == pytest.approx(0.5 + 0.375)


def test_arms_worth_more_come_sooner_and_the_draw_is_replayed():
    queues = [np.arange(100), np.arange(100, 200)]
    rewards = np.repeat([0.0, 1.0], 100)
    trace = arms.play(queues, ["flat", "steep"], rewards, settings_of(batch=10))
    assert sorted(trace.problem.tolist()) == list(range(200))
    place = np.empty(200)
    place[trace.problem] = np.arange(200)
    assert place[100:].mean() < place[:100].mean() - 60
    again = arms.play(queues, ["flat", "steep"], rewards, settings_of(batch=10))
    assert (again.problem == trace.problem).all() and (again.p == trace.p).all()
    other = arms.play(queues, ["flat", "steep"], rewards, settings_of(batch=10, seed=1))
    assert (other.problem != trace.problem).any()
    assert trace.p[trace.arm == 0][-1] == 1  # the other arm is empty by then


# -- the stages -----------------------------------------------------------------------------------------------------


def stat(problem, correct, wrong, policy="m", round_=0):
    return {
        "problem_id": problem, "policy_id": policy, "round": round_, "sampling_id": "g", "n": correct + wrong,
        "n_correct": correct, "n_wrong": wrong, "n_unknown": 0, "n_truncated": 0, "group_state": "mixed",
        "difficulty_bin": "medium", "stage_id": "h",
    }  # fmt: skip


INFOS = [
    stage_info("problems", "source.demo", ("problems",)),
    stage_info("before", PassRate.use, ("problem_stats",), ("problems",)),
    stage_info("now", PassRate.use, ("problem_stats",), ("before",)),
]


def inputs_of(before, now=(), problems=()):
    return MemoryInputs(
        INFOS if now else INFOS[:2],
        ["now"] if now else ["before"],
        {
            "problems": {"problems": PROBLEMS.from_rows(problems)},
            "before": {"problem_stats": PROBLEM_STATS.from_rows(before)},
            "now": {"problem_stats": PROBLEM_STATS.from_rows(now)},
        },
    )


def made(stage_class, inputs, **fields):
    stage = stage_class("s", stage_class.Config.model_validate({"use": stage_class.use, "of": "before", **fields}))
    assert not list(stage.check(inputs.ancestors))
    services = ToyServices()
    tables = stage.run(inputs, services)
    check_keys("s", tables)
    check_coverage("s", stage.covers, inputs, tables)
    return tables, services


def ranks(tables, scorer):
    found = {r["target_id"]: int(r["detail"]) for r in rows(tables, "scores") if r["scorer"] == scorer}
    assert sorted(found.values()) == list(range(len(found)))
    return found


FIVE = [stat(f"p_{i}", i, 4 - i) for i in range(5)]


@pytest.mark.parametrize("by", ["cyclic", "annealed"])
def test_the_stage_orders_in_every_way(by):
    tables, _ = made(Order, inputs_of([*FIVE, stat("p_none", 0, 0)]), by=by, seed=3)
    assert len(ranks(tables, "curriculum.order")) == 5
    assert [r["target_id"] for r in rows(tables, "rejects")] == ["p_none"]


def test_fields_of_another_order_are_a_mistake():
    stage = Order("o", Order.Config(use=Order.use, by="cyclic", temperature=0.5))
    ((field, what, fix),) = stage.check([])
    assert (field, what, fix) == ("temperature", "by: cyclic does not read it", "remove it, or say by: annealed")
    with pytest.raises(ValidationError, match="must rise"):
        Order.Config(use=Order.use, by="cyclic", bins={"a": 0.5, "b": 0.4, "c": 1.0})


def test_the_bandit_says_what_it_did():
    problems = [problem_row(str(i)) | {"metadata": json.dumps({"family": "ab"[i % 2]})} for i in range(8)]
    problems[7]["metadata"] = "[not an object"
    stats = [stat(p["problem_id"], i % 3, 2) for i, p in enumerate(problems)]
    inputs = inputs_of(stats, problems=problems)
    tables, services = made(Bandit, inputs, arms="metadata", metadata_key="family", batch=2)
    place = ranks(tables, "curriculum.bandit")
    assert len(place) == 8 and services.counts["arms"] == 3
    said = {r["target_id"]: r for r in rows(tables, "scores") if r["scorer"] == "curriculum.bandit.q"}
    details = {p: json.loads(r["detail"]) for p, r in said.items()}
    assert {d["arm"] for d in details.values()} == {"a", "b", "none"}
    assert all(details[p]["batch"] == place[p] // 2 for p in place)
    again, _ = made(Bandit, inputs, arms="metadata", metadata_key="family", batch=2)
    assert again["scores"].equals(tables["scores"])
    by_bin, _ = made(Bandit, inputs, seed=5)
    assert len(ranks(by_bin, "curriculum.bandit")) == 8
    by_domain, services = made(Bandit, inputs, arms="domain")
    assert services.counts["arms"] == 1 and len(ranks(by_domain, "curriculum.bandit")) == 8


@pytest.mark.parametrize(
    ("metadata", "wanted"),
    [
        ('{"k": "a"}', "a"), ('{"k": 3}', "3"), ('{"k": [1, null]}', "[1,null]"), ('{"k": "\\ud800"}', "?"),
        ('{"k": NaN}', None), ('{"k": [NaN]}', None), ("[1]", None), ("{", None), (None, None), ('{"other": 1}', None),
        ("[" * 100_000, None), ('{"k": "\u0e01\u0e33 🙂"}', "\u0e01\u0e33 🙂"),
    ],
)  # fmt: skip
def test_arms_from_hostile_metadata(metadata, wanted):
    assert bandit._field(metadata, "k") == wanted


def test_arms_that_hold_one_problem_each_are_refused(monkeypatch):
    monkeypatch.setattr("synthflow.stages.curriculum.bandit.MOST_ARMS", 3)
    problems = [problem_row(str(i)) | {"domain": f"d{i}"} for i in range(4)]
    with pytest.raises(UserError, match="stage 's': 4 arms, such as 'd0'; at most 3"):
        made(Bandit, inputs_of([stat(p["problem_id"], 1, 1) for p in problems], problems=problems), arms="domain")


def test_mistakes_of_the_bandit():
    with pytest.raises(ValidationError, match="metadata_key goes with arms: metadata"):
        Bandit.Config(use=Bandit.use, arms="metadata")
    with pytest.raises(ValidationError, match="Q must be numbers"):
        Bandit.Config(use=Bandit.use, start={"easy": math.nan})
    stage = Bandit("b", Bandit.Config(use=Bandit.use, start={"eazy": 1.0}))
    assert [what for _, what, _ in stage.check([])] == ["'eazy' is not a bin"]


def test_reestimation_reads_two_stages():
    now = [
        stat("p_3", 0, 4, "m2", 1),
        stat("p_4", 2, 2, "m2", 1),
        stat("p_0", 4, 0, "m2", 1),
        stat("p_new", 1, 1, "m2", 1),
    ]
    tables, services = made(Reestimate, inputs_of(FIVE, now), before="before", now="now", batch=2)
    assert ranks(tables, "curriculum.reestimate") == {"p_4": 0, "p_3": 1, "p_2": 2, "p_1": 3, "p_0": 4}
    shift = {r["target_id"]: r["value"] for r in rows(tables, "scores") if r["scorer"].endswith(".shift")}
    assert shift == {"p_3": -0.75, "p_4": -0.5, "p_0": 1.0}
    assert [(r["target_id"], r["reason"]) for r in rows(tables, "rejects")] == [("p_new", "no_earlier_pass_rate")]
    assert services.counts["rank_correlation"] == pytest.approx(-0.5)  # 0 .75 1 against 1 0 .5


def test_mistakes_of_reestimation():
    stage = Reestimate("r", Reestimate.Config(use=Reestimate.use, before="before", now="nao"))
    assert [m[:2] for m in stage.check(INFOS)] == [("now", "'nao' gives no pass rates above this one")]
    stage = Reestimate("r", Reestimate.Config(use=Reestimate.use, before="now", now="now"))
    assert [m[1] for m in stage.check(INFOS)] == ["it is the stage that `before` names"]


def test_repeats_by_the_table_of_oreal():
    stats = [stat(f"p_{k:02}", k, 20 - k) for k in range(21)] + [stat("p_none", 0, 0)]
    tables, services = made(Repeats, inputs_of(stats))
    said = {r["target_id"]: (r["kind"], r["value"], r["reason"]) for r in rows(tables, "scores")}
    wanted = [6] * 4 + [4] * 8 + [2] * 4
    assert [said[f"p_{k:02}"][:2] for k in range(16)] == [("measure", times) for times in wanted]
    assert all(said[f"p_{k:02}"][:2] == ("filter", 0) for k in range(16, 21))
    assert said["p_18"][2] == "pass rate 0.9 is repeated 0 times"
    assert [r["target_id"] for r in rows(tables, "rejects")] == ["p_none"]
    assert services.counts["repeats"] == 6 * 4 + 4 * 8 + 2 * 4


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"edges": [0.5, 0.2], "times": [1, 2, 3]}, "must rise"),
        ({"edges": [0.5], "times": [1]}, "1 edges need 2 times"),
        ({"edges": [0.5], "times": [1, -1]}, "whole numbers from 0"),
    ],
)
def test_mistakes_of_repeats(fields, said):
    with pytest.raises(ValidationError, match=said):
        Repeats.Config(use=Repeats.use, **fields)
