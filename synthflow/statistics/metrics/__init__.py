"""The metrics of `stats`, a file an axis: an entry there, with its function, bins and heading, is all a metric needs.

The stage that measures, the catalog, the summary of a run and docs/statistics.md read this list.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from synthflow.statistics.metrics.calibration import CALIBRATION
from synthflow.statistics.metrics.complexity import COMPLEXITY
from synthflow.statistics.metrics.diversity import DIVERSITY
from synthflow.statistics.metrics.exploration import EXPLORATION
from synthflow.statistics.metrics.metric import Metric
from synthflow.statistics.metrics.quality import QUALITY

METRICS: tuple[Metric, ...] = (*QUALITY, *CALIBRATION, *DIVERSITY, *COMPLEXITY, *EXPLORATION)

BINS: Mapping[str, tuple[float, ...]] = {metric.name: metric.bins for metric in METRICS if metric.bins is not None}
"""Edges by metric. A metric that is not here stores no histogram: a rate, or one observation a group."""

HEADINGS: Mapping[str, str] = {name: text for metric in METRICS for name, text in metric.shown().items()}
"""Metrics shown on one screen, and their headers; all are in `run_summary` and in the view `qdc`."""


@cache
def metric_of(name: str) -> Metric:
    """The metric or family that `name` belongs to; a metric of this very name goes before a family.

    Raises:
        KeyError: for a name that no metric covers.
    """
    for metric in sorted(METRICS, key=lambda metric: metric.is_family):
        if metric.covers(name):
            return metric
    raise KeyError(name)
