"""The config `offline` of `export.rl`: what was sampled, with its advantages, as it was sampled.

No trainer reads a rollout's advantage without code of its own, so all but the prompt are sidecars: those of a custom
`rollout_func` or loss. Tokens are the sampled ones and log-probabilities the behaviour policy's, one a token, which is
what off-policy losses divide by (NFT, Chen et al. 2025). A branch is a row of its own: its prefix ends
`sf_prompt_tokens`, and `sf_completion` is what follows.

Invariant: every rollout of which the stage `mine.advantages` says anything is a row or a reject.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl
import pyarrow as pa

from synthflow.contracts import Inputs, StageInfo
from synthflow.rollouts.groups import GROUP
from synthflow.rollouts.views import dropped, verdicts, verify_stages
from synthflow.stages.export.base import Ledger, Rule, filter_rules, prompt_rules, take
from synthflow.stages.export.columns import (
    BOOL,
    F32,
    F32S,
    I32,
    MESSAGES,
    OF_ROLLOUT,
    STRING,
    ConfigSpec,
    ExportColumn,
)
from synthflow.stages.export.views import (
    ROLLOUT_COLUMNS,
    group_stats,
    problem_facts,
    sidecars_of_rollout,
)

_I32S = pa.list_(I32)
_MEASURES = {
    **{
        f"advantage.{name}": (f"sf_advantage_{name}", comment)
        for name, comment in (
            ("grpo", "(r - mean) / (std + eps) in its group"),
            ("grpo_no_std", "r - mean of its group"),
            ("rloo", "r - mean of the others of its group"),
            ("psr", "r of right ones, else 0"),
            ("nsr", "r - 1 of wrong ones, else 0"),
            ("weighted", "lambda r of right ones, r - 1 of wrong ones"),
            ("oreal", "leave-one-out advantage of rewards 1 and -1, of wrong ones times a factor"),
        )
    },
    "nft.correct_rate": ("sf_correct_rate", "pass rate of its group, kept off 0 and 1 (NFT's r)"),
    "nft.prompt_weight": ("sf_prompt_weight", "weight of its problem (NFT)"),
}
"""Scorers of `mine.advantages`, as columns."""

_AS_SAMPLED: dict[str, tuple[str, pa.DataType, str]] = {
    "prompt_token_ids": ("sf_prompt_tokens", _I32S, "tokens of prompt (and prefix) as sampled"),
    "token_ids": ("sf_tokens", _I32S, "tokens of the completion as sampled, the stop token kept"),
    "logprobs": ("sf_logprobs", F32S, "log p of each of these tokens at temperature 1, in nats"),
    "sampling_logprobs": ("sf_sampling_logprobs", F32S, "log p under the sampling distribution, where it differs"),
    "loss_mask": ("sf_loss_mask", pa.list_(BOOL), "tokens to be trained on, where not all are"),
    "parent_rollout_id": ("sf_parent_rollout_id", STRING, "of a branch: the rollout whose prefix it continues"),
}

OFFLINE = ConfigSpec(
    "offline",
    "sampled rollouts with their advantages, tokens and behaviour log-probabilities",
    (
        ExportColumn("prompt", MESSAGES, "the prompt to train on"),
        ExportColumn(
            "sf_completion", STRING, "the exact sampled text after the prompt (of a branch: after its prefix)"
        ),
        *(ExportColumn(name, F32, comment, "if_any") for name, comment in _MEASURES.values()),
        *(ExportColumn(name, type_, comment, "if_any") for name, type_, comment in _AS_SAMPLED.values()),
        *OF_ROLLOUT,
    ),
    (("TRL", "`GRPOTrainer` with a `rollout_func` that replays `sf_tokens` and `sf_logprobs` (your own code)"),),
)


def advantage_stages(ancestors: Sequence[StageInfo]) -> list[str]:
    return [a.name for a in ancestors if a.has("weighs_rollouts")]


def check_advantages(ancestors: Sequence[StageInfo], wanted: str | None) -> Iterator[tuple[str, str, str]]:
    """Mistakes in the field `advantages`, in the form of `Stage.check`."""
    known = advantage_stages(ancestors)
    if wanted is not None and wanted not in known:
        what = f"{wanted!r} is not a stage mine.advantages above this one"
        yield "advantages", what, f"known: {', '.join(known) or 'none'}"
    elif wanted is None and len(known) > 1:
        yield "advantages", f"several stages mine.advantages above: {', '.join(known)}", "say which: advantages: NAME"


def offline(part: Inputs, stage: str) -> Ledger:
    """The ledger of one partition, of the advantages that `stage` wrote."""
    rollouts = _rollouts(part, stage)
    known = pl.any_horizontal(pl.col(name).is_not_null() for name, _ in _MEASURES.values())
    rules = [
        Rule(~known, pl.lit("no advantage: ") + pl.col("_why_not").fill_null("no reason given")),
        *filter_rules("rollout"),
        *prompt_rules("messages"),
    ]
    kept, rejects = take(rollouts, "rollout_id", rules)
    rows = kept.select(
        pl.col("messages").alias("prompt"),
        pl.col("completion").alias("sf_completion"),
        *(name for name, _ in _MEASURES.values()),
        *(pl.col(column).alias(name) for column, (name, _, _) in _AS_SAMPLED.items()),
        *sidecars_of_rollout(),
    )
    return Ledger("offline", "rollout", rollouts.get_column("rollout_id"), rows, rejects, primary=False)


def _rollouts(part: Inputs, stage: str) -> pl.DataFrame:
    stats = group_stats(part).select(*GROUP, "pass_rate", "difficulty_bin")
    return (
        part.frame("rollouts", list(dict.fromkeys([*ROLLOUT_COLUMNS, *_AS_SAMPLED])))
        .unique("rollout_id", keep="first", maintain_order=True)
        .join(_measured(part, stage), on="rollout_id", how="inner")
        .join(_judged(part, stage), on="rollout_id", how="left")
        .with_columns(pl.coalesce("train_prompt", "prompt").alias("messages"))
        .join(dropped(part, "rollout"), on="rollout_id", how="left")
        .join(dropped(part, "problem", "problem_dropped"), on="problem_id", how="left")
        .join(stats, on=GROUP, how="left")
        .join(problem_facts(part), on="problem_id", how="left")
        .sort("problem_id", "rollout_id")
    )


def _measured(part: Inputs, stage: str) -> pl.DataFrame:
    """rollout_id, the columns of `_MEASURES`, and why a rollout has none."""
    scores = pl.from_arrow(part.of_stage(stage, "scores", ["target_id", "scorer", "value", "reason"]))
    assert isinstance(scores, pl.DataFrame)
    value, scorer = pl.col("value"), pl.col("scorer")
    return (
        scores.sort("target_id", "scorer")
        .group_by("target_id", maintain_order=True)
        .agg(
            *(value.filter(scorer == written).first().alias(name) for written, (name, _) in _MEASURES.items()),
            pl.col("reason").drop_nulls().first().alias("_why_not"),
        )
        .rename({"target_id": "rollout_id"})
    )


def _judged(part: Inputs, stage: str) -> pl.DataFrame:
    """rollout_id, verdict, verdict_stage: of the verify stage that the advantages are of."""
    known = verify_stages(part.ancestors)
    info = next(a for a in part.ancestors if a.name == stage)
    named = info.config.get("verdicts") or (known[0] if len(known) == 1 else None)
    if named is None:
        return pl.DataFrame(schema=dict.fromkeys(("rollout_id", "verdict", "verdict_stage"), pl.String))
    said = verdicts(part, named).select("rollout_id", "verdict", pl.lit(named).alias("verdict_stage"))
    return said.unique("rollout_id", keep="first")
