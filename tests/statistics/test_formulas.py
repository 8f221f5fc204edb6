"""pass@k, entropy, Jaccard and Vendi against hand-worked cases and direct computations."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthflow.statistics.diversity import SAMPLE, distinct_and_entropy, jaccard_kernels, self_similarity, vendi
from synthflow.statistics.pass_at_k import pass_at_k, powers_of_two
from synthflow.statistics.texts import shapes, words

gram_sets = st.lists(st.frozensets(st.integers(0, 12), max_size=8), min_size=1, max_size=SAMPLE)


def kernels_of(groups: list[list[frozenset[int]]]) -> tuple[np.ndarray, np.ndarray]:
    rows = [
        (g, sum(1 << place for place, held in enumerate(group) if gram in held))
        for g, group in enumerate(groups)
        for gram in frozenset().union(*group)
    ]
    of, holders = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    members = np.array([len(group) for group in groups])
    return jaccard_kernels(of, holders, members), members


def test_pass_at_k_by_hand() -> None:
    # 5 samples, 2 right: of the C(5,3) = 10 ways to draw 3, only {the 3 wrong ones} has none right.
    assert pass_at_k(5, 2, 3) == pytest.approx(1 - 1 / 10)
    assert pass_at_k(5, 2, 1) == pytest.approx(2 / 5)
    assert pass_at_k(5, 0, 5) == 0.0
    assert pass_at_k(5, 1, 5) == 1.0
    with pytest.raises(ValueError):
        pass_at_k(4, 1, 5)
    assert powers_of_two(16) == [1, 2, 4, 8, 16] and powers_of_two(7) == [1, 2, 4] and powers_of_two(0) == []


@given(st.integers(1, 9), st.data())
def test_pass_at_k_is_the_share_of_draws_with_a_right_one(n: int, data: st.DataObject) -> None:
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    draws = list(combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_pass_at_k_of_many_samples_is_exact() -> None:
    assert pass_at_k(10_000, 1, 100) == pytest.approx(0.01)


def test_vendi_by_hand() -> None:
    """Two texts with a third of their grams in common: K/2 has eigenvalues (1 ± 1/3)/2 = 2/3 and 1/3."""
    kernels, members = kernels_of([[frozenset({1, 2}), frozenset({2, 3})], [frozenset({1})] * 3])
    assert kernels[0, 0, 1] == pytest.approx(1 / 3)
    by_hand = math.exp(-(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3)))
    assert vendi(kernels, members).tolist() == [pytest.approx(by_hand), pytest.approx(1.0)]
    assert self_similarity(kernels, members).tolist() == [pytest.approx(1 / 3), pytest.approx(1.0)]


@given(st.lists(gram_sets, min_size=1, max_size=4))
def test_kernels_and_scores_are_those_of_a_direct_computation(groups: list[list[frozenset[int]]]) -> None:
    kernels, members = kernels_of(groups)
    for kernel, group, similar, score in zip(
        kernels, groups, self_similarity(kernels, members), vendi(kernels, members), strict=True
    ):
        n = len(group)
        direct = np.array([[len(a & b) / len(a | b) if a | b else 1.0 for b in group] for a in group])
        assert np.allclose(kernel[:n, :n], direct)
        assert not kernel[n:].any() and not kernel[:, n:].any()
        eigenvalues = np.linalg.eigvalsh(direct / n)
        assert score == pytest.approx(math.exp(-sum(v * math.log(v) for v in eigenvalues if v > 1e-12)), abs=1e-6)
        assert 1 - 1e-6 <= score <= n + 1e-6
        pairs = [direct[i, j] for i, j in combinations(range(n), 2)]
        assert math.isnan(similar) if not pairs else similar == pytest.approx(np.mean(pairs), abs=1e-8)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=40))
def test_entropy_and_distinct_counts(pairs: list[tuple[int, int]]) -> None:
    pairs.sort()
    groups, elements = (np.array([p[i] for p in pairs], dtype=np.int64) for i in range(2))
    present, distinct, entropy = distinct_and_entropy(groups, elements)
    assert present.tolist() == sorted({g for g, _ in pairs})
    for group, count, nats in zip(present, distinct, entropy, strict=True):
        held = [e for g, e in pairs if g == group]
        shares = [held.count(e) / len(held) for e in set(held)]
        assert count == len(shares)
        assert nats == pytest.approx(-sum(p * math.log(p) for p in shares), abs=1e-8)


def test_four_equal_answers_have_ln_4() -> None:
    _, _, entropy = distinct_and_entropy(np.zeros(8, np.int64), np.array([0, 1, 2, 3] * 2))
    assert entropy[0] == pytest.approx(math.log(4))


def test_shapes_mask_digits_and_blanks_only() -> None:
    same = shapes(pl.Series(["2 + 2 = 4", "12  +\n3 = 15 "]))
    assert same[0] == same[1]
    assert len(set(shapes(pl.Series(["2 + 2", "2 - 2", ""])).tolist())) == 3


def test_words() -> None:
    hashes, lengths = words(pl.Series(["a b, a", "", "héllo😀"]))
    assert lengths.tolist() == [4, 0, 2]
    assert hashes[0] == hashes[3] and len(set(hashes.tolist())) == 5
