"""What `measure.calibration` observes where a scorer and a reference judged one rollout."""

from __future__ import annotations

import polars as pl

from synthflow.statistics.bins import CELLS, VALUES
from synthflow.statistics.metrics.metric import ComparisonMetric
from synthflow.statistics.scorer_agreement import VERDICTS

_LAST = len(VALUES) - 2
_HUNDREDTH = (pl.col("value") * _LAST).floor().clip(0, _LAST).cast(pl.Int64)

CONFUSION = ComparisonMetric(
    name="confusion",
    axis="quality",
    formula="calibration only: 1 if scorer and reference say the same, else 0",
    cell=len(VERDICTS) * pl.col("truth") + pl.col("code"),
    bins=CELLS,
)

VALUES_BY_TRUTH: tuple[ComparisonMetric, ...] = tuple(
    ComparisonMetric(
        name=f"value_if_{truth}",
        axis="quality",
        formula=f"calibration only: the scorer's value if the truth is {truth}",
        cell=_HUNDREDTH,
        bins=VALUES,
    )
    for truth in VERDICTS[:2]
)
"""In the order of VERDICTS; where the truth is unknown, a value says nothing."""

CALIBRATION: tuple[ComparisonMetric, ...] = (CONFUSION, *VALUES_BY_TRUTH)
