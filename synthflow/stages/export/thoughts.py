"""What a release says of a policy's thought: keep it, drop it, or leave it out of the loss.

Invariant: a kept thought has both of its markers. A template that opens the thought in its generation prompt leaves the
first one out of what was sampled; trained on as it is, the answer would close what nothing opened.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Literal

import polars as pl

from synthflow.contracts import Inputs, Renderer, Services
from synthflow.stages.export.base import Rule
from synthflow.verifiers.answers.finding.thoughts import thoughts

OPENED, CLOSED = "<think>", "</think>"
"""The markers that templates write into their generation prompt."""
Thinking = Literal["keep", "drop", "mask"]
HIDDEN = Rule(pl.col("_thought_end").is_not_null(), "its thought is masked, which text cannot say: see sft_tokens")


def trained_on(text: pl.Expr, thinking: Thinking, thought_end: pl.Expr | None = None) -> pl.Expr:
    """A completion as it is written to a release.

    Args:
        thought_end: where its last thought ends; None where its markers tell.
    """
    if thinking == "drop":
        after = text.map_elements(_after, pl.String) if thought_end is None else text.str.slice(thought_end)
        has_thought = pl.lit(True) if thought_end is None else thought_end.is_not_null()
        return pl.when(has_thought).then(after.str.strip_chars_start()).otherwise(text)
    closed, opened = (text.str.contains(marker, literal=True) for marker in (CLOSED, OPENED))
    return pl.when(closed & ~opened).then(pl.lit(f"{OPENED}\n") + text).otherwise(text)


def _after(text: str) -> str:
    spans = thoughts(text)
    return text[spans[-1][1] :] if spans else text


def thought_tokens(part: Inputs, services: Services, rows: pl.DataFrame) -> pl.DataFrame:
    """rollout_id and _thought_tokens, the number of tokens of its thought: null where nobody has its tokenizer.

    Args:
        rows: rollout_id, policy_id, token_ids and _thought_end, which is null where there is no thought.
    """
    names = {str(a.config.get("policy") or "default") for a in part.ancestors if a.has("writes_rollouts")}
    renderers = {services.identity(name).policy_id: services.renderer(name) for name in sorted(names)}
    counts = [
        _tokens_until(row["_thought_end"], row["token_ids"], renderers.get(row["policy_id"]))
        for row in rows.iter_rows(named=True)
    ]
    return rows.select("rollout_id", pl.Series("_thought_tokens", counts, pl.Int64))


def _tokens_until(end: int | None, tokens: list[int] | None, renderer: Renderer | None) -> int | None:
    if end is None or tokens is None:
        return 0
    return None if renderer is None else bisect_right(renderer.token_ends(tokens), end)
