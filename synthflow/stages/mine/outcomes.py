"""Which rollouts ended right and which wrong, and whose group each is in: what advantages and unpaired examples read.

Invariants: every rollout a stage reads has an outcome, or none and one reason; unknown is neither right nor wrong
unless the configuration says `unknown: wrong`. A group is that of `curriculum.groups`; a branch (a judged continuation
of a prefix) is, where asked for, in the group of the first rollout it goes back to, whatever it was sampled under.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import polars as pl
import pyarrow as pa
from pydantic import Field

from synthflow.contracts import Inputs, StageConfig, StageInfo
from synthflow.errors import suggest
from synthflow.rollouts.groups import GROUP
from synthflow.rollouts.views import check_verdicts, dropped, first_rollouts, verdicts, verify_stages
from synthflow.schema import REJECTS

FLAWED = r"(^|[.:])flawed_positive$"
"""Scorers of the measure that is 1 for a right answer reached by wrong reasoning (FAPO's flawed positive)."""

BRANCHES = ("prefix", "tree")
"""Conditions of rollouts that share their beginning with another one."""

_COLUMNS = (
    "rollout_id", *GROUP, "index", "condition", "parent_rollout_id", "completion", "completion_hash", "n_tokens",
)  # fmt: skip


class OutcomeConfig(StageConfig):
    """Fields of stages that divide rollouts into right and wrong ones."""

    verdicts: str | None = Field(None, description="the verify stage whose verdicts count; null where there is one")
    unknown: Literal["ignore", "wrong"] = Field(
        "ignore", description="what an unknown verdict is: neither right nor wrong, or wrong"
    )
    flawed: Literal["keep", "drop", "negative"] = Field(
        "keep", description="what a flawed positive is: right (keep), neither (drop), or wrong (negative)"
    )


def check_outcomes(
    ancestors: Sequence[StageInfo], config: OutcomeConfig, consensus: Sequence[str] | None = None
) -> Iterable[tuple[str, str, str]]:
    """Mistakes in the fields of `OutcomeConfig`, in the form of `Stage.check`."""
    if consensus is None:
        yield from check_verdicts(ancestors, config.verdicts)
    else:
        yield from check_consensus(ancestors, consensus)
    yield from check_flawed(ancestors, config.flawed)


def check_consensus(ancestors: Sequence[StageInfo], consensus: Sequence[str]) -> Iterable[tuple[str, str, str]]:
    known = verify_stages(ancestors)
    for i, name in enumerate(consensus):
        if name not in known:
            hint = suggest(name, known) or f"known: {', '.join(known) or 'none'}; name all of them in of"
            yield f"consensus.{i}", f"{name!r} is not a verify stage above this one", hint


def check_flawed(ancestors: Sequence[StageInfo], flawed: str) -> Iterable[tuple[str, str, str]]:
    if flawed != "keep" and not any(a.has("finds_flaws") for a in ancestors):
        yield "flawed", "no stage above tells flawed positives", "read one such as label.judge, or leave it out"


def joint_verdicts(inputs: Inputs, stages: Sequence[str | None]) -> pl.DataFrame:
    """rollout_id, verdict, reason: correct where all `stages` say so, wrong where one says wrong, otherwise unknown.

    A single stage is repeated as it is (None: the only one). The rule is that of the data of REDI (Xu et al. 2025,
    "Harnessing Negative Signals"), which keeps a trace as positive only where both of its verifiers accept it; that
    one `wrong` outweighs an unknown is our default.
    """
    said = pl.concat(
        [
            verdicts(inputs, stage)
            .select("rollout_id", "verdict", "reason")
            .unique("rollout_id", keep="first", maintain_order=True)
            for stage in stages
        ]
    )
    verdict, unknown = pl.col("verdict"), pl.col("verdict") == "unknown"
    unsaid = pl.len() < len(stages)
    return said.group_by("rollout_id", maintain_order=True).agg(
        pl.when((verdict == "wrong").any())
        .then(pl.lit("wrong"))
        .when(unsaid | unknown.any())
        .then(pl.lit("unknown"))
        .otherwise(pl.lit("correct"))
        .alias("verdict"),
        pl.when((verdict == "wrong").any() | ~(unsaid | unknown.any()))
        .then(None)
        .otherwise(pl.coalesce(pl.col("reason").filter(unknown).drop_nulls().first(), pl.lit("no_verdict")))
        .alias("reason"),
    )


def flawed_positives(inputs: Inputs) -> pl.DataFrame:
    """rollout_id of those that some stage above calls flawed positives."""
    scores = inputs.frame("scores", ["target_kind", "target_id", "kind", "scorer", "value"])
    return (
        scores.filter(
            pl.col("kind") == "measure",
            pl.col("target_kind") == "rollout",
            pl.col("scorer").str.contains(FLAWED),
            pl.col("value") == 1,
        )
        .select(pl.col("target_id").alias("rollout_id"))
        .unique()
        .sort("rollout_id")
    )


def outcomes(
    inputs: Inputs,
    config: OutcomeConfig,
    consensus: Sequence[str] | None = None,
    branches: Sequence[str] = (),
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """First rollouts (and branches) with their outcomes.

    Args:
        consensus: verify stages that must all say correct, in place of the one in `config.verdicts`.
        branches: stages whose judged continuations join the group of the first rollout they go back to.

    Returns:
        rollout_id, the columns of `GROUP` (of the group), index, condition, completion, completion_hash, n_tokens,
        `right` (true, false, or null), `why_not` (why it is null) and `dropped` (the filter that drops it, or null),
        sorted by problem and rollout; and problem_id, rollout_id, reason of the nearest rollouts that are not there.
    """
    firsts = (
        first_rollouts(inputs, _COLUMNS)
        .unique("rollout_id", keep="first", maintain_order=True)
        .join(joint_verdicts(inputs, consensus or [config.verdicts]), on="rollout_id", how="left")
    )
    found = pl.concat([firsts, _branches(inputs, firsts, branches)]) if branches else firsts
    flawed = flawed_positives(inputs).with_columns(pl.lit(True).alias("_flawed"))
    found = (
        found.join(flawed, on="rollout_id", how="left")
        .join(dropped(inputs), on="rollout_id", how="left")
        .with_columns(*_outcome(config))
        .drop("verdict", "reason", "_flawed", "parent_rollout_id")
        .sort("problem_id", "rollout_id")
    )
    nearest = inputs.frame("rollouts", ["problem_id", "rollout_id", "condition"], nearest=True)
    others = (
        nearest.unique("rollout_id", keep="first", maintain_order=True)
        .join(found.select("rollout_id"), on="rollout_id", how="anti")
        .select(
            "problem_id",
            "rollout_id",
            pl.when(pl.col("condition") == "prefix")
            .then(pl.lit("continuation"))
            .otherwise(pl.lit("not_first_rollout"))
            .alias("reason"),
        )
    )
    return found, others.sort("problem_id", "rollout_id")


def _outcome(config: OutcomeConfig) -> tuple[pl.Expr, pl.Expr]:
    verdict = pl.col("verdict")
    flawed = pl.col("_flawed").fill_null(False) & (verdict == "correct")
    unknown = pl.lit(False) if config.unknown == "wrong" else pl.lit(None, pl.Boolean)
    of_flawed = {"keep": pl.lit(True), "drop": pl.lit(None, pl.Boolean), "negative": pl.lit(False)}[config.flawed]
    right = (
        pl.when(verdict == "wrong")
        .then(False)
        .when(verdict == "unknown")
        .then(unknown)
        .when(flawed)
        .then(of_flawed)
        .when(verdict == "correct")
        .then(True)
    )
    why_not = (
        pl.when(right.is_not_null())
        .then(None)
        .when(verdict.is_null())
        .then(pl.lit("no_verdict"))
        .when(flawed)
        .then(pl.lit("flawed_positive"))
        .otherwise(pl.lit("unknown: ") + pl.col("reason").fill_null("no reason given"))
    )
    return right.alias("right"), why_not.alias("why_not")


def _branches(inputs: Inputs, firsts: pl.DataFrame, stages: Sequence[str]) -> pl.DataFrame:
    """Judged branches of `stages` under the group of their first rollout, in the columns of `firsts`.

    A branch continues a prefix, or is the whole path of a tree that ends with such a continuation; its verdict is on
    all of the answer, by whoever sampled it. What nobody judged is part of a branch, and none.
    """
    parts = []
    for stage in stages:
        rows = pl.from_arrow(inputs.of_stage(stage, "rollouts", list(_COLUMNS)))
        scores = pl.from_arrow(inputs.of_stage(stage, "scores", ["target_id", "kind", "verdict", "reason"]))
        assert isinstance(rows, pl.DataFrame) and isinstance(scores, pl.DataFrame)
        told = scores.filter(pl.col("kind") == "verdict").unique("target_id", keep="first", maintain_order=True)
        parts.append(
            rows.filter(pl.col("condition").is_in(BRANCHES)).join(
                told.drop("kind"), left_on="rollout_id", right_on="target_id", how="inner"
            )
        )
    found = pl.concat(parts).unique("rollout_id", keep="first", maintain_order=True)
    roots = _roots(inputs.frame("rollouts", ["rollout_id", "parent_rollout_id"]), found.select("rollout_id"))
    groups = firsts.select(pl.col("rollout_id").alias("root"), *GROUP)
    # A branch of another policy than its original's is no draw from the group's policy.
    return (
        found.drop("round", "sampling_id")
        .join(roots, on="rollout_id", how="inner")
        .join(groups, on=["root", "problem_id", "policy_id"], how="inner")
        .select(firsts.columns)
    )


def _roots(rollouts: pl.DataFrame, wanted: pl.DataFrame) -> pl.DataFrame:
    """rollout_id and `root`, the rollout without a parent that it goes back to; without those that lead nowhere."""
    parent = rollouts.unique("rollout_id", keep="first").rename({"rollout_id": "root", "parent_rollout_id": "_parent"})
    at = wanted.with_columns(pl.col("rollout_id").alias("root"))
    done = []
    while at.height:
        at = at.join(parent, on="root", how="inner")
        done.append(at.filter(pl.col("_parent").is_null()).select("rollout_id", "root"))
        climbing = at.filter(pl.col("_parent").is_not_null(), pl.col("_parent") != pl.col("rollout_id"))
        at = climbing.select("rollout_id", pl.col("_parent").alias("root"))
        if len(done) > rollouts.height:  # only a cycle is longer than all rollouts
            break
    return pl.concat(done) if done else at


def reject_rows(left_out: pl.DataFrame, stage_id: str) -> pa.Table:
    """Rows of `rejects` from problem_id, rollout_id, reason."""
    frame = left_out.select(
        "problem_id",
        pl.lit("rollout").alias("target_kind"),
        pl.col("rollout_id").alias("target_id"),
        "reason",
        pl.lit(None, pl.Float32).alias("score"),
        pl.lit(stage_id).alias("stage_id"),
    )
    return REJECTS.conform(frame.to_arrow())
