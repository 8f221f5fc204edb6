"""Quality: verdicts, what other stages say of a rollout, and how sure its policy was."""

from __future__ import annotations

import numpy as np
import polars as pl

from synthflow.statistics.accumulate import group_sums
from synthflow.statistics.bins import LOGPROBS
from synthflow.statistics.metrics.metric import RolloutMetric

_VERDICT = pl.col("verdict")


def _means(lists: pl.Series) -> pl.Series:
    """Mean of each list; NaN for an empty one and for none. Sums run in the order of the list."""
    lists = lists.fill_null([])
    lengths = lists.list.len().to_numpy().astype(np.int64)
    flat = lists.explode(empty_as_null=False).cast(pl.Float64).fill_null(np.nan).to_numpy()
    sums = group_sums(np.repeat(np.arange(len(lengths)), lengths), flat, len(lengths))
    return pl.Series(np.divide(sums, lengths, out=np.full(len(lengths), np.nan), where=lengths > 0))


def _sure(verdict: pl.Expr) -> pl.Expr:
    return verdict.replace("unknown", None)


QUALITY: tuple[RolloutMetric, ...] = (
    RolloutMetric(
        name="pass_rate",
        axis="quality",
        formula="1 for a correct, 0 for a wrong verdict; unknown is no observation",
        values=pl.when(_VERDICT == "correct").then(1.0).when(_VERDICT == "wrong").then(0.0),
        heading="pass rate",
    ),
    RolloutMetric(
        name="unknown_share",
        axis="quality",
        formula="1 for an unknown verdict, else 0; over all with a verdict",
        values=_VERDICT == "unknown",
        heading="unknown",
    ),
    RolloutMetric(
        name="truncated_share",
        axis="quality",
        formula="1 if finish_reason is length, else 0",
        values=pl.col("finish_reason") == "length",
    ),
    RolloutMetric(
        name="verdict_value",
        axis="quality",
        formula="value of the verdict, partial credit included; null is none",
        values=pl.col("value"),
    ),
    RolloutMetric(
        name="mean_logprob",
        axis="quality",
        formula="mean of the rollout's token logprobs, in nats",
        values=pl.col("logprobs").map_batches(_means, return_dtype=pl.Float64),
        bins=LOGPROBS,
        heading="log prob",
    ),
    RolloutMetric(
        name="agreement_with_*",
        axis="quality",
        formula="1 if both verify stages say the same; where both are sure",
        values=(_sure(pl.col("^verdict_of_.*$")) == _sure(_VERDICT)).name.replace("^verdict_of_", "agreement_with_"),
    ),
    RolloutMetric(
        name="score_*",
        axis="quality",
        formula="value that this stage (a filter: 1 keeps, 0 drops) gave the rollout",
        values=pl.col("^score_.*$"),
    ),
)
