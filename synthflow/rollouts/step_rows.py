"""What labelers write: rows of steps, of step_values and of rejects.

Invariant: whoever labels a rollout writes all of its steps and a row of values for each, in their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from synthflow import ids
from synthflow.rollouts.cutting import Cut
from synthflow.schema import REJECTS
from synthflow.segment import Span

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Values:
    """Columns of the steps of one rollout; NaN is undecided. `first_error` is an index, -1 for none, None unknown."""

    before: Floats
    value: Floats
    low: Floats
    high: Floats
    advantage: Floats
    advantage_se: Floats
    first_error: int | None


def reject_rows(rows: Sequence[tuple[str, str, str]], stage_id: str) -> pa.Table:
    """Rollouts that are not labelled, as (problem_id, rollout_id, reason)."""
    frame = pl.DataFrame(rows, schema=["problem_id", "target_id", "reason"], orient="row").cast(pl.String)
    return REJECTS.conform(
        frame.with_columns(
            pl.lit("rollout").alias("target_kind"),
            pl.lit(None, pl.Float32).alias("score"),
            pl.lit(stage_id).alias("stage_id"),
        ).to_arrow()
    )


def step_rows(cut: Cut, stage_id: str) -> Iterable[dict[str, Any]]:
    """The steps of one rollout; token ranges are null where they are not known."""
    rollout, before = cut.row["rollout_id"], None
    nowhere: Sequence[Span | None] = [None] * len(cut.spans)
    for index, (span, owned) in enumerate(zip(cut.spans, cut.tokens or nowhere, strict=True)):
        step = ids.step_id(rollout, cut.label, index)
        yield {
            "step_id": step,
            "problem_id": cut.row["problem_id"],
            "rollout_id": rollout,
            "parent_step_id": before,
            "segmenter": cut.label,
            "index": index,
            "char_start": span.start,
            "char_end": span.end,
            "token_start": None if owned is None else owned.start,
            "token_end": None if owned is None else owned.end,
            "stage_id": stage_id,
        }
        before = step


def value_row(cut: Cut, index: int, columns: Values) -> dict[str, Any]:
    """Step `index` of a rollout with its numbers; who labelled, and from what, is the caller's to add."""
    first = columns.first_error
    return {
        "step_id": ids.step_id(cut.row["rollout_id"], cut.label, index),
        "problem_id": cut.row["problem_id"],
        "rollout_id": cut.row["rollout_id"],
        "index": index,
        "value_before": ids.finite(float(columns.before[index])),
        "value": ids.finite(float(columns.value[index])),
        "value_low": ids.finite(float(columns.low[index])),
        "value_high": ids.finite(float(columns.high[index])),
        "advantage": ids.finite(float(columns.advantage[index])),
        "advantage_se": ids.finite(float(columns.advantage_se[index])),
        "is_first_error": None if first is None else index == first,
    }
