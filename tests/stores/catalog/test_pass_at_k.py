"""The view `pass_at_k` by hand, against exact fractions up to n = 256, and against the Python function."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import duckdb
import pytest

from synthflow.statistics.pass_at_k import pass_at_k
from synthflow.stores.catalog.views import PASS_AT_K


def view(groups: list[tuple[int, int]]) -> dict[tuple[int, int, int], float]:
    """{(n, c, k): estimate} of groups with n judged rollouts, c of them correct."""
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE groups (problem_id VARCHAR, policy_id VARCHAR, round INTEGER, sampling_id VARCHAR, "
            "stage VARCHAR, domain VARCHAR, difficulty_bin VARCHAR, n_judged BIGINT, n_correct BIGINT, n_wrong BIGINT)"
        )
        rows = [(f"p{i}", "m", 0, "g", "v", None, None, n, c, n - c) for i, (n, c) in enumerate(groups)]
        connection.executemany("INSERT INTO groups VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        found = connection.execute(f"SELECT n_judged, n_correct, k, pass_at_k FROM ({PASS_AT_K.sql})").fetchall()
    return {(n, c, k): estimate for n, c, k, estimate in found}


def test_by_hand() -> None:
    """Of 4 with 1 right: one draw 1/4; two draws miss it in C(3,2) = 3 of C(4,2) = 6; four cannot."""
    found = view([(4, 1), (3, 0), (2, 2)])
    assert found == {
        (4, 1, 1): pytest.approx(0.25), (4, 1, 2): pytest.approx(0.5), (4, 1, 4): 1.0,
        (3, 0, 1): 0.0, (3, 0, 2): 0.0, (2, 2, 1): 1.0, (2, 2, 2): 1.0,
    }  # fmt: skip


def test_256_samples_are_exact_to_rounding() -> None:
    found = view([(256, c) for c in range(257)])
    assert {k for _, _, k in found} == {1, 2, 4, 8, 16, 32, 64, 128, 256}
    for (n, c, k), estimate in found.items():
        exact = 1 - Fraction(comb(n - c, k), comb(n, k))
        assert estimate == pytest.approx(float(exact), rel=1e-12, abs=1e-13), (n, c, k)
        assert pass_at_k(n, c, k) == pytest.approx(float(exact), rel=1e-12, abs=1e-13)
    for c in range(257):  # more draws never hurt, and more right ones neither
        estimates = [found[256, c, 2**i] for i in range(9)]
        assert estimates == sorted(estimates) and (c == 0 or found[256, c, 8] >= found[256, c - 1, 8])
