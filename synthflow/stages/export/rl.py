"""`export.rl`: problems with gold answers, in one table that five RL trainers read.

The config `rl` is the union of what TRL, verl, OpenRLHF, slime and NeMo-RL look for; each finds its own columns and
carries or ignores the others. The ground truth is always a string: files that differ in its type do not concatenate.

Where a stage `mine.advantages` is above, the config `offline` holds the rollouts themselves (see `offline`).

A group whose rollouts are all right or all wrong has no advantage and teaches a group-relative method nothing
(DAPO's dynamic sampling, Yu et al. 2025, arXiv 2503.14476), so where pass rates are known only `mixed` groups are
written unless `groups` says otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field, field_validator

from synthflow.contracts import Account, Inputs, Services, StageInfo
from synthflow.rollouts.problem_measures import REPEATS
from synthflow.rollouts.views import dropped
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
    DIFFICULTY_BIN,
    F32,
    I32,
    I64,
    MESSAGES,
    OF_PROBLEM,
    PASS_RATE,
    POLICY_ID,
    ROUND,
    SAMPLING_ID,
    STRING,
    ConfigSpec,
    ExportColumn,
)
from synthflow.stages.export.offline import OFFLINE, advantage_stages, check_advantages, offline
from synthflow.stages.export.views import blank, has_stats, main_group, problem_repeats, user_text
from synthflow.stores.old_records import ALL_CORRECT, ALL_RIGHT, todays_groups

GroupState = Literal["all_correct", "mixed", "all_wrong", "undecided"]

_REWARD_MODEL = pa.struct([pa.field("style", STRING), pa.field("ground_truth", STRING)])
_EXTRA_INFO = pa.struct(
    [pa.field("split", STRING), pa.field("index", I64), pa.field("problem_id", STRING), pa.field("pass_rate", F32)]
)
_METADATA = pa.struct([pa.field("rm_type", STRING), pa.field("problem_id", STRING), pa.field("pass_rate", F32)])

RL = ConfigSpec(
    "rl",
    "problems with gold answers, for reinforcement learning with verifiable rewards",
    (
        ExportColumn("prompt", MESSAGES, "chat messages to answer (TRL, verl, OpenRLHF, slime)"),
        ExportColumn("problem", STRING, "the last user message alone (NeMo-RL)"),
        ExportColumn("answer", STRING, "gold answer as given (OpenRLHF, slime, NeMo-RL)"),
        ExportColumn("solution", STRING, "gold answer as $\\boxed{…}$, which math-verify parses (TRL)"),
        ExportColumn("data_source", STRING, "key of verl's built-in scorer, not the provenance"),
        ExportColumn("datasource", STRING, "where the problem came from (OpenRLHF's spelling)"),
        ExportColumn("ability", STRING, "domain of the problem (verl)"),
        ExportColumn("reward_model", _REWARD_MODEL, "style rule and the gold answer (verl)"),
        ExportColumn("extra_info", _EXTRA_INFO, "split, a stable number of the problem, its id, pass rate (verl)"),
        ExportColumn("metadata", _METADATA, "rm_type, the problem's id, pass rate (slime)"),
        *OF_PROBLEM,
        PASS_RATE,
        DIFFICULTY_BIN,
        ExportColumn("sf_group_state", STRING, "mixed, all_correct, all_wrong or undecided", "if_any"),
        POLICY_ID,
        ROUND,
        SAMPLING_ID,
        ExportColumn("sf_repeats", I32, "how often the problem is to be repeated in an epoch", "if_any"),
    ),
    (
        ("TRL", "`trl grpo --dataset_name DIR --dataset_config rl --reward_funcs accuracy_reward`"),
        ("verl", "`data.train_files=[DIR/rl/train-….parquet] data.prompt_key=prompt`"),
        (
            "OpenRLHF",
            "`--data.prompt_dataset DIR/rl --data.input_key prompt --data.label_key answer --data.apply_chat_template`",
        ),
        (
            "slime",
            "`--prompt-data FILE.parquet --input-key prompt --label-key answer --apply-chat-template`",
        ),
        ("NeMo-RL", "`input_key: problem, output_key: answer`, `data_path: DIR/rl/train-*.parquet`"),
    ),
)


class RlConfig(ExportConfig):
    groups: tuple[GroupState, ...] | None = Field(
        None, description="states of a problem's group that are written; default mixed where pass rates are known"
    )

    @field_validator("groups", mode="before")
    @classmethod
    def _todays_words(cls, value: Any) -> Any:
        return todays_groups(value)

    min_pass_rate: float | None = Field(None, ge=0, le=1, description="least pass rate of the problem's group")
    max_pass_rate: float | None = Field(None, ge=0, le=1, description="largest pass rate of the problem's group")
    repeat: bool = Field(False, description="write a problem as often as the curriculum.repeats above says")
    data_source: str = Field("lighteval/MATH", description="key of verl's built-in scorer; this one reads \\boxed{}")
    ability: str = Field("math", description="ability of problems that name no domain")
    rm_type: str = Field("math", description="slime's built-in reward")
    offline: bool = Field(True, description="also write offline, where a stage mine.advantages is above")
    advantages: str | None = Field(None, description="offline: the stage mine.advantages, where several are above")
    instruction: str | None = Field(
        None, description="appended to the last user message, such as: Put the final answer in \\boxed{}."
    )


class ExportRl(ParquetExport):
    """Problems for reinforcement learning."""

    use = "export.rl"
    version = "1"
    grows = True
    account = Account("rl", "sf_problem_id", "problems", "problem_id")
    Config = RlConfig
    reads = ("problems",)
    summary = "Problems with gold answers, for reinforcement learning with verifiable rewards."

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        yield from check_pass_rate(self.config, ancestors)
        if self.config.groups is not None and not has_stats(ancestors):
            yield "groups", "no stage above knows pass rates", "read a stage such as curriculum.pass_rate"
        if self.config.offline or self.config.advantages is not None:
            yield from check_advantages(ancestors, self.config.advantages)
        if self.config.repeat and not any(a.has("repeats_problems") for a in ancestors):
            yield "repeat", f"no {REPEATS} above this stage", f"read one, such as {{use: {REPEATS}, of: difficulty}}"

    def configs(self, ancestors: Sequence[StageInfo]) -> Sequence[ConfigSpec]:
        return (RL, OFFLINE) if self._advantages(ancestors) is not None else (RL,)

    def notes(self, ancestors: Sequence[StageInfo]) -> Iterator[str]:
        groups = self._groups(ancestors)
        if groups is not None:
            yield f"Problems whose group of rollouts is {' or '.join(groups)} were written (option `groups`)."
            yield "A problem's group is that of the last round with most rollouts; `sf_` columns say whose it is."
        yield (
            f"verl scores with the rule of `{self.config.data_source}` (option `data_source`); the reward reads what "
            "the prompt asks for, so that prompt and scorer must agree on how an answer is marked."
        )

    def _advantages(self, ancestors: Sequence[StageInfo]) -> str | None:
        if not self.config.offline:
            return None
        return self.config.advantages or next(reversed(advantage_stages(ancestors)), None)

    def identity(self) -> Mapping[str, Any]:
        """A run whose spec has the old word for `all_correct` is the same run."""
        groups = self.config.groups
        return {} if groups is None else {"groups": [ALL_RIGHT if g == ALL_CORRECT else g for g in groups]}

    def _groups(self, ancestors: Sequence[StageInfo]) -> tuple[str, ...] | None:
        if self.config.groups is not None:
            return tuple(self.config.groups)
        return ("mixed",) if has_stats(ancestors) else None

    def project(self, part: Inputs, services: Services) -> Iterable[Ledger]:
        # two sources may hold one problem: it is the same by its id
        problems = part.frame("problems", nearest=True).unique("problem_id", keep="first", maintain_order=True)
        frame = problems.join(main_group(part), on="problem_id", how="left")
        frame = frame.join(problem_repeats(part), on="problem_id", how="left")
        frame = frame.join(dropped(part, "problem", "problem_dropped"), on="problem_id", how="left").sort("problem_id")
        kept, rejects = take(frame, "problem_id", self._rules(part.ancestors))
        yield Ledger("rl", "problem", frame.get_column("problem_id"), self._rows(kept), rejects)
        advantages = self._advantages(part.ancestors)
        if advantages is not None:
            yield offline(part, advantages)

    def _rules(self, ancestors: Sequence[StageInfo]) -> list[Rule]:
        rules = [
            *filter_rules("problem"),
            Rule(pl.col("answer").is_null() | blank("answer"), "no gold answer"),
            *prompt_rules("prompt"),
            Rule(pl.col("prompt").list.last().struct.field("role") != "user", "prompt does not end with a user"),
        ]
        groups = self._groups(ancestors)
        if groups is not None:
            state = pl.col("group_state")
            wanted = f" (groups: {', '.join(groups)})"
            rules.append(Rule(state.is_null(), "no group of rollouts" + wanted))
            rules.append(Rule(~state.is_in(groups), pl.lit("group ") + state + wanted, pl.col("pass_rate")))
        return [*rules, *pass_rate_rules(self.config.min_pass_rate, self.config.max_pass_rate)]

    def _rows(self, kept: pl.DataFrame) -> pl.DataFrame:
        prompt = self._instructed(pl.col("prompt"))
        ids, rate = pl.col("problem_id"), pl.col("pass_rate")
        number = ids.map_elements(problem_number, return_dtype=pl.Int64)
        split = pl.coalesce("split", pl.lit("train"))
        same = ("policy_id", "round", "sampling_id", "pass_rate", "difficulty_bin", "group_state")
        return kept.with_columns(prompt.alias("prompt")).select(
            "prompt",
            user_text("prompt").alias("problem"),
            "answer",
            boxed("answer").alias("solution"),
            pl.lit(self.config.data_source).alias("data_source"),
            pl.col("source").alias("datasource"),
            pl.coalesce("domain", pl.lit(self.config.ability)).alias("ability"),
            pl.struct(pl.lit("rule").alias("style"), pl.col("answer").alias("ground_truth")).alias("reward_model"),
            pl.struct(split.alias("split"), number.alias("index"), ids, rate).alias("extra_info"),
            pl.struct(pl.lit(self.config.rm_type).alias("rm_type"), ids, rate).alias("metadata"),
            ids.alias("_id"),
            ids.alias("_problem"),
            ids.alias("sf_problem_id"),
            pl.col("domain").alias("sf_domain"),
            pl.col("source").alias("sf_source"),
            *(pl.col(name).alias(f"sf_{name}") for name in same),
            "sf_repeats",
        )

    def copies(self, rows: pl.DataFrame) -> pl.DataFrame:
        if not self.config.repeat or "sf_repeats" not in rows.columns:  # a config of rollouts, not of problems
            return rows
        times = rows["sf_repeats"].fill_null(1).to_numpy()
        return rows[np.repeat(np.arange(rows.height), times)]

    def _instructed(self, prompt: pl.Expr) -> pl.Expr:
        if self.config.instruction is None:
            return prompt
        last = prompt.list.last()
        asked = pl.struct(
            last.struct.field("role"), (last.struct.field("content") + "\n" + self.config.instruction).alias("content")
        )
        return pl.concat_list(prompt.list.head(prompt.list.len() - 1), asked)


def problem_number(problem: str) -> int:
    """A stable non-negative number of a problem, below 2**60: the head of its id's hash."""
    return int.from_bytes(hashlib.blake2b(problem.encode(), digest_size=8).digest(), "big") >> 4


def boxed(column: str) -> pl.Expr:
    """`$\\boxed{answer}$`; an answer that is boxed already stays, and its own dollars go."""
    text = pl.col(column).str.strip_chars()
    bare = text.str.strip_prefix("$").str.strip_suffix("$")
    wrapped = pl.lit("$\\boxed{") + bare + "}$"
    return pl.when(text.str.contains("\\boxed", literal=True)).then(text).otherwise(wrapped)
