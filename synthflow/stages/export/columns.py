"""What a config of a release holds: columns with types, comments and a rule for when they are there.

Trainers dispatch on the presence of columns, so a column that says nothing must not be there: a null
`chat_template_kwargs` or `tools` crashes where an absent one is fine. Every column that is not read by a trainer
carries the prefix `sf_`, which no trainer claims; `RESERVED` lists the names that some trainer does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import pyarrow as pa

from synthflow.schema.types import BOOL, F32, F32S, I32, I32S, I64, MESSAGES, STRING

Keep = Literal["always", "if_any", "if_all"]
"""`always`: no value may be null; `if_any`: dropped where all are null; `if_all`: dropped where one is null."""

_RESERVED = """
labels label input_ids attention_mask completion_mask assistant_masks seq_lengths text messages prompt prompts
completion completions completion_ids chosen rejected margin image images videos audios tools tool_defs
chat_template_kwargs conversations environment environments trainer_state log_extra log_metric task_name
raw_prompt index uid dummy_tensor tools_kwargs interaction_kwargs agent_name reward_scores enable_thinking
datasource data_source metadata extra_info reward_model __subset __split __index _prompt _response
"""
RESERVED = frozenset(_RESERVED.split())
RESERVED_PATTERNS = (re.compile(r".*_ids"), re.compile(r"ref_.*_logps"))


def is_reserved(name: str) -> bool:
    """Whether some trainer gives this column name a meaning."""
    return name in RESERVED or any(pattern.fullmatch(name) for pattern in RESERVED_PATTERNS)


@dataclass(frozen=True)
class ExportColumn:
    name: str
    type: pa.DataType
    comment: str
    keep: Keep = "always"


@dataclass(frozen=True)
class ConfigSpec:
    """One config of a release: a folder of Parquet shards with one schema.

    `usage` holds (trainer, flags) lines for the card. A `shuffled` config is ordered by row id, which is a hash,
    instead of by curriculum and problem.
    """

    name: str
    comment: str
    columns: tuple[ExportColumn, ...]
    usage: tuple[tuple[str, str], ...] = ()
    shuffled: bool = False

    def with_columns(self, more: Sequence[ExportColumn]) -> ConfigSpec:
        return replace(self, columns=(*self.columns, *more)) if more else self

    @cached_property
    def schema(self) -> pa.Schema:
        return arrow_schema(self.columns)


def arrow_schema(columns: Sequence[ExportColumn]) -> pa.Schema:
    """Schema of the shards: comments in the fields, and no metadata of its own."""
    return pa.schema([pa.field(c.name, c.type, metadata={"comment": c.comment}) for c in columns])


def _sf(name: str, type_: pa.DataType, comment: str) -> ExportColumn:
    return ExportColumn(f"sf_{name}", type_, comment, "if_any")


def carried_columns(names: Sequence[str]) -> list[ExportColumn]:
    """Columns of the source that an export carries."""
    return [_sf(f"meta_{name}", STRING, f"the source's column {name}, as text") for name in names]


PROBLEM_ID = _sf("problem_id", STRING, "the problem this row belongs to")
ROLLOUT_ID = _sf("rollout_id", STRING, "the rollout this row was made of")
POLICY_ID = _sf("policy_id", STRING, "the policy that wrote it: H(weights, tokenizer, chat template)")
ROUND = _sf("round", I32, "self-improvement round, from 0")
SAMPLING_ID = _sf("sampling_id", STRING, "how it was sampled: H(sampling parameters, template, condition)")
CONDITION = _sf(
    "condition", STRING, "what it was sampled under, or put together as: none, gold, hint, tree, spliced, ..."
)
N_TOKENS = _sf("n_tokens", I32, "tokens of the completion")
VERDICT = _sf("verdict", STRING, "correct, wrong or unknown, as the stage in sf_verdict_stage says")
VERDICT_STAGE = _sf("verdict_stage", STRING, "the verify stage whose verdict that is")
PASS_RATE = _sf("pass_rate", F32, "correct / (correct + wrong) of the problem under this policy, round, sampling")
DIFFICULTY_BIN = _sf("difficulty_bin", STRING, "named bin of the pass rate")
CURRICULUM_RANK = _sf("curriculum_rank", I64, "place in the curriculum's order; the rows are sorted by it")
DOMAIN = _sf("domain", STRING, "domain of the problem")
SOURCE = _sf("source", STRING, "where the problem came from")
WEIGHT = _sf("weight", F32, "how much it counts, by the stage mine.unpaired that took it")

OF_PROBLEM = (PROBLEM_ID, DOMAIN, SOURCE, CURRICULUM_RANK)
OF_ROLLOUT = (
    PROBLEM_ID,
    ROLLOUT_ID,
    POLICY_ID,
    ROUND,
    SAMPLING_ID,
    CONDITION,
    N_TOKENS,
    VERDICT,
    VERDICT_STAGE,
    PASS_RATE,
    DIFFICULTY_BIN,
    CURRICULUM_RANK,
    DOMAIN,
    SOURCE,
)
"""Sidecars of a row made of one rollout."""

__all__ = [
    "BOOL",
    "F32",
    "F32S",
    "I32",
    "I32S",
    "I64",
    "MESSAGES",
    "OF_PROBLEM",
    "OF_ROLLOUT",
    "RESERVED",
    "STRING",
    "ConfigSpec",
    "ExportColumn",
    "arrow_schema",
    "is_reserved",
]
