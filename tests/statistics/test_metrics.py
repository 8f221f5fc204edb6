"""Every metric says what it is, and what is read from a text is what was counted by hand."""

from __future__ import annotations

import polars as pl
import pytest

from synthflow.statistics.bins import SIZES
from synthflow.statistics.metrics import METRICS, headings, metric_of
from synthflow.statistics.metrics.complexity import COMPLEXITY
from synthflow.statistics.metrics.metric import GroupMetric, RolloutMetric


def test_a_name_is_declared_once_and_a_family_takes_the_rest() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert metric_of("distinct_answers").name == "distinct_answers", "not of the family distinct_*"
    assert metric_of("distinct_4").name == "distinct_*"
    with pytest.raises(KeyError):
        metric_of("distinc")


def test_headings_are_those_of_metrics_that_exist() -> None:
    assert all(metric_of(name).shown()[name] == text for name, text in headings().items())
    assert headings()["pass_at_8"] == "pass @8" and "pass_at_2" not in headings()


def test_a_family_has_no_bins_of_its_own() -> None:
    with pytest.raises(ValueError, match="family"):
        RolloutMetric(name="x_*", axis="quality", formula="", values=pl.col("^x_.*$"), bins=SIZES)
    with pytest.raises(ValueError, match="family"):
        GroupMetric(name="x_*", axis="quality", formula="", values=lambda _: {}, heading="x")


def test_sizes_by_hand() -> None:
    texts = pl.DataFrame({"text": ["2 + 3 = 5\n\n  so x - 1", "step-by-step", "\\frac{1}{2} \\times (3*(4))", ""]})
    names = ["n_lines", "operations", "equations", "depth"]
    metrics = [m for m in COMPLEXITY if isinstance(m, RolloutMetric) and m.name in names]
    found = texts.select(metric.column() for metric in metrics).select(names).rows()
    assert found[0] == (2.0, 2.0, 1.0, 0.0)
    assert found[1] == (1.0, 0.0, 0.0, 0.0), "hyphens are no operations"
    assert found[2] == (1.0, 3.0, 0.0, 2.0)
    assert found[3] == (0.0, 0.0, 0.0, 0.0)
