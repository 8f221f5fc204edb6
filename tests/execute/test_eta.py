"""What a stage will still ask for, from a plan's guess to what its units asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthflow.contracts import Estimate
from synthflow.execute.eta import Demand, tokens_per_request

EXACT = Estimate(requests=100, tokens=1000)
LOOSE = Estimate(requests=100, tokens=1000, most_requests=400)


def test_before_anything_is_asked_the_plan_is_believed() -> None:
    assert Demand(4, guess=EXACT).requests() == 100
    assert Demand(2, share=0.5, guess=EXACT).requests() == 50
    assert Demand(0, share=0.0, guess=EXACT).requests() == 0


def test_a_unit_at_work_tells_of_the_others_only_where_the_plan_guessed() -> None:
    assert Demand(4, guess=LOOSE, asked={"a": 10}).requests() == 40
    assert Demand(4, guess=EXACT, asked={"a": 10}).requests() == 100


def test_units_that_ended_tell_of_the_others() -> None:
    demand = Demand(4, guess=EXACT, asked={"a": 10, "b": 50, "c": 70}, ended={"a", "b"})
    assert demand.requests() == 10 + 50 + 70 + 30
    assert demand.left(answered=60) == 100
    assert demand.left(answered=70) == 90


def test_what_an_ended_unit_asked_is_answered_by_whoever_did_it() -> None:
    """Two stages that ask for the same pay once: the counts of the second stay low."""
    demand = Demand(1, guess=EXACT, asked={"a": 10}, ended={"a"})
    assert demand.left(answered=0) == 0


@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 500)),
    st.sets(st.sampled_from("abcdefgh")),
    st.sampled_from([EXACT, LOOSE, Estimate()]),
)
def test_never_less_than_what_was_asked_and_exact_at_the_end(
    asked: dict[str, int], ended: set[str], guess: Estimate
) -> None:
    demand = Demand(8, guess=guess, asked=asked, ended=ended)
    assert demand.requests() >= sum(asked.values()) - 1e-6
    done = Demand(8, guess=guess, asked=asked, ended=set("abcdefgh"))
    assert done.requests() == sum(asked.values()) and done.left(0) == 0


def test_tokens_of_a_request_follow_the_means_of_others() -> None:
    others = [(Estimate(requests=10, tokens=2560), 64.0)]
    assert tokens_per_request(Estimate(requests=4, tokens=512), others) == pytest.approx(32)
    assert tokens_per_request(Estimate(), others) is None
    assert tokens_per_request(EXACT, []) is None
