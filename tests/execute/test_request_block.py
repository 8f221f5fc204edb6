"""Requests on their way: what comes out is what went in."""

from __future__ import annotations

import pickle

from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.contracts import SampleRequest, SamplingParams
from synthflow.execute.request_block import RequestBlock

REQUESTS = st.builds(
    SampleRequest,
    rollout_id=st.text(max_size=4),
    problem_id=st.sampled_from(["p_1", "p_2"]),
    messages=st.lists(st.tuples(st.just("user"), st.text(max_size=3)), max_size=2).map(tuple),
    prompt_token_ids=st.none() | st.lists(st.integers(0, 9), max_size=3).map(tuple),
    params=st.sampled_from([SamplingParams(), SamplingParams(temperature=0.5)]),
    seed=st.integers(0, 2**62),
    score=st.none() | st.just((1, 2)),
    entropy_top=st.integers(0, 2),
)


@settings(deadline=None)
@given(st.lists(REQUESTS))
def test_a_block_is_what_it_was_made_of_wherever_it_went(asked: list[SampleRequest]) -> None:
    block = RequestBlock(asked)
    there = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(block))))
    assert list(there) == asked and len(there) == len(asked) and there[:1] == asked[:1]


def test_requests_of_one_prompt_carry_it_once() -> None:
    tokens = tuple(range(1000, 3000))
    asked = [SampleRequest(f"r_{i}", "p", (), tokens, SamplingParams(), i) for i in range(100)]
    other = [SampleRequest("r_x", "p", (), tokens[::-1], SamplingParams(), 1)]
    assert len(pickle.dumps(RequestBlock(asked + other))) < 3 * len(pickle.dumps(tokens))
