"""The table of step agreement; `schema` declares it with the others."""

from __future__ import annotations

import pyarrow as pa

from synthflow.tablespec import Column, TableSpec

AGREEMENT = TableSpec(
    "agreement",
    "step labelers against each other, the truth and the outcome: one row a statistic; see step_agreement",
    ("stage_id", "labeler", "reference", "slice_key", "slice_value", "metric", "bin"),
    (
        Column("problem_id", pa.string(), "empty: a row is about the whole run"),
        Column("labeler", pa.string(), "the label stage that is judged; STAGE/LABELER where a stage writes several"),
        Column("reference", pa.string(), "what it is compared with: a label stage, outcome (the verdict), or none"),
        Column("is_truth", pa.bool_(), "whether the reference is the stage that the spec calls the truth"),
        Column("slice_key", pa.string(), "all, difficulty_bin, n_ops (of the problem) or steps (of the rollout)"),
        Column("slice_value", pa.string(), "value of the slice key; all for the whole"),
        Column("metric", pa.string(), "such as auroc_first_wrong, first_exact, spearman, ece, tokens"),
        Column("bin", pa.int32(), "bin of a reliability curve, from 0; 0 for every other metric"),
        Column("value", pa.float64(), "the statistic; null where it is not defined", True),
        Column("low", pa.float64(), "lower end of its 95% interval, from a bootstrap of problems", True),
        Column("high", pa.float64(), "upper end", True),
        Column("predicted", pa.float64(), "mean predicted value of the bin of a reliability curve", True),
        Column("n", pa.int64(), "steps or rollouts behind it"),
        Column("n_problems", pa.int64(), "problems behind it"),
        Column("stage_id", pa.string(), "H(stage name, fingerprint) of the stage that wrote this row"),
    ),
)
