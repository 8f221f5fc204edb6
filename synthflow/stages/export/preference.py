"""`export.preference`: better against worse, in the shapes that trainers read.

- `preference`: every pair, as lists of messages. A step pair's shared trunk stands *inside* both completions: a
  conversational prompt that ends with an assistant's message is not continued by any trainer but closed and
  started anew, and with the trunk inside, the sigmoid DPO loss and its gradient are those of the trunk outside
  (the trunk's log probability cancels). This does not hold for IPO, ORPO or CPO, whose terms see the trunk.
- `preference_text`: the same as plain strings, of pairs whose prompt is one user message; lists would silently
  become garbage in the trainers that want strings, and a system prompt would silently be lost.
- `unpaired`: single answers with a boolean label, where a verify stage is above: its verdict, or, where a stage
  `mine.unpaired` is above, whether that takes them as positive or negative, and with what weight. Ordered by
  rollout_id, a hash: KTO takes its KL term from neighbouring rows, which must not be of one problem (Ethayarajh et
  al. 2024, arXiv 2402.01306).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import polars as pl
from pydantic import Field

from synthflow.contracts import Account, Inputs, Services, StageInfo
from synthflow.rollouts.views import check_verdicts, dropped, verify_stages
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
from synthflow.stages.export.columns import (
    BOOL,
    F32,
    I32,
    I64,
    MESSAGES,
    OF_ROLLOUT,
    STRING,
    WEIGHT,
    ConfigSpec,
    ExportColumn,
)
from synthflow.stages.export.sft import mined_rules, trainable_rules, unknown_rules
from synthflow.stages.export.thoughts import Thinking, trained_on
from synthflow.stages.export.views import (
    blank,
    candidates,
    check_only,
    main_group,
    mined,
    problem_facts,
    reply,
    roles,
    sidecars_of_rollout,
    user_text,
)

_MARGIN = ExportColumn("margin", F32, "value of chosen less value of rejected; reward trainers read it", "if_all")
_OF_PAIR = tuple(
    ExportColumn(f"sf_{name}", type_, comment, "if_any")
    for name, type_, comment in (
        ("pair_id", STRING, "the pair"),
        ("problem_id", STRING, "the problem this row belongs to"),
        ("level", STRING, "response, step, turn or judge"),
        ("rule", STRING, "the rule that mined it"),
        ("prefix_chars", I32, "characters (code points) at the start of both answers that they share as trunk"),
        ("chosen_rollout_id", STRING, "the rollout that chosen comes from"),
        ("rejected_rollout_id", STRING, "the rollout that rejected comes from"),
        ("chosen_value", F32, "verdict or value of chosen"),
        ("rejected_value", F32, "verdict or value of rejected"),
        ("margin", F32, "chosen_value - rejected_value"),
        ("margin_se", F32, "its standard error; 0 for verdicts"),
        ("length_ratio", F32, "longer over shorter"),
        ("interval_overlap", F32, "what both sides' 95% intervals share, of the shorter; 0: disjoint"),
        ("scorer_agreement", F32, "share of the stages that judged both sides and agree with the order"),
        ("round_consistency", F32, "share of earlier rounds in which the order of the same texts held"),
        ("p_better", F32, "probability that the margin is above 0, by normal approximation"),
        ("policy_id", STRING, "the policy that wrote chosen"),
        ("round", I32, "its self-improvement round"),
        ("pass_rate", F32, "of the problem's group of the last round"),
        ("difficulty_bin", STRING, "named bin of that pass rate"),
        ("curriculum_rank", I64, "place in the curriculum's order; the rows are sorted by it"),
        ("domain", STRING, "domain of the problem"),
        ("source", STRING, "where the problem came from"),
    )
)


def _pair_columns(text: bool) -> tuple[ExportColumn, ...]:
    kind = STRING if text else MESSAGES
    return (
        ExportColumn("prompt", kind, "the user's text" if text else "the prompt to train on"),
        ExportColumn("chosen", kind, "the better answer, a shared trunk included"),
        ExportColumn("rejected", kind, "the worse answer, a shared trunk included"),
        _MARGIN,
        *_OF_PAIR,
    )


PREFERENCE = ConfigSpec(
    "preference",
    "pairs of a better and a worse answer, as messages",
    _pair_columns(text=False),
    (
        ("TRL", "`trl dpo --dataset_name DIR --dataset_config preference`; `trl reward` reads `margin` too"),
        ("OpenRLHF", "`--data.dataset DIR/preference --data.prompt_key prompt --data.apply_chat_template`"),
        ("Axolotl", "`{path: DIR/preference, ds_type: parquet, type: chat_template.default, field_messages: prompt}`"),
    ),
)
PREFERENCE_TEXT = ConfigSpec(
    "preference_text",
    "the same pairs as plain strings, of prompts that are one user message",
    _pair_columns(text=True),
    (
        ("LLaMA-Factory", "`--dataset_dir DIR --dataset preference_text`"),
        ("NeMo-RL", "`BinaryPreferenceDataset` with `data_path: DIR/preference_text/train-*.parquet`"),
        ("verl", "`RMDataset` with the files of this config"),
        ("TRL", "do not: it would apply no chat template; use `preference`"),
    ),
)
UNPAIRED = ConfigSpec(
    "unpaired",
    "single answers, labelled true (positive: judged correct) or false (negative: judged wrong)",
    (
        ExportColumn("prompt", MESSAGES, "the prompt to train on"),
        ExportColumn("completion", MESSAGES, "the answer, one assistant message"),
        ExportColumn("label", BOOL, "true: judged correct, or mined as positive; false: wrong, or mined as negative"),
        WEIGHT,
        *OF_ROLLOUT,
    ),
    (
        ("TRL", "`trl kto --dataset_name DIR --dataset_config unpaired`"),
        (
            "TRL SFT",
            "YAML `datasets: [{path: parquet, data_files: DIR/unpaired/train-*, columns: [prompt, completion]}]`",
        ),
    ),
    shuffled=True,
)


class PreferenceConfig(ExportConfig):
    text: bool = Field(True, description="also write preference_text")
    unpaired: bool = Field(True, description="also write unpaired, where a verify stage is above")
    only: str | None = Field(
        None, description="unpaired: the stage mine.unpaired that says what is positive and negative, where several are"
    )
    thinking: Literal["keep", "drop"] = Field(
        "keep", description="a policy's thought before its answer: keep it with both markers, or drop it"
    )
    margin: bool = Field(True, description="write margin, which reward trainers add to their loss")
    min_margin: float | None = Field(None, ge=0, le=1, description="least margin of a pair")
    max_per_problem: int | None = Field(None, ge=1, description="most pairs of one problem: those of largest margin")
    min_pass_rate: float | None = Field(None, ge=0, le=1, description="least pass rate of the problem's group")
    max_pass_rate: float | None = Field(None, ge=0, le=1, description="largest pass rate of the problem's group")


class ExportPreference(ParquetExport):
    """Pairs for preference training, and single labelled answers."""

    use = "export.preference"
    version = "1"
    grows = True
    account = Account("preference", "sf_pair_id", "pairs", "pair_id")
    Config = PreferenceConfig
    added = ("thinking", "carry")
    reads = ("pairs",)
    summary = "Better answers against worse ones, for preference training."

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        if self.config.verdicts is not None or (self.config.unpaired and len(verify_stages(ancestors)) > 1):
            yield from check_verdicts(ancestors, self.config.verdicts)
        yield from check_pass_rate(self.config, ancestors)
        if self.config.unpaired or self.config.only is not None:
            yield from check_only(ancestors, self.config.only)

    def configs(self, ancestors: Sequence[StageInfo]) -> Sequence[ConfigSpec]:
        specs = [PREFERENCE]
        if self.config.text:
            specs.append(PREFERENCE_TEXT)
        if self.config.unpaired and verify_stages(ancestors):
            specs.append(UNPAIRED)
        return [spec if self.config.margin else _without_margin(spec) for spec in specs]

    def notes(self, ancestors: Sequence[StageInfo]) -> Iterator[str]:
        yield (
            "A step pair's shared trunk stands inside both answers (`sf_prefix_chars` says how long it is). For the "
            "sigmoid DPO loss that is the same as a trunk in the prompt; for IPO, ORPO and CPO it is not."
        )
        if self.config.margin:
            yield "TRL's and OpenRLHF's reward trainers put `margin` into their loss; `margin: false` leaves it out."

    def project(self, part: Inputs, services: Services) -> Iterable[Ledger]:
        pairs = _pairs(part, self.config.thinking)
        kept, rejects = self._keep(pairs)
        yield Ledger("preference", "pair", pairs.get_column("pair_id"), _messages(kept), rejects)
        if self.config.text:
            # whatever `preference` leaves out is said once, there
            plain, not_plain = take(kept, "pair_id", [_one_user_message()])
            asked = kept.get_column("pair_id")
            yield Ledger("preference_text", "pair", asked, _strings(plain), not_plain, primary=False)
        if self.config.unpaired and verify_stages(part.ancestors):
            yield self._unpaired(part)

    def _keep(self, pairs: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        least, most = self.config.min_margin, self.config.max_per_problem
        margin = pl.col("margin")
        rules = [
            *prompt_rules("prompt"),
            *filter_rules("pair"),
            Rule(pl.col("_chosen_dropped").is_not_null(), pl.lit("chosen filtered: ") + pl.col("_chosen_dropped")),
            Rule(blank("_chosen"), "chosen is empty"),
            Rule(blank("_rejected"), "rejected is empty"),
            Rule(pl.col("_chosen") == pl.col("_rejected"), "chosen equals rejected"),
            *pass_rate_rules(self.config.min_pass_rate, self.config.max_pass_rate),
        ]
        if least is not None:
            rules.append(Rule(margin.is_null(), "margin unknown"))
            rules.append(Rule(margin < least, f"margin below {least:g}", margin))
        kept, rejects = take(pairs, "pair_id", rules)
        if most is None:
            return kept, rejects
        ranked = kept.sort("problem_id", "margin", "pair_id", descending=[False, True, False], nulls_last=True)
        place = pl.col("pair_id").cum_count().over("problem_id")
        kept, over = take(ranked, "pair_id", [Rule(place > most, f"over max_per_problem {most}")])
        return kept, pl.concat([rejects, over])

    def _unpaired(self, part: Inputs) -> Ledger:
        rollouts, taken = candidates(part, self.config.verdicts), mined(part, self.config.only)
        if taken is None:
            label, rules = pl.col("verdict") == "correct", unknown_rules()
            rollouts = rollouts.with_columns(pl.lit(None, pl.Float32).alias("_weight"))
        else:
            label, rules = pl.col("_weight") > 0, mined_rules()
            rollouts = rollouts.join(taken, on="rollout_id", how="left", maintain_order="left")
        rules = [
            *rules,
            *filter_rules("rollout"),
            *trainable_rules(),
            *pass_rate_rules(self.config.min_pass_rate, self.config.max_pass_rate),
        ]
        kept, rejects = take(rollouts, "rollout_id", rules)
        rows = kept.select(
            pl.col("messages").alias("prompt"),
            reply(trained_on(pl.col("completion"), self.config.thinking, pl.col("_thought_end"))).alias("completion"),
            label.alias("label"),
            pl.col("_weight").abs().alias("sf_weight"),
            *sidecars_of_rollout(),
        )
        return Ledger("unpaired", "rollout", rollouts.get_column("rollout_id"), rows, rejects, primary=False)


def _without_margin(spec: ConfigSpec) -> ConfigSpec:
    columns = tuple(c for c in spec.columns if c.name != "margin")
    return ConfigSpec(spec.name, spec.comment, columns, spec.usage, spec.shuffled)


def _pairs(part: Inputs, thinking: Thinking) -> pl.DataFrame:
    """Pairs with the whole answers (`_chosen`, `_rejected`), the writer of chosen, and the problem's group."""
    wrote = (
        part.frame("rollouts", ["rollout_id", "policy_id", "round"])
        .unique("rollout_id", keep="first", maintain_order=True)
        .rename({"rollout_id": "chosen_rollout_id"})
    )
    filtered = dropped(part, "rollout").rename({"rollout_id": "chosen_rollout_id", "dropped": "_chosen_dropped"})
    group = main_group(part).select("problem_id", "pass_rate", "difficulty_bin")
    return (
        part.frame("pairs")
        .with_columns(
            trained_on(pl.col("prefix") + pl.col("chosen"), thinking).alias("_chosen"),
            trained_on(pl.col("prefix") + pl.col("rejected"), thinking).alias("_rejected"),
        )
        .with_columns(
            (pl.col("_chosen").str.len_chars().cast(pl.Int32) - pl.col("chosen").str.len_chars().cast(pl.Int32))
            .clip(lower_bound=0)
            .alias("prefix_chars")
        )
        .join(wrote, on="chosen_rollout_id", how="left")
        .join(group, on="problem_id", how="left")
        .join(problem_facts(part), on="problem_id", how="left")
        .join(filtered, on="chosen_rollout_id", how="left")
        .join(dropped(part, "pair"), on="pair_id", how="left")
        .join(dropped(part, "problem", "problem_dropped"), on="problem_id", how="left")
        .sort("problem_id", "pair_id")
    )


def _sidecars() -> list[pl.Expr]:
    made = {"sf_curriculum_rank", "sf_domain", "sf_source"}
    names = [column.name for column in _OF_PAIR if column.name not in made]
    return [
        pl.col("margin"),
        pl.col("pair_id").alias("_id"),
        pl.col("problem_id").alias("_problem"),
        *(pl.col(name.removeprefix("sf_")).alias(name) for name in names),
        pl.col("sf_domain"),
        pl.col("sf_source"),
    ]


def _messages(pairs: pl.DataFrame) -> pl.DataFrame:
    return pairs.select(
        "prompt",
        reply(pl.col("_chosen")).alias("chosen"),
        reply(pl.col("_rejected")).alias("rejected"),
        *_sidecars(),
    )


def _strings(pairs: pl.DataFrame) -> pl.DataFrame:
    return pairs.select(
        user_text("prompt").alias("prompt"),
        pl.col("_chosen").alias("chosen"),
        pl.col("_rejected").alias("rejected"),
        *_sidecars(),
    )


def _one_user_message() -> Rule:
    return Rule(roles("prompt") != "user", pl.lit("prompt is not one user message but ") + roles("prompt"))


__all__ = ["PREFERENCE", "PREFERENCE_TEXT", "UNPAIRED", "ExportPreference", "PreferenceConfig"]
