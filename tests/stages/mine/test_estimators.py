"""Group advantages: every formula worked out by hand, and what holds whatever the rewards."""

from __future__ import annotations

import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.rollouts.groups import GROUP
from synthflow.stages.mine.estimators import BINARY, Knobs, columns


def advantages(rewards, *names, knobs=None):
    """{scorer: values} of one group."""
    frame = pl.DataFrame(
        {"reward": pl.Series(rewards, dtype=pl.Float64)} | {name: ["x"] * len(rewards) for name in GROUP}
    )
    made = [column for name in names for column in columns(name, knobs or Knobs())]
    return {c.scorer: frame.select(c.value.alias("v"))["v"].to_list() for c in made}


def one(rewards, name, knobs=None):
    (values,) = advantages(rewards, name, knobs=knobs).values()
    return values


def reasons(rewards, name):
    frame = pl.DataFrame(
        {"reward": pl.Series(rewards, dtype=pl.Float64)} | {name: ["x"] * len(rewards) for name in GROUP}
    )
    return frame.select(columns(name, Knobs())[0].why_not.alias("v"))["v"].to_list()


def near(values):
    return [None if v is None else pytest.approx(v) for v in values]


def test_one_right_of_four_by_hand():
    """Rewards 1, 0, 0, 0: mean .25; squares of differences .5625 + 3 · .0625 = .75, so std sqrt(.75/3) = .5 of the
    sample and sqrt(.75/4) = .4330127 of the population."""
    r = [1, 0, 0, 0]
    plain = Knobs(eps=0.0)
    assert one(r, "grpo_no_std") == near([0.75, -0.25, -0.25, -0.25])
    assert one(r, "grpo", plain) == near([1.5, -0.5, -0.5, -0.5])
    assert one(r, "grpo") == near([0.75 / 0.5001, *[-0.25 / 0.5001] * 3])
    population = Knobs(std="population", eps=0.0)
    assert one(r, "grpo", population) == near([math.sqrt(3), *[-1 / math.sqrt(3)] * 3])
    # The right one against the mean 0 of the others; a wrong one against (1 + 0 + 0)/3.
    assert one(r, "rloo") == near([1, -1 / 3, -1 / 3, -1 / 3])
    assert one(r, "psr") == near([1, 0, 0, 0])
    assert one(r, "nsr") == near([0, -1, -1, -1])
    assert one(r, "weighted") == near([0.1, -1, -1, -1])
    # Rewards 1, -1, -1, -1: 1 - (-1) = 2; a wrong one -1 - (1 - 1 - 1)/3 = -2/3, and half of it.
    assert one(r, "oreal") == near([2, -1 / 3, -1 / 3, -1 / 3])
    assert one(r, "oreal", Knobs(negative_factor=1.0)) == near([2, -2 / 3, -2 / 3, -2 / 3])
    assert advantages(r, "nft") == {"nft.correct_rate": near([0.25] * 4), "nft.prompt_weight": near([0.75] * 4)}
    assert advantages(r, "nft", knobs=Knobs(prompt_weight="sqrt"))["nft.prompt_weight"] == near([math.sqrt(3)] * 4)


def test_unknown_rewards_count_in_nobody_s_baseline():
    r = [1, None, 0]
    assert one(r, "rloo") == near([1, None, -1])
    assert one(r, "grpo_no_std") == near([0.5, None, -0.5])
    for name in ("grpo", "psr", "nsr", "weighted", "oreal"):
        assert one(r, name)[1] is None and None not in one(r, name)[::2]
    assert advantages(r, "nft")["nft.correct_rate"] == [0.5, None, 0.5]


def test_who_is_alone_is_compared_with_nobody():
    for name in ("grpo", "grpo_no_std", "rloo", "oreal"):
        assert one([1, None], name) == [None, None] and reasons([1, None], name)[0] == "alone"
    assert one([0], "nsr") == [-1.0] and one([1], "weighted") == near([0.1])


def test_unanimous_groups():
    for r in ([1, 1, 1], [0, 0, 0]):
        for name in ("grpo", "grpo_no_std", "rloo", "oreal"):
            assert one(r, name) == [0, 0, 0]
        assert one(r, "grpo", Knobs(eps=0.0)) == [0, 0, 0]
    assert one([0, 0], "nsr") == [-1, -1] and one([1, 1], "psr") == [1, 1]
    assert reasons([1, 1], "nft") == ["group_all_correct"] * 2 and reasons([0, 0], "nft") == ["group_all_wrong"] * 2
    assert set(one([0.1] * 3, "grpo", Knobs(eps=0.0))) == {0.0}  # .1 + .1 + .1 is not .3


def test_nft_keeps_its_rate_off_the_ends():
    """1 of 100 is right: .01 becomes .02; its weights are .98 and sqrt(.98/.02) = 7."""
    r = [1] + [0] * 99
    assert advantages(r, "nft")["nft.correct_rate"][0] == pytest.approx(0.02)
    assert advantages(r, "nft")["nft.prompt_weight"][0] == pytest.approx(0.98)
    assert advantages(r, "nft", knobs=Knobs(prompt_weight="sqrt"))["nft.prompt_weight"][0] == pytest.approx(7)


def test_partial_rewards():
    """.5, 1, 0 have mean .5 and sample std sqrt((0 + .25 + .25)/2) = .5."""
    assert one([0.5, 1, 0], "grpo", Knobs(eps=0.0)) == near([0, 1, -1])
    assert one([0.5, 1, 0], "rloo") == near([0, 0.75, -0.75])
    assert {"psr", "nsr", "weighted", "oreal", "nft"} == BINARY


REWARDS = st.lists(st.sampled_from([0, 1, None]), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(REWARDS)
def test_properties(rewards):
    known = [r for r in rewards if r is not None]
    n = len(known)
    made = {k: [v for v in vs if v is not None] for k, vs in advantages(rewards, "grpo", "grpo_no_std", "rloo", "psr",
            "nsr", "weighted", "oreal").items()}  # fmt: skip
    if n < 2:
        assert not made["advantage.rloo"] and not made["advantage.grpo"]
    else:
        for name in ("rloo", "grpo", "grpo_no_std"):
            assert len(made[f"advantage.{name}"]) == n and sum(made[f"advantage.{name}"]) == pytest.approx(0, abs=1e-9)
        assert made["advantage.rloo"] == near([n / (n - 1) * a for a in made["advantage.grpo_no_std"]])
        halves = [a if r else a / 2 for a, r in zip(made["advantage.rloo"], known, strict=True)]
        assert made["advantage.oreal"] == near([2 * a for a in halves])
        mixed = 0 < sum(known) < n
        std = math.sqrt(sum((a / 1) ** 2 for a in made["advantage.grpo"]) / (n - 1))
        assert std == pytest.approx(float(mixed), abs=1e-3)
    both = [p + q for p, q in zip(made["advantage.psr"], made["advantage.nsr"], strict=True)]
    assert both == [1 if r else -1 for r in known]
    assert made["advantage.weighted"] == near([0.1 * p + q for p, q in
            zip(made["advantage.psr"], made["advantage.nsr"], strict=True)])  # fmt: skip
