"""Numbers that stages above wrote about rollouts, by name: rewards, and what makes a wrong answer a hard one.

A name is `STAGE`, `STAGE/SCORER` where the stage writes several, or `mean_logprob`: the mean log-probability that the
policy gave the rollout's own tokens, in nats at temperature 1. Invariant: one number a rollout, or none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from synthflow.contracts import Inputs, StageInfo
from synthflow.errors import UserError, suggest

MEAN_LOGPROB = "mean_logprob"


def check_scorer(ancestors: Sequence[StageInfo], field: str, name: str | None) -> Iterable[tuple[str, str, str]]:
    """A name that no stage above stands for, in the form of `Stage.check`."""
    known = [a.name for a in ancestors if "scores" in a.writes]
    stage = None if name is None else name.partition("/")[0]
    if stage is not None and stage != MEAN_LOGPROB and stage not in known:
        hint = suggest(stage, [*known, MEAN_LOGPROB]) or f"known: {', '.join([*known, MEAN_LOGPROB])}"
        yield field, f"{stage!r} is not a stage above this one that writes scores", hint


def numbers(inputs: Inputs, name: str) -> pl.DataFrame:
    """rollout_id, number: of every rollout that has one, measures before verdicts' values.

    Raises:
        UserError: if the stage wrote several scorers of a kind and the name does not say which.
    """
    if name == MEAN_LOGPROB:
        rollouts = inputs.frame("rollouts", ["rollout_id", "logprobs"])
        mean = pl.col("logprobs").list.mean().cast(pl.Float64)
        read = rollouts.select("rollout_id", mean.alias("number")).filter(pl.col("number").is_finite())
        return read.unique("rollout_id", keep="first", maintain_order=True)
    stage, _, scorer = name.partition("/")
    table = pl.from_arrow(
        inputs.of_stage(stage, "scores", ["target_kind", "target_id", "kind", "scorer", "config_hash", "value"])
    )
    assert isinstance(table, pl.DataFrame)
    scores = table.filter(
        pl.col("target_kind") == "rollout", pl.col("value").is_not_null(), pl.col("value").is_finite()
    )
    if scorer:
        scores = scores.filter(pl.col("scorer") == scorer)
    measures = scores.filter(pl.col("kind") == "measure")
    scores = measures if measures.height else scores.filter(pl.col("kind") == "verdict")
    written = scores["scorer"].unique().sort().to_list()
    if len(written) > 1:
        known = ", ".join(written)
        raise UserError(f"stage {stage!r} writes several numbers a rollout: {known}; say which: {stage}/{written[0]}")
    return (
        scores.sort("target_id", "config_hash")
        .unique("target_id", keep="first", maintain_order=True)
        .select(pl.col("target_id").alias("rollout_id"), pl.col("value").cast(pl.Float64).alias("number"))
    )
