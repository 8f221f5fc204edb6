"""A labeler of steps against a reference, or against the outcome, or by itself: the statistics of one slice.

Invariants: what a labeler does not say (an undecided value, no first error named) is never taken for a zero; a
statistic of nothing is null. docs/agreement.md says what every metric means.

Wrong and right steps are the reference's: first wrong is the step that it calls the first error. Where it tells kinds
(label.reference does) right and newly wrong are these; otherwise right are the steps before its first error, and what
comes after that is not compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import polars as pl

from synthflow.statistics.bootstrap import (
    BINS,
    F64,
    Bootstrap,
    BootstrapEstimate,
    Mask,
    auroc,
    bin_of,
    ece,
    kappa,
    mean,
    ratio,
    share,
    spearman,
)

Found = tuple[str, BootstrapEstimate]
_SILENT = -2
"""In place of the index of the first error: the labeler does not say. -1: it says that there is none."""

_STEP = ["step_id", "rollout_id", "problem", "index", "is_last"]


class Bin(NamedTuple):
    """One bin of a reliability curve."""

    bin: int
    predicted: float
    observed: BootstrapEstimate


def alone(labels: pl.DataFrame, boot: Bootstrap) -> Iterator[Found]:
    """Rollouts, steps, tokens, and the share of steps without an advantage.

    Args:
        labels: a labeler's rows (`StepLabels.by_labeler`).
    """
    problems = labels["problem"].n_unique()
    counts = {
        "rollouts": labels["rollout_id"].n_unique(),
        "steps": labels.height,
        "tokens": int(labels["tokens"].sum()),
    }
    for name, count in counts.items():
        yield name, BootstrapEstimate(float(count), None, None, labels.height, problems)
    by_rollout = labels.group_by("rollout_id", maintain_order=True).agg(
        pl.col("problem").first(), pl.col("tokens").sum()
    )
    tokens = by_rollout["tokens"].to_numpy().astype(np.float64)
    yield "tokens_per_rollout", boot.estimate(mean(tokens), by_rollout["problem"].to_numpy())
    undecided = labels["advantage"].is_null().to_numpy()
    yield "undecided", boot.estimate(share(undecided), labels["problem"].to_numpy())


def even_split(reference: pl.DataFrame) -> pl.DataFrame:
    """The labeler that gives every step of a rollout the same share of its outcome: a control that knows no step.

    Args:
        reference: rows of a labeler with the outcome of their rollouts.
    """
    share_of = (pl.col("outcome") / pl.len().over("rollout_id")).alias("advantage")
    said_nothing = (pl.lit(None, pl.Boolean).alias("first"), pl.lit(None, pl.Float64).alias("p_first"))
    return reference.with_columns(share_of, *said_nothing, pl.lit(0, pl.Int64).alias("tokens"))


def against(labels: pl.DataFrame, reference: pl.DataFrame, kinds: pl.DataFrame, boot: Bootstrap) -> Iterator[Found]:
    """AUROC, first errors and ranks of a labeler against a reference.

    Args:
        labels, reference: rows of two labelers.
        kinds: step_id and kind, as the reference tells them; empty where it does not.
    """
    both = labels.select(*_STEP, "advantage", "first", "p_first").join(
        reference.select("step_id", pl.col("advantage").alias("r_advantage"), pl.col("first").alias("r_first")),
        on="step_id",
        maintain_order="left",
    )
    yield from _areas(_judged(both, kinds), bool(kinds.height), boot)
    ranked = both.drop_nulls(["advantage", "r_advantage"])
    advantages = ranked["advantage"].to_numpy(), ranked["r_advantage"].to_numpy()
    yield "spearman", boot.estimate(spearman(*advantages), ranked["problem"].to_numpy())
    yield from _first_errors(both, boot)


def _judged(both: pl.DataFrame, kinds: pl.DataFrame) -> pl.DataFrame:
    """Steps that the reference calls right or wrong: columns right, newly_wrong, first_wrong."""
    first_wrong = pl.col("r_first").fill_null(False).alias("first_wrong")
    if kinds.height:
        told = both.join(kinds, on="step_id", maintain_order="left")
        kind = pl.col("kind")
        return told.with_columns(
            first_wrong, (kind == "right").alias("right"), (kind == "newly_wrong").alias("newly_wrong")
        )
    error = pl.when(pl.col("r_first")).then(pl.col("index")).min().over("rollout_id")
    before = pl.col("index") < error.fill_null(pl.lit(2**31 - 1))
    told = both.filter(pl.col("r_first").is_not_null())
    return told.with_columns(first_wrong, before.alias("right"), pl.lit(False).alias("newly_wrong"))


def _areas(judged: pl.DataFrame, has_kinds: bool, boot: Bootstrap) -> Iterator[Found]:
    """Areas under the ROC curve of minus the advantage, and of p_first_error."""
    decided = judged.filter(pl.col("advantage").is_not_null())
    yield "auroc_first_wrong", _area(decided, "first_wrong", -decided["advantage"], boot)
    inner = decided.filter(~pl.col("is_last"))
    yield "auroc_first_wrong_inner", _area(inner, "first_wrong", -inner["advantage"], boot)
    yield "auroc_within_rollout", _within(decided, boot)
    if has_kinds:
        yield "auroc_newly_wrong", _area(decided, "newly_wrong", -decided["advantage"], boot)
    told = judged.filter(pl.col("p_first").is_not_null())
    if told.height:
        yield "auroc_p_first_error", _area(told, "first_wrong", told["p_first"], boot)


def _area(steps: pl.DataFrame, wrong: str, scores: pl.Series, boot: Bootstrap) -> BootstrapEstimate:
    chosen = (steps[wrong] | steps["right"]).to_numpy()
    positive: Mask = steps[wrong].to_numpy()[chosen]
    values: F64 = scores.to_numpy()[chosen]
    return boot.estimate(auroc(values, positive), steps["problem"].to_numpy()[chosen])


def _within(decided: pl.DataFrame, boot: Bootstrap) -> BootstrapEstimate:
    """The area over pairs of one rollout: what a labeler knows beside the outcome, which all steps of it share."""
    wrong = pl.col("advantage").filter("first_wrong").first()
    right = pl.col("advantage").filter("right")
    pairs = (
        decided.filter(pl.col("first_wrong").any().over("rollout_id"))
        .group_by("rollout_id", maintain_order=True)
        .agg(
            pl.col("problem").first(),
            ((right > wrong).sum() + (right == wrong).sum() / 2).cast(pl.Float64).alias("won"),
            right.len().cast(pl.Float64).alias("pairs"),
        )
        .filter(pl.col("pairs") > 0)
    )
    won, of = pairs["won"].to_numpy(), pairs["pairs"].to_numpy()
    return boot.estimate(ratio(won, of), pairs["problem"].to_numpy())


def _first_errors(both: pl.DataFrame, boot: Bootstrap) -> Iterator[Found]:
    """Whether the first error is found: by the step that is named, that of lowest advantage, and the likeliest one."""
    index = pl.col("index")
    named = (
        both.group_by("rollout_id", maintain_order=True)
        .agg(
            pl.col("problem").first(),
            _place("first").alias("said"),
            _place("r_first").alias("true"),
            index.sort_by("advantage", "index", nulls_last=True).first().alias("lowest"),
            pl.col("advantage").is_not_null().any().alias("has_lowest"),
            index.sort_by(-pl.col("p_first"), "index", nulls_last=True).first().alias("likeliest"),
            pl.col("p_first").is_not_null().any().alias("has_likeliest"),
        )
        .filter(pl.col("true").is_not_null())
    )
    problem, true = named["problem"].to_numpy(), named["true"].to_numpy()
    said = named["said"].fill_null(_SILENT).to_numpy()
    erring, names = true >= 0, said >= 0
    yield "first_named", boot.estimate(share(names[erring]), problem[erring])
    both_name = erring & names
    gap = np.abs(said - true)[both_name]
    yield "first_exact", boot.estimate(share(gap == 0), problem[both_name])
    yield "first_within_one", boot.estimate(share(gap <= 1), problem[both_name])
    # Who never says anything about first errors is not wrong about them.
    speaks = bool((said > _SILENT).any())
    yield "first_accuracy", boot.estimate(share((said == true)[erring & speaks]), problem[erring & speaks])
    yield "first_false", boot.estimate(share(names[~erring & speaks]), problem[~erring & speaks])
    decided = said > _SILENT
    yield "kappa", boot.estimate(kappa(said[decided], true[decided]), problem[decided])
    for guess in ("lowest", "likeliest"):
        guessed = erring & named[f"has_{guess}"].to_numpy()
        if guess == "lowest" or guessed.any():
            right = (named[guess].to_numpy() == true)[guessed]
            yield f"first_{guess}", boot.estimate(share(right), problem[guessed])


def _place(column: str) -> pl.Expr:
    """Index of the first error of a rollout, -1 where there is none, null where it is not said."""
    flag = pl.col(column)
    found = pl.when(flag).then(pl.col("index")).min().cast(pl.Int64)
    return pl.coalesce(found, pl.when(flag.is_not_null().all()).then(pl.lit(-1, pl.Int64)))


def calibration(predicted: pl.DataFrame, boot: Bootstrap) -> tuple[list[Found], list[Bin]]:
    """How values compare with what they predict.

    Args:
        predicted: problem, value and observed, one row a step; nulls in value or observed are left out.

    Returns:
        Expected calibration error and bias (mean of value - observed), and the bins of the reliability curve.
    """
    rows = predicted.drop_nulls(["value", "observed"])
    value, observed, problem = (rows[c].to_numpy() for c in ("value", "observed", "problem"))
    found = [
        ("ece", boot.estimate(ece(value, observed), problem)),
        ("bias", boot.estimate(mean(value - observed), problem)),
    ]
    places = bin_of(value)
    bins = []
    for number in range(BINS):
        own = places == number
        if own.any():
            bins.append(Bin(number, float(value[own].mean()), boot.estimate(mean(observed[own]), problem[own])))
    return found, bins
