"""`length`: bounds on tokens and characters, and rollouts that were cut off.

Tokens are the policy's own (`n_tokens`); characters are Unicode code points. All bounds are inclusive.
"""

from __future__ import annotations

from typing import Self

import polars as pl
from pydantic import Field, model_validator

from synthflow.contracts import Filter, FilterConfig
from synthflow.filters.annotate import annotate, when


class LengthConfig(FilterConfig):
    """Configuration of `filter.length`. A bound that is null is not checked."""

    min_tokens: int | None = Field(None, ge=0, description="fewest tokens of a completion")
    max_tokens: int | None = Field(None, ge=0, description="most tokens of a completion")
    min_chars: int | None = Field(1, ge=0, description="fewest characters; 1 drops empty completions")
    max_chars: int | None = Field(None, ge=0, description="most characters")
    drop_truncated: bool = Field(False, description="drop rollouts that ended at the token limit")

    @model_validator(mode="after")
    def _bounds_leave_room(self) -> Self:
        for unit in ("tokens", "chars"):
            low, high = getattr(self, f"min_{unit}"), getattr(self, f"max_{unit}")
            if low is not None and high is not None and low > high:
                raise ValueError(f"min_{unit} ({low}) is above max_{unit} ({high}): nothing would be kept")
        return self


class LengthFilter(Filter):
    """Drops what is too short, too long or cut off. Reads: n_tokens, completion, finish_reason."""

    name = "length"
    version = "1"
    Config = LengthConfig

    def judge(self, rollouts: pl.DataFrame) -> pl.DataFrame:
        config = self.config
        tokens, chars = pl.col("n_tokens"), pl.col("completion").str.len_chars()
        bounds = [
            (config.min_tokens, tokens, "tokens", True),
            (config.max_tokens, tokens, "tokens", False),
            (config.min_chars, chars, "characters", True),
            (config.max_chars, chars, "characters", False),
        ]
        rules = []
        for bound, measured, unit, lower in bounds:
            if bound is not None:
                broken = measured < bound if lower else measured > bound
                side = "fewer than" if lower else "more than"
                rules.append(when(broken, pl.format(f"{{}} {unit}, {side} {bound}", measured)))
        if config.drop_truncated:
            rules.append(when(pl.col("finish_reason") == "length", "truncated"))
        return annotate(rollouts, rules)
