"""What a release says of a policy's thought: keep it, drop it, or leave it out of the loss.

Invariant: a kept thought has both of its markers. A template that opens the thought in its generation prompt leaves the
first one out of what was sampled; trained on as it is, the answer would close what nothing opened.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Literal

import polars as pl

from synthflow.contracts import Inputs, Renderer, Services
from synthflow.segment.reasoning import THINKING as MARKERS
from synthflow.stages.export.base import Rule

Thinking = Literal["keep", "drop", "mask"]
HIDDEN = Rule(pl.col("_thought_end").is_not_null(), "its thought is masked, which text cannot say: see sft_tokens")


def trained_on(text: pl.Expr, thinking: Thinking, thought_end: pl.Expr | None = None) -> pl.Expr:
    """A completion as it is written to a release.

    Args:
        thought_end: where its thought ends; None where its markers alone tell.
    """
    if thinking == "drop":
        after = text.str.replace(rf"(?s)^.*{MARKERS.closed}\s*", "")
        if thought_end is None:
            return after
        return pl.when(thought_end.is_not_null()).then(text.str.slice(thought_end)).otherwise(after)
    closed, opened = (text.str.contains(marker, literal=True) for marker in (MARKERS.closed, MARKERS.opened))
    return pl.when(closed & ~opened).then(pl.lit(f"{MARKERS.opened}\n") + text).otherwise(text)


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
