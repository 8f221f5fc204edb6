"""pass@k: the chance that at least one of k samples is right, from n samples of which c are.

1 - C(n-c, k) / C(n, k): the unbiased estimator of Chen et al. 2021 ("Evaluating Large Language Models Trained on
Code", equation 1). Unknown verdicts are in neither n nor c.
"""

from __future__ import annotations

from math import comb


def pass_at_k(n: int, c: int, k: int) -> float:
    """Unbiased estimate of pass@k.

    Args:
        n: samples judged correct or wrong.
        c: of these, correct.
        k: at least 1, at most n.

    Raises:
        ValueError: if k samples cannot be drawn from n, or c is no part of n.
    """
    if not (1 <= k <= n and 0 <= c <= n):
        raise ValueError(f"pass@{k} is not defined for {c} correct of {n}")
    return 1.0 - comb(n - c, k) / comb(n, k)


def powers_of_two(n: int) -> list[int]:
    """1, 2, 4, ... up to n."""
    return [1 << i for i in range(n.bit_length())]
