"""Accumulators and sketches: parts add up to the whole, in whatever order."""

from __future__ import annotations

import math
import random
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthflow.statistics.accumulate import accumulate, as_table, one_each, sketched
from synthflow.statistics.accumulators import EMPTY, Accumulator, merge, merge_all
from synthflow.statistics.bins import SIZES
from synthflow.statistics.metrics import bins
from synthflow.statistics.sketches import (
    HASH_SPACE,
    distinct_estimate,
    merge_sketches,
    ngram_hashes,
    sketch_of,
    text_hashes,
)

# Integers, so that float sums are exact and equality may be asked for.
observations = st.lists(st.integers(-1000, 1000).map(float), max_size=20)
hash_sets = st.frozensets(st.integers(0, 40).map(lambda i: i * (HASH_SPACE // 41)), max_size=30)
sizes = st.integers(1, 12)

GOLDEN_TEXTS = [3255150753318709689, 2694192671310997778, 4442436484025538329]
GOLDEN_BIGRAMS = [612227953877532684, 4556075010061341864]


@st.composite
def accumulators(draw: st.DrawFn) -> Accumulator:
    plain = Accumulator.of(draw(observations))
    histogram = draw(st.none() | st.tuples(*[st.integers(0, 9)] * 4))
    sketch = draw(st.none() | st.builds(lambda s, k: tuple(sketch_of(s, k)), hash_sets, sizes))
    return Accumulator(*(getattr(plain, n) for n in Accumulator.__slots__[:5]), histogram, sketch)


@given(accumulators(), accumulators(), accumulators())
def test_merging_is_associative_and_commutative(a: Accumulator, b: Accumulator, c: Accumulator) -> None:
    assert merge(a, merge(b, c)) == merge(merge(a, b), c)
    assert merge(a, b) == merge(b, a)
    assert merge(a, EMPTY) == a


@given(st.lists(observations, max_size=6))
def test_parts_add_up_to_the_whole(parts: list[list[float]]) -> None:
    assert merge_all(map(Accumulator.of, parts)) == Accumulator.of([x for part in parts for x in part])


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=50))
def test_mean_and_spread_are_those_of_the_statistics_module(values: list[float]) -> None:
    merged = merge_all(Accumulator.of([v]) for v in values)
    assert merged.mean == pytest.approx(statistics.fmean(values), abs=1e-6)
    assert merged.std == pytest.approx(statistics.stdev(values), abs=1e-3)


@given(st.lists(hash_sets, max_size=5), sizes)
def test_merged_sketches_hold_the_union_below_their_bound(sets: list[frozenset[int]], size: int) -> None:
    merged = merge_sketches([sketch_of(s, size) for s in sets])
    union = frozenset().union(*sets)
    assert merged == [*sorted(h for h in union if h < merged[-1]), merged[-1]]
    if all(len(s) <= size for s in sets):
        assert distinct_estimate(merged) == len(union), "exact while nothing was left out"


def test_distinct_counts_are_within_their_error() -> None:
    rng = random.Random(7)
    estimates = []
    for _ in range(30):
        space = [rng.randrange(HASH_SPACE) for _ in range(5000)]
        parts = [rng.sample(space, 400) for _ in range(60)]
        truth = len(set().union(*parts))
        estimates.append(distinct_estimate(merge_sketches([sketch_of(p, 64) for p in parts])) / truth)
    # Each merge keeps about 64 * 5000 / 400 = 800 hashes: a relative error of 3.5%, of the mean of 30 of 0.65%.
    assert statistics.fmean(estimates) == pytest.approx(1.0, abs=0.03)
    assert all(abs(e - 1) < 0.2 for e in estimates)


def test_quantiles_stay_in_their_bin() -> None:
    values = [1.0, 3.0, 3.0, 100.0, 700.0]
    histogram = np.histogram(values, bins=SIZES)[0]
    held = Accumulator(5, sum(values), 0.0, 1.0, 700.0, tuple(int(n) for n in histogram))
    for q, truth in ((0.0, 1.0), (0.5, 3.0), (0.8, 100.0), (1.0, 700.0)):
        found = held.quantile(q, SIZES)
        assert found is not None and truth / math.sqrt(2) <= found <= truth * math.sqrt(2)
    with pytest.raises(ValueError):
        held.quantile(0.5, SIZES[:-1])


def test_bins_ascend() -> None:
    for edges in bins().values():
        assert list(edges) == sorted(set(edges))


def test_hashes_never_change() -> None:
    """Golden values: stored sketches must stay comparable."""
    assert text_hashes(["", "word", "é😀"]).tolist() == GOLDEN_TEXTS
    words = text_hashes(["a", "b", "c"])
    assert ngram_hashes(words, np.array([3]), 2)[1].tolist() == GOLDEN_BIGRAMS


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=6), max_size=5), st.integers(1, 4))
def test_ngrams_are_equal_exactly_where_their_words_are(texts: list[list[str]], n: int) -> None:
    flat = [word for text in texts for word in text]
    owner, hashes = ngram_hashes(text_hashes(flat), np.array([len(t) for t in texts], dtype=np.int64), n)
    truth = [
        (i, tuple(text[j : j + n]))
        for i, text in enumerate(texts)
        for j in range(max(len(text) - n + 1, 1) if text else 0)
    ]
    assert owner.tolist() == [i for i, _ in truth]
    by_hash = dict(zip(hashes.tolist(), (gram for _, gram in truth), strict=True))
    assert [by_hash[h] for h in hashes.tolist()] == [gram for _, gram in truth]
    assert len(by_hash) == len({gram for _, gram in truth})


def test_one_table_of_the_accumulators_of_many_metrics() -> None:
    groups, nothing = np.array([0, 0, 2]), np.array([], np.int64)
    parts = [
        accumulate("size", groups, np.array([1.0, 5.0, np.nan]), edges=(0.0, 2.0, 8.0)),
        accumulate("none", nothing, np.array([]), edges=(0.0, 1.0)),
        one_each("rate", np.array([0, 2]), np.array([0.5, np.inf])),
        sketched("words", np.array([0, 0, 0, 2]), np.array([3, 5, 9, 4]), np.array([7.0, 0.0, 1.0]), size=2),
    ]
    table = as_table(parts)
    rows = table.select(["group", "metric", "count", "total", "total_sq", "minimum", "maximum"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        (0, "size", 2.0, 6.0, 26.0, 1.0, 5.0),
        (0, "rate", 1.0, 0.5, 0.25, 0.5, 0.5),
        (0, "words", 7.0, 7.0, 7.0, 1.0, 1.0),
        (2, "words", 1.0, 1.0, 1.0, 1.0, 1.0),
    ]
    assert table["histogram"].to_pylist() == [[1, 1], None, None, None]
    assert table["sketch"].to_pylist() == [None, None, [3, 5, 9], [4, HASH_SPACE]]
    assert as_table([]).num_rows == 0
