"""Lines of the journal as results and as columns: the same whatever they hold."""

from __future__ import annotations

import math

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.contracts import SampleResult
from synthflow.schema.types import F32S, I32S
from synthflow.stores.results import Results

TEXT = st.text(st.characters(codec=None, categories=None), max_size=6)
NUMBERS = st.none() | st.lists(st.integers(0, 2**31 - 1), max_size=4).map(tuple)
LOGPROBS = st.none() | st.lists(st.floats(width=32, allow_nan=False), max_size=4).map(tuple)
RESULTS = st.builds(
    SampleResult,
    rollout_id=st.text("r_0123456789abcdef", max_size=5),
    text=TEXT,
    finish_reason=st.sampled_from(["stop", "length", "refused"]),
    token_ids=NUMBERS,
    logprobs=LOGPROBS,
    sampling_logprobs=LOGPROBS,
    n_tokens=st.none() | st.integers(0, 9),
    reason=st.none() | st.just('it said "finish":"stop","notes":[1]'),
    notes=st.just(()) | st.just(("a seed was not taken",)),
    answer_start=st.none() | st.integers(0, 9),
)


@settings(deadline=None)
@given(st.lists(RESULTS, max_size=6))
def test_results_are_what_they_were_and_their_columns_hold_the_same(given_: list[SampleResult]) -> None:
    results = Results.of(given_)
    assert results == given_ and results[1:] == given_[1:] and Results.of(results) is results
    columns = results.columns()
    assert columns.texts == [r.text for r in given_] and columns.n_tokens == [r.n_tokens for r in given_]
    assert columns.finish_reasons == results.finish_reasons() == [r.finish_reason for r in given_]
    assert columns.answer_starts == [r.answer_start for r in given_]
    for column, values, as_type in (
        (columns.token_ids, [r.token_ids for r in given_], I32S),
        (columns.logprobs, [r.logprobs for r in given_], F32S),
        (columns.sampling_logprobs, [r.sampling_logprobs for r in given_], F32S),
    ):
        assert column.equals(pa.array(values, as_type))
    assert results.with_notes() == [at for at, r in enumerate(given_) if r.notes]


def test_what_is_no_number_stays_so() -> None:
    [told] = (
        Results.of([SampleResult("r_1", "", "stop", logprobs=(-math.inf, math.nan))]).columns().logprobs.to_pylist()
    )
    assert told[0] == -math.inf and math.isnan(told[1])
