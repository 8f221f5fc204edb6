"""`duplicates`: the same completion sampled twice for one problem under one condition.

Of equal completions the one with the smallest rollout_id is kept, so the order of rows cannot matter; the reason names
it. Near duplicates are not looked for here. Rollouts of different conditions (with a hint, from a prefix) are never
duplicates of each other: they mean different things.
"""

from __future__ import annotations

import polars as pl
from pydantic import Field

from synthflow.contracts import Filter, FilterConfig
from synthflow.filters.annotate import annotate, when


class DuplicatesConfig(FilterConfig):
    """Configuration of `filter.duplicates`."""

    ignore_whitespace: bool = Field(True, description="runs of white space count as one space, outer ones not at all")


class DuplicatesFilter(Filter):
    """Drops exact duplicates. Reads: rollout_id, problem_id, condition, completion."""

    name = "duplicates"
    version = "1"
    Config = DuplicatesConfig

    def judge(self, rollouts: pl.DataFrame) -> pl.DataFrame:
        text = pl.col("completion")
        if self.config.ignore_whitespace:
            text = text.str.replace_all(r"\s+", " ").str.strip_chars()
        keyed = rollouts.select("rollout_id", "problem_id", "condition", text.alias("text")).with_columns(
            pl.col("rollout_id").min().over("problem_id", "condition", "text").alias("first")
        )
        repeated = pl.col("rollout_id") != pl.col("first")
        return annotate(keyed, [when(repeated, pl.format("duplicate of {}", pl.col("first")))])
