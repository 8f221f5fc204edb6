"""pass@k: the chance that at least one of k samples is right, from n samples of which c are.

1 - C(n-c, k) / C(n, k): the unbiased estimator of Chen et al. 2021 ("Evaluating Large Language Models Trained on
Code", equation 1). Unknown verdicts are in neither n nor c.
"""

from __future__ import annotations

from math import comb

import numpy as np
import polars as pl
from numpy.typing import NDArray

from synthflow.statistics.accumulate import SCHEMA, one_each


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


def exploration(groups: NDArray[np.int64], judged: NDArray[np.int64], correct: NDArray[np.int64]) -> pl.DataFrame:
    """pass_at_1, pass_at_2, pass_at_4, ... of each group, as far as its judged rollouts go."""
    frames = [pl.DataFrame(schema=SCHEMA)]
    for k in powers_of_two(int(judged.max(initial=0))):
        able = judged >= k
        pairs, which = np.unique(np.stack([judged[able], correct[able]], axis=1), axis=0, return_inverse=True)
        values = np.array([pass_at_k(int(n), int(c), k) for n, c in pairs])
        frames.append(one_each(f"pass_at_{k}", groups[able], values[which.reshape(-1)]))
    return pl.concat(frames)
