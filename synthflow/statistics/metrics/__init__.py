"""The metrics of `stats`, a file an axis: an entry there, with its function, bins and heading, is all a metric needs.

The stage that measures, the catalog and the summary of a run read this list, and what plug-ins add to it by the entry
point `synthflow.metrics`; docs/statistics.md shows ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from synthflow import registry
from synthflow.errors import UserError
from synthflow.statistics.metrics.calibration import CALIBRATION
from synthflow.statistics.metrics.complexity import COMPLEXITY
from synthflow.statistics.metrics.diversity import DIVERSITY
from synthflow.statistics.metrics.exploration import EXPLORATION
from synthflow.statistics.metrics.metric import Metric
from synthflow.statistics.metrics.quality import QUALITY

METRICS: tuple[Metric, ...] = (*QUALITY, *CALIBRATION, *DIVERSITY, *COMPLEXITY, *EXPLORATION)


@cache
def all_metrics() -> tuple[Metric, ...]:
    """Ours, then those of plug-ins by name.

    Raises:
        UserError: if a plug-in's is none, or has a name that is taken.
    """
    found = list(METRICS)
    for name in registry.names("metrics"):
        metric = registry.load("metrics", name)
        owner = registry.distribution("metrics", name)
        if not isinstance(metric, Metric):
            raise UserError(f"the metric {name!r} of {owner} is a {type(metric).__name__}, not a RolloutMetric or kin")
        if any(other.covers(name) for other in found if not other.is_family):
            raise UserError(f"the metric {name!r} of {owner} has the name of another; choose a new one")
        found.append(metric)
    return tuple(found)


def bins() -> Mapping[str, tuple[float, ...]]:
    """Edges by metric. A metric that is not here stores no histogram: a rate, or one observation a group."""
    return {metric.name: metric.bins for metric in all_metrics() if metric.bins is not None}


def headings() -> Mapping[str, str]:
    """Metrics shown on one screen, and their headers; all are in `run_summary` and in the view `qdc`."""
    return {name: text for metric in all_metrics() for name, text in metric.shown().items()}


@cache
def metric_of(name: str) -> Metric:
    """The metric or family that `name` belongs to; a metric of this very name goes before a family.

    Raises:
        KeyError: for a name that no metric covers.
    """
    for metric in sorted(all_metrics(), key=lambda metric: metric.is_family):
        if metric.covers(name):
            return metric
    raise KeyError(name)
