"""`export.sft`: what was judged correct, as conversations.

One config, `sft`: `messages` and nothing else that a trainer reads, which is the one shape that TRL, verl, OpenRLHF,
LLaMA-Factory, Axolotl, NeMo-RL, prime-rl and slime all take. Rejection sampling fine-tuning (RFT, Yuan et al. 2023,
arXiv 2308.01825) keeps the distinct correct answers of a problem; so does this export, up to `max_per_problem`.

Candidates are whole rollouts; continuations of a prefix are evidence for step values, not answers. Where a stage
`mine.unpaired` is above, its positives are written in place of all that was judged correct, with their weights.

Messages cannot say that part of an answer is not to be trained on, so a rollout whose loss mask leaves tokens out is
no row of `sft`, nor of any other config of texts: a trainer would learn the errors that the mask hides. With
`tokens: true` a second config, `sft_tokens`, has every chosen rollout as `input_ids` and `labels`, with -100 on the
prompt and on what the mask leaves out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import polars as pl
from pydantic import Field

from synthflow.contracts import Account, Inputs, Services, StageInfo
from synthflow.rollouts.views import check_verdicts
from synthflow.stages.export.base import (
    ExportConfig,
    Ledger,
    ParquetExport,
    Rule,
    check_pass_rate,
    filter_rules,
    pass_rate_rules,
    prompt_rules,
    take,
)
from synthflow.stages.export.columns import MESSAGES, OF_ROLLOUT, WEIGHT, ConfigSpec, ExportColumn
from synthflow.stages.export.sft_tokens import MASKED, SFT_TOKENS, token_ledger
from synthflow.stages.export.thoughts import HIDDEN, Thinking, trained_on
from synthflow.stages.export.views import (
    UNSEEN,
    blank,
    candidates,
    check_only,
    mined,
    prompt_key,
    reply,
    sidecars_of_rollout,
)

SFT = ConfigSpec(
    "sft",
    "conversations that end with a correct answer",
    (
        ExportColumn("messages", MESSAGES, "the prompt to train on, then the answer"),
        WEIGHT,
        *OF_ROLLOUT,
    ),
    (
        ("TRL", "`trl sft --dataset_name DIR --dataset_config sft --assistant_only_loss true`"),
        ("verl", "`data.train_files=[DIR/sft/train-….parquet]`, SFT defaults (it wants files, not a folder)"),
        ("OpenRLHF", "`--data.dataset DIR/sft --data.input_key messages --data.apply_chat_template --data.multiturn`"),
        ("LLaMA-Factory", "`--dataset_dir DIR --dataset sft`"),
        ("Axolotl", "`datasets: [{path: DIR/sft, ds_type: parquet, type: chat_template, split: train}]`"),
        ("NeMo-RL", "`ResponseDataset` with `data_path: DIR/sft/train-*.parquet`"),
        ("prime-rl", '`data.name=DIR`, `subsets=["sft"]`'),
        ("slime", "`--prompt-data FILE.parquet --input-key messages` (one file)"),
    ),
)


class SftConfig(ExportConfig):
    max_per_problem: int | None = Field(None, ge=1, description="most answers of one problem")
    prefer: Literal["any", "short"] = Field(
        "any", description="which of too many: any (by rollout_id, a uniform choice), or short (fewest tokens)"
    )
    only: str | None = Field(
        None, description="the stage mine.unpaired whose positives are written, where several are above"
    )
    deduplicate: bool = Field(True, description="drop answers that repeat another one of the same prompt word by word")
    thinking: Thinking = Field(
        "keep",
        description="a policy's thought before its answer: keep it with both markers, drop it, or mask it: left out of "
        "the loss, in sft_tokens alone",
    )
    tokens: bool = Field(False, description="write sft_tokens too: input_ids, and labels that a loss mask leaves out")
    min_pass_rate: float | None = Field(None, ge=0, le=1, description="least pass rate of the problem's group")
    max_pass_rate: float | None = Field(None, ge=0, le=1, description="largest pass rate of the problem's group")


class ExportSft(ParquetExport):
    """Conversations for supervised fine-tuning."""

    use = "export.sft"
    version = "1"
    grows = True
    account = Account("sft", "sf_rollout_id", "rollouts", "rollout_id", "c.condition <> 'prefix'")
    Config = SftConfig
    added = ("thinking", "carry")
    reads = ("rollouts", "scores")
    summary = "Conversations that end with an answer judged correct, for supervised fine-tuning."

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        yield from check_verdicts(ancestors, self.config.verdicts)
        yield from check_pass_rate(self.config, ancestors)
        yield from check_only(ancestors, self.config.only)

    def configs(self, ancestors: Sequence[StageInfo]) -> Sequence[ConfigSpec]:
        return (SFT, SFT_TOKENS) if self.config.tokens else (SFT,)

    def project(self, part: Inputs, services: Services) -> Iterable[Ledger]:
        rollouts, taken = candidates(part, self.config.verdicts), mined(part, self.config.only)
        if taken is None:
            rollouts = rollouts.with_columns(pl.lit(None, pl.Float32).alias("_weight"))
            rules = [Rule(pl.col("verdict") == "wrong", "wrong"), *unknown_rules()]
        else:
            rollouts = rollouts.join(taken, on="rollout_id", how="left", maintain_order="left")
            rules = [*mined_rules(), Rule(pl.col("_weight") < 0, "a negative")]
        correct, wrong = take(rollouts, "rollout_id", [*rules, *self._rules()])
        chosen, surplus = self._choose(correct)
        thinking = self.config.thinking
        plain, masked = take(chosen, "rollout_id", [MASKED, *([HIDDEN] if thinking == "mask" else [])])
        text = trained_on(pl.col("completion"), thinking, pl.col("_thought_end"))
        rows = plain.select(
            pl.concat_list("messages", reply(text)).alias("messages"),
            pl.col("_weight").alias("sf_weight"),
            *sidecars_of_rollout(),
        )
        yield Ledger("sft", "rollout", rollouts.get_column("rollout_id"), rows, pl.concat([wrong, surplus, masked]))
        if self.config.tokens:
            yield token_ledger(part, chosen, services if thinking == "mask" else None)

    def _rules(self) -> list[Rule]:
        return [
            *filter_rules("rollout"),
            *_sound_rules(),
            *([Rule(_says_nothing(), "no answer after its thought")] if self.config.thinking == "drop" else []),
            *pass_rate_rules(self.config.min_pass_rate, self.config.max_pass_rate),
        ]

    def _choose(self, correct: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        order = ["n_tokens", "rollout_id"] if self.config.prefer == "short" else ["rollout_id"]
        ranked = correct.sort("problem_id", *order, nulls_last=True).with_columns(
            prompt_key("messages").alias("_prompt")
        )
        same = ["problem_id", "_prompt", "completion_hash"]
        first = pl.col("rollout_id").first().over(same)
        repeated = pl.lit(self.config.deduplicate) & (pl.col("rollout_id") != first)
        distinct, duplicates = take(ranked, "rollout_id", [Rule(repeated, pl.lit("duplicate of ") + first)])
        most = self.config.max_per_problem
        if most is None:
            return distinct, duplicates
        place = pl.col("rollout_id").cum_count().over("problem_id")
        chosen, over = take(distinct, "rollout_id", [Rule(place > most, f"over max_per_problem {most}")])
        return chosen, pl.concat([duplicates, over])


def _says_nothing() -> pl.Expr:
    return trained_on(pl.col("completion"), "drop", pl.col("_thought_end")).str.strip_chars() == ""


def unknown_rules() -> list[Rule]:
    """A candidate that nobody judged, or whose verdict is unknown."""
    unknown = pl.lit("unknown: ") + pl.col("verdict_reason").fill_null("no reason given")
    return [
        Rule(pl.col("verdict").is_null(), "no verdict"),
        Rule(pl.col("verdict") == "unknown", unknown),
    ]


def mined_rules() -> list[Rule]:
    """A candidate that the stage `mine.unpaired` takes neither as positive nor as negative."""
    unseen = pl.coalesce("_why_not", pl.lit("not seen by mine.unpaired"))
    return [Rule(pl.col("_weight").is_null(), unseen)]


def trainable_rules() -> list[Rule]:
    """A candidate whose own prompt and text cannot be trained on, whatever its verdict."""
    return [*_sound_rules(), MASKED]


def _sound_rules() -> list[Rule]:
    return [
        Rule(
            pl.col("condition").is_in(UNSEEN) & pl.col("train_prompt").is_null(),
            pl.lit("sampled under ") + pl.col("condition") + " and has no train_prompt",
        ),
        *prompt_rules("messages"),
        Rule(blank("completion"), "empty completion"),
    ]
