"""Exploration: what more samples of a problem would find."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from synthflow.statistics.metrics.metric import GroupMetric, Metric, Values
from synthflow.statistics.metrics.population import Population
from synthflow.statistics.pass_at_k import pass_at_k, powers_of_two


def _pass_at(population: Population) -> Mapping[int, Values]:
    """pass@k of each group for k = 1, 2, 4, ..., as far as its judged rollouts go."""
    passed = population.observed("pass_rate")
    judged = population.group_sums(np.isfinite(passed).astype(np.float64))[population.groups].astype(np.int64)
    correct = population.group_sums(np.nan_to_num(passed))[population.groups].astype(np.int64)
    found = {}
    for k in powers_of_two(int(judged.max(initial=0))):
        able = judged >= k
        pairs, which = np.unique(np.stack([judged[able], correct[able]], axis=1), axis=0, return_inverse=True)
        values = np.array([pass_at_k(int(n), int(c), k) for n, c in pairs])
        found[k] = population.groups[able], values[which.reshape(-1)]
    return found


EXPLORATION: tuple[Metric, ...] = (
    GroupMetric(
        name="pass_at_*",
        axis="exploration",
        formula="1 - C(n-c, k) / C(n, k) for k = 1, 2, 4, ... up to n judged",
        source="Chen et al. 2021, eq. 1",
        values=_pass_at,
        headings={"pass_at_1": "pass @1", "pass_at_8": "pass @8"},
    ),
)
