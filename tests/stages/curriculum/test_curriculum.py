"""Pass rates, bins and ranks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from support.stages import stage_info
from support.toy_world import ToyServices, inputs_of, problem_row, rollout_row, rows, score_row
from synthflow.contracts import MemoryInputs
from synthflow.contracts.stage import Estimate
from synthflow.execute.coverage import check_coverage, check_keys
from synthflow.schema import PROBLEM_STATS
from synthflow.stages.curriculum.bins import DEFAULT_BINS
from synthflow.stages.curriculum.order import Order
from synthflow.stages.curriculum.pass_rate import PassRate


def pass_rate(inputs, **fields):
    stage = PassRate("difficulty", PassRate.Config.model_validate({"use": PassRate.use, "of": "keep", **fields}))
    tables = stage.run(inputs, ToyServices())
    check_keys("difficulty", tables)
    check_coverage("difficulty", stage.covers, inputs, tables)
    return tables


def group(name, verdicts, **changed):
    """One problem whose rollouts have the verdicts c(orrect), w(rong), u(nknown) or - (none)."""
    problem = problem_row(name)
    made = [rollout_row(problem, i, f"text {i}", **changed) for i in range(len(verdicts))]
    words = {"c": "correct", "w": "wrong", "u": "unknown"}
    return problem, made, [score_row(r, words[v]) for r, v in zip(made, verdicts, strict=True) if v != "-"]


def of_groups(*groups):
    problems = {g[0]["problem_id"]: g[0] for g in groups}
    return inputs_of(list(problems.values()), [r for g in groups for r in g[1]], [s for g in groups for s in g[2]])


@pytest.mark.parametrize(
    ("verdicts", "state", "bin_"),
    [
        ("wwww", "all_wrong", "impossible"),
        ("cwwwwwwwww", "mixed", "very_hard"),
        ("cwwww", "mixed", "hard"),
        ("ccwww", "mixed", "medium"),
        ("cccww", "mixed", "easy"),
        ("ccccw", "mixed", "very_easy"),
        ("cccc", "all_correct", "perfect"),
        ("c", "undecided", "undecided"),
        ("uuu-", "undecided", "undecided"),
        ("cuu", "undecided", "undecided"),
        ("cwuu", "mixed", "medium"),
    ],
)
def test_states_and_bins(verdicts, state, bin_):
    (row,) = rows(pass_rate(of_groups(group("a", verdicts))), "problem_stats")
    assert (row["group_state"], row["difficulty_bin"]) == (state, bin_)
    correct, wrong = verdicts.count("c"), verdicts.count("w")
    assert (row["n"], row["n_correct"], row["n_wrong"]) == (len(verdicts), correct, wrong)
    assert row["n_unknown"] == len(verdicts) - correct - wrong
    if correct + wrong:
        assert row["pass_rate"] == pytest.approx(correct / (correct + wrong))
        assert row["difficulty"] == pytest.approx(1 - row["pass_rate"])
        assert row["pass_low"] <= row["pass_rate"] <= row["pass_high"]
    else:
        assert row["pass_rate"] is row["pass_low"] is row["pass_high"] is row["difficulty"] is None


def test_hand_worked_interval():
    (row,) = rows(pass_rate(of_groups(group("a", "ccccwwww"))), "problem_stats")
    assert (row["pass_low"], row["pass_high"]) == pytest.approx((0.215216, 0.784784), abs=1e-6)


def test_groups_stay_apart_and_continuations_out():
    inputs = of_groups(
        group("a", "cw"), group("a", "ww", sampling_id="g_two"), group("a", "cc", policy_id="m_other"),
        group("a", "cc", condition="prefix", sampling_id="g_three"),
    )  # fmt: skip
    found = {(r["policy_id"], r["sampling_id"]): r["group_state"] for r in rows(pass_rate(inputs), "problem_stats")}
    assert found == {
        ("m_toy", "g_first"): "mixed", ("m_toy", "g_two"): "all_wrong", ("m_other", "g_first"): "all_correct",
    }  # fmt: skip


def test_truncated_are_counted():
    problem, made, scores = group("a", "cwu")
    made[2] |= {"finish_reason": "length"}
    (row,) = rows(pass_rate(inputs_of([problem], made, scores)), "problem_stats")
    assert (row["n_truncated"], row["n_unknown"]) == (1, 1)


def test_a_problem_without_rollouts_is_rejected_not_zero():
    tables = pass_rate(of_groups(group("a", "cw"), (problem_row("b"), [], [])))
    assert [r["reason"] for r in rows(tables, "rejects")] == ["no_rollouts"]
    assert len(rows(tables, "problem_stats")) == 1
    assert not rows(pass_rate(of_groups()), "problem_stats")


def test_own_bins_and_their_mistakes():
    inputs = of_groups(group("a", "cwww"))
    (row,) = rows(pass_rate(inputs, bins={"low": 0.5, "high": 1.0}, min_judged=5), "problem_stats")
    assert (row["group_state"], row["difficulty_bin"], row["pass_rate"]) == ("undecided", "undecided", 0.25)
    (row,) = rows(pass_rate(inputs, bins={"low": 0.5, "high": 1.0}), "problem_stats")
    assert row["difficulty_bin"] == "low"
    for bins, why in [
        ({}, "no bins"), ({"a": 0.5}, "last upper edge"), ({"a": 0.6, "b": 0.5, "c": 1.0}, "must rise"),
        ({"perfect": 1.0}, "is a bin already"), ({"a": 0.0, "b": 1.0}, "must rise"),
    ]:  # fmt: skip
        with pytest.raises(ValidationError, match=why):
            PassRate.Config(use=PassRate.use, bins=bins)


@settings(deadline=None)
@given(st.lists(st.integers(0, 12).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), max_size=6))
def test_every_group_has_one_bin(counts):
    groups = [group(str(i), "c" * k + "w" * (n - k)) for i, (k, n) in enumerate(counts)]
    tables = pass_rate(of_groups(*groups))
    names = {*DEFAULT_BINS, "impossible", "perfect", "undecided"}
    assert all(r["difficulty_bin"] in names for r in rows(tables, "problem_stats"))
    assert len(rows(tables, "problem_stats")) == sum(n > 0 for _, n in counts)


# -- order ----------------------------------------------------------------------------------------------------------


class Parted(MemoryInputs):
    """Inputs whose partitions are one problem each."""

    def partitions(self):
        stats = self.of_stage("difficulty", "problem_stats").to_pylist()
        for problem in dict.fromkeys(r["problem_id"] for r in stats):
            own = [r for r in stats if r["problem_id"] == problem]
            yield of_stats(own)


STAGES = [stage_info("difficulty", PassRate.use, ("problem_stats",))]


def of_stats(stats, kind=MemoryInputs):
    return kind(STAGES, ["difficulty"], {"difficulty": {"problem_stats": PROBLEM_STATS.from_rows(stats)}})


def stat(problem, correct, wrong, round_=0):
    return {
        "problem_id": problem, "policy_id": "m", "round": round_, "sampling_id": "g", "n": correct + wrong,
        "n_correct": correct, "n_wrong": wrong, "n_unknown": 0, "n_truncated": 0, "group_state": "mixed",
        "difficulty_bin": "medium", "stage_id": "h",
    }  # fmt: skip


def order(inputs, **fields):
    stage = Order("order", Order.Config.model_validate({"use": Order.use, "of": "difficulty", **fields}))
    tables = stage.run(inputs, ToyServices())
    check_keys("order", tables)
    check_coverage("order", stage.covers, inputs, tables)
    return tables


STATS = [stat("d", 1, 3), stat("b", 3, 1), stat("a", 1, 3), stat("c", 4, 0), stat("e", 0, 0)]


@pytest.mark.parametrize("kind", [MemoryInputs, Parted])
def test_ranks(kind):
    tables = order(of_stats(STATS, kind))
    ranks = {r["target_id"]: r["detail"] for r in rows(tables, "scores")}
    assert ranks == {"c": "0", "b": "1", "a": "2", "d": "3"}
    assert [r["target_id"] for r in rows(tables, "rejects")] == ["e"]
    back = {r["target_id"]: r["value"] for r in rows(order(of_stats(STATS, kind), direction="hard_to_easy"), "scores")}
    assert back == {"a": 0, "d": 1, "b": 2, "c": 3}


def test_the_latest_round_counts():
    tables = order(of_stats([stat("a", 4, 0, 0), stat("a", 0, 4, 1), stat("b", 2, 2, 1)]))
    assert {r["target_id"]: r["value"] for r in rows(tables, "scores")} == {"b": 0, "a": 1}


def test_no_stats_no_ranks():
    assert not rows(order(of_stats([])), "scores") and not rows(order(of_stats([], Parted)), "scores")


def test_estimates_pass_the_problems_on():
    volume = Estimate(problems=5, rollouts=40)
    made = PassRate("d", PassRate.Config(use=PassRate.use)).estimate(volume)
    assert (made.problems, made.rollouts, made.rows) == (5, 40, {"problem_stats": 5})
