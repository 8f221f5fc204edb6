"""Which rollouts are labelled, and why the others are not.

Invariant: every rollout this stage reads is selected or has one reason; both depend on the rollout's own group only.
Reasons, the first that applies: not_first_rollout (it continues another, or was sampled under a hint), no_verdict,
other_policy (values under a policy that did not write it would need its tokens in another vocabulary),
group_undecided, group_all_correct, group_all_wrong, filtered, not_correct, not_wrong (only rollouts with one verdict
are wanted), no_steps (empty), no_token_ids (its server told none, and text is never tokenised again), not_selected.
"""

from __future__ import annotations

from typing import Literal

import polars as pl

from synthflow.contracts import Inputs
from synthflow.rollouts.groups import GROUP, group_counts
from synthflow.rollouts.views import dropped, first_rollouts, verdicts
from synthflow.stages.label.config import LabelConfig

COLUMNS = (
    "rollout_id", "problem_id", "policy_id", "round", "sampling_id", "prompt", "train_prompt", "completion",
    "prompt_token_ids", "token_ids", "logprobs", "finish_reason",
)  # fmt: skip


def select(
    inputs: Inputs,
    config: LabelConfig,
    policy_id: str | None = None,
    *,
    tokens: bool = True,
    only: Literal["correct", "wrong"] | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rollouts to label and rejects.

    Args:
        policy_id: of the policy that will continue them; None where nobody continues them.
        tokens: whether a rollout without token ids cannot be labelled.
        only: the verdict of those that are labelled; None is any.

    Returns:
        The selected rollouts (`COLUMNS`, verdict, n_correct and n_wrong of their group), sorted by problem and
        rollout; and problem_id, rollout_id, reason of all others.
    """
    judged = (
        first_rollouts(inputs, COLUMNS)
        .unique("rollout_id", keep="first", maintain_order=True)
        .join(verdicts(inputs, config.verdicts).select("rollout_id", "verdict"), on="rollout_id", how="inner")
        .join(dropped(inputs), on="rollout_id", how="left")
    )
    judged = judged.join(group_counts(judged), on=GROUP, how="inner").with_columns(
        _reason(config, policy_id, tokens, only).alias("reason")
    )
    if config.rollouts_per_problem is not None:
        judged = _thin(judged, config.rollouts_per_problem)
    selected = judged.filter(pl.col("reason").is_null()).sort("problem_id", "rollout_id")
    left_out = judged.filter(pl.col("reason").is_not_null()).select("problem_id", "rollout_id", "reason")
    others = (
        inputs.frame("rollouts", ["problem_id", "rollout_id", "condition"], nearest=True)
        .join(judged.select("rollout_id"), on="rollout_id", how="anti")
        .select(
            "problem_id",
            "rollout_id",
            pl.when(pl.col("condition") == "none")
            .then(pl.lit("no_verdict"))
            .otherwise(pl.lit("not_first_rollout"))
            .alias("reason"),
        )
    )
    columns = [*COLUMNS, "verdict", "n_correct", "n_wrong"]
    return selected.select(columns), pl.concat([left_out, others]).sort("problem_id", "rollout_id")


def _reason(config: LabelConfig, policy_id: str | None, tokens: bool, only: str | None) -> pl.Expr:
    state = pl.col("group_state")
    rules: list[tuple[pl.Expr, pl.Expr]] = []
    if policy_id is not None:
        rules.append((pl.col("policy_id") != policy_id, pl.lit("other_policy")))
    if config.groups == "mixed":
        rules.append((state != "mixed", "group_" + state))
    if not config.include_dropped:
        rules.append((pl.col("dropped").is_not_null(), pl.lit("filtered")))
    if only is not None:
        rules.append((pl.col("verdict") != only, pl.lit(f"not_{only}")))
    rules.append((pl.col("completion") == "", pl.lit("no_steps")))
    if tokens:
        rules.append((pl.col("token_ids").is_null() | pl.col("prompt_token_ids").is_null(), pl.lit("no_token_ids")))
    return pl.coalesce(*(pl.when(applies).then(reason) for applies, reason in rules))


def _thin(judged: pl.DataFrame, most: int) -> pl.DataFrame:
    """Keep `most` of each group: wrong and correct in turn, wrong first, each in the order of their ids.

    Ids are hashes, so their order is a fixed shuffle. Where one kind runs out the other fills; unknown ones come last.
    Our default: negatives are what step labels are for.
    """
    kind = pl.col("verdict").replace_strict({"wrong": 0, "correct": 1}, default=2, return_dtype=pl.Int8)
    eligible = pl.col("reason").is_null()
    ordered = (
        judged.with_columns(kind.alias("_kind"), eligible.alias("_eligible"))
        .sort("rollout_id")
        .with_columns(pl.int_range(pl.len()).over(*GROUP, "_kind", "_eligible").alias("_turn"))
        .sort(pl.col("_kind") == 2, "_turn", "_kind", "rollout_id")
        .with_columns(pl.int_range(pl.len()).over(*GROUP, "_eligible").alias("_place"))
    )
    thinned = pl.when(pl.col("_eligible") & (pl.col("_place") >= most)).then(pl.lit("not_selected"))
    return ordered.with_columns(thinned.otherwise(pl.col("reason")).alias("reason")).drop(
        "_kind", "_eligible", "_turn", "_place"
    )
