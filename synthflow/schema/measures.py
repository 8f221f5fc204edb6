"""What was measured: statistics as accumulators, agreement of labelers, and the clock."""

from __future__ import annotations

import pyarrow as pa

from synthflow.schema.spec import Column, TableSpec
from synthflow.schema.types import BOOL, F64, I32, I64, PROBLEM_ID, STAGE_ID, STRING

STATS = TableSpec(
    "stats",
    "mergeable measurements, one row a stage, metric and group: a sum over rows is the whole",
    ("stage", "axis", "metric", "slice_key", "slice_value", "problem_id"),
    (
        Column("problem_id", STRING, "the problem whose rollouts these accumulators cover; empty for a calibration"),
        Column("stage", STRING, "the stage after which this was measured; of a calibration, the scorer"),
        Column("axis", STRING, "quality, diversity, complexity or exploration"),
        Column("metric", STRING, "such as pass_rate or distinct_answers"),
        Column(
            "slice_key",
            STRING,
            "group, of which qdc_slices merges slices; of a calibration, against REFERENCE",
        ),
        Column(
            "slice_value", STRING, "the group: policy_id/round/sampling_id; of a calibration, /difficulty_bin after it"
        ),
        Column("count", F64, "observations"),
        Column("total", F64, "sum of the observations"),
        Column("total_sq", F64, "sum of their squares"),
        Column("minimum", F64, "smallest", True),
        Column("maximum", F64, "largest", True),
        Column("histogram", pa.list_(I64), "counts in fixed bins of the metric; null if it has none", True),
        Column(
            "sketch",
            pa.list_(I64),
            "62-bit hashes of a set, ascending; below the last one, the bound, none is missing",
            True,
        ),
        STAGE_ID,
    ),
)

AGREEMENT = TableSpec(
    "agreement",
    "step labelers against each other, the truth and the outcome: one row a statistic; see step_agreement",
    ("stage_id", "labeler", "reference", "slice_key", "slice_value", "metric", "bin"),
    (
        Column("problem_id", STRING, "empty: a row is about the whole run"),
        Column("labeler", STRING, "the label stage that is judged; STAGE/LABELER where a stage writes several"),
        Column("reference", STRING, "what it is compared with: a label stage, outcome (the verdict), or none"),
        Column("is_truth", BOOL, "whether the reference is the stage that the spec calls the truth"),
        Column("slice_key", STRING, "all, difficulty_bin, n_ops (of the problem) or steps (of the rollout)"),
        Column("slice_value", STRING, "value of the slice key; all for the whole"),
        Column("metric", STRING, "such as auroc_first_wrong, first_exact, spearman, ece, tokens"),
        Column("bin", I32, "bin of a reliability curve, from 0; 0 for every other metric"),
        Column("value", F64, "the statistic; null where it is not defined", True),
        Column("low", F64, "lower end of its 95% interval, from a bootstrap of problems", True),
        Column("high", F64, "upper end", True),
        Column("predicted", F64, "mean predicted value of the bin of a reliability curve", True),
        Column("n", I64, "steps or rollouts behind it"),
        Column("n_problems", I64, "problems behind it"),
        STAGE_ID,
    ),
)

TELEMETRY = TableSpec(
    "telemetry",
    "elapsed times, workers, retries, cost: apart from all else, and never compared",
    ("target_id", "metric", "stage_id", "attempt"),
    (
        PROBLEM_ID,
        Column("target_kind", STRING, "task, rollout or score"),
        Column("target_id", STRING, "id of the target"),
        Column("metric", STRING, "such as elapsed_s; `note: ...` counts rollouts of which something was not as asked"),
        Column("value", F64, "value of the metric"),
        Column("worker", STRING, "who measured"),
        Column("attempt", I32, "attempt of the run, from 1"),
        STAGE_ID,
    ),
)
