"""The config `sft_tokens`: answers as tokens and labels, for rollouts of which a loss mask leaves some tokens out.

Invariant: `input_ids` are the tokens of the prompt and the completion as they were sampled or spliced, never tokenised
again, and `labels` the same with -100 wherever there is no loss: on the prompt, where the mask is false, and on a
thought that is to be left out of the loss.
"""

from __future__ import annotations

import polars as pl

from synthflow.contracts import Inputs, Services
from synthflow.stages.export.base import Ledger, Rule, take
from synthflow.stages.export.columns import I32S, OF_ROLLOUT, ConfigSpec, ExportColumn
from synthflow.stages.export.thoughts import thought_tokens
from synthflow.stages.export.views import prompt_key, sidecars_of_rollout

SFT_TOKENS = ConfigSpec(
    "sft_tokens",
    "the same as tokens of the policy, with the loss off where a mask says so",
    (
        ExportColumn("input_ids", I32S, "tokens of the prompt and the answer, as they were sampled"),
        ExportColumn("labels", I32S, "the same, with -100 on tokens that are not trained on: the prompt, and by mask"),
        *OF_ROLLOUT,
    ),
    (("TRL", "`trl sft --dataset_name DIR --dataset_config sft_tokens`, for a model with the policy's tokenizer"),),
)
IGNORED = -100
"""The label that cross entropy leaves out, in PyTorch and so in every trainer that reads labels."""

MASKED = Rule(pl.col("masked"), "its loss mask leaves tokens out, which text cannot say: see sft_tokens")
"""A trainer of texts would learn what the mask hides."""


def _tokens(part: Inputs, chosen: pl.DataFrame) -> pl.DataFrame:
    """Tokens and loss mask of chosen rollouts, and whether these are tokens of the prompt to train on."""
    columns = ["rollout_id", "prompt", "train_prompt", "prompt_token_ids", "token_ids", "loss_mask"]
    rows = part.frame("rollouts", columns).join(chosen, on="rollout_id", how="semi")
    same = pl.col("train_prompt").is_null() | (prompt_key("train_prompt") == prompt_key("prompt"))
    return rows.unique("rollout_id", keep="first", maintain_order=True).select(
        "rollout_id",
        "prompt_token_ids",
        "token_ids",
        "loss_mask",
        same.alias("_as_sampled"),
    )


def token_ledger(part: Inputs, chosen: pl.DataFrame, services: Services | None = None) -> Ledger:
    """The config `sft_tokens` of the chosen rollouts, a frame of `views.candidates`.

    Args:
        services: lends the tokenizers that tell which tokens are a thought, where thoughts are left out of the loss.
    """
    tokens = _tokens(part, chosen.select("rollout_id"))
    found = chosen.join(tokens, on="rollout_id", how="left", maintain_order="left")
    if services is None:
        found = found.with_columns(pl.lit(0, pl.Int64).alias("_thought_tokens"))
    else:
        told = thought_tokens(part, services, found)
        found = found.join(told, on="rollout_id", how="left", maintain_order="left")
    kept, rejects = take(
        found,
        "rollout_id",
        [
            Rule(pl.col("token_ids").is_null() | pl.col("prompt_token_ids").is_null(), "no token ids"),
            Rule(~pl.col("_as_sampled"), "it is trained on another prompt than its tokens are of"),
            Rule(pl.col("loss_mask").list.len() != pl.col("token_ids").list.len(), "its loss mask has another length"),
            Rule(pl.col("_thought_tokens").is_null(), "nobody has the tokenizer that tells its thought"),
        ],
    )
    flat = kept.select("rollout_id", "token_ids", "loss_mask", "_thought_tokens").with_columns(
        pl.coalesce("loss_mask", pl.col("token_ids").list.eval(pl.element().is_not_null()))
    )
    is_answer = pl.int_range(pl.len()).over("rollout_id") >= pl.col("_thought_tokens")
    labels = (
        flat.explode("token_ids", "loss_mask")
        .with_columns(pl.col("loss_mask") & is_answer)
        .group_by("rollout_id", maintain_order=True)
        .agg(pl.when("loss_mask").then("token_ids").otherwise(IGNORED).cast(pl.Int32).alias("_labels"))
    )
    prompt = pl.col("prompt_token_ids")
    hidden = prompt.list.eval(pl.lit(IGNORED, pl.Int32).repeat_by(pl.len()).explode())
    rows = kept.join(labels, on="rollout_id", how="left", maintain_order="left").select(
        pl.concat_list(prompt, "token_ids").alias("input_ids"),
        pl.concat_list(hidden, "_labels").alias("labels"),
        *sidecars_of_rollout(),
    )
    return Ledger("sft_tokens", "rollout", chosen.get_column("rollout_id"), rows, rejects, primary=False)
