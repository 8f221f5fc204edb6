"""Whole responses: one that is right against one that is wrong, of one group.

Invariants: both are first rollouts of the same problem, policy, round and sampling, both were judged, and no filter
drops either. Rollouts with the same text count once. An unknown verdict is on neither side, unless the recipe says
that it is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from synthflow import ids
from synthflow.rollouts.groups import GROUP
from synthflow.stages.mine.choose import RULE_ORDER, Candidates, chosen_rows
from synthflow.stages.mine.negatives import Negatives, ranks, wanted_first

MAX_SIDE = 64
"""Rollouts considered on each side of a group (or as many as pairs are wanted), those with the smallest ids: what is
compared grows with the square of them."""

COLUMNS = (
    "rollout_id", *GROUP, "prompt", "train_prompt", "completion", "completion_hash", "n_tokens", "index",
)  # fmt: skip
"""Columns of the rollouts that pairs are made of."""

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


def usable(judged: pl.DataFrame, how: Negatives) -> pl.DataFrame:
    """Rollouts that may stand in a pair: known to be `right` or not, kept, with a text; each text once a group."""
    first = ["index", "rollout_id"] if how == "first" else ["rollout_id"]
    return (
        judged.filter(pl.col("right").is_not_null(), pl.col("dropped").is_null(), pl.col("completion") != "")
        .sort(first)
        .unique([*GROUP, "right", "completion_hash"], keep="first", maintain_order=True)
    )


def scored(usable: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
    """Those that may stand in a pair by their `number`, which wrong ones need.

    Also the problems that have both kinds in a group, and no wrong rollout with a number.
    """
    known = usable.filter(pl.col("right") | pl.col("number").is_not_null())
    kinds = usable.group_by(GROUP).agg(pl.col("right").n_unique())
    both = kinds.filter(pl.col("right") > 1)["problem_id"].unique()
    return known, both.filter(~both.is_in(known.filter(~pl.col("right"))["problem_id"].implode()))


@dataclass(frozen=True, slots=True)
class Crossed:
    """Pairs of rows of `usable`, a right with a wrong one of the same group each; groups stand together, in order."""

    usable: pl.DataFrame
    chosen: I64
    rejected: I64

    @staticmethod
    def of(usable: pl.DataFrame, how: Negatives, most: int) -> Crossed:
        """All that `how` allows."""
        order = [*GROUP, ~pl.col("right"), *wanted_first(how)]
        usable = usable.sort(order).with_columns(pl.struct(GROUP).rle_id().cast(pl.Int64).alias("group"))
        limit = 1 if how in ("drawn", "first") else max(MAX_SIDE, most)
        group, right = usable["group"].to_numpy(), usable["right"].to_numpy()
        size = int(group[-1]) + 1 if len(group) else 0
        n_right, n_wrong = np.bincount(group[right], minlength=size), np.bincount(group[~right], minlength=size)
        ends = np.cumsum(n_right + n_wrong)
        first_right, first_wrong = ends - n_right - n_wrong, ends - n_wrong
        n_right, n_wrong = np.minimum(n_right, limit), np.minimum(n_wrong, limit)
        pairs = n_right * n_wrong
        of = np.repeat(np.arange(size), pairs)
        number = np.arange(len(of)) - np.repeat(np.cumsum(pairs) - pairs, pairs)
        return Crossed(usable, first_right[of] + number // n_wrong[of], first_wrong[of] + number % n_wrong[of])

    @property
    def length_ratio(self) -> F64:
        """Longer over shorter, in tokens where both sides have some, otherwise in characters."""
        tokens = self.usable["n_tokens"].fill_null(0).to_numpy().astype(np.int64)
        characters = self.usable["completion"].str.len_chars().to_numpy().astype(np.int64)
        in_tokens = np.minimum(tokens[self.chosen], tokens[self.rejected]) > 0
        one = np.where(in_tokens, tokens[self.chosen], characters[self.chosen])
        other = np.where(in_tokens, tokens[self.rejected], characters[self.rejected])
        ratio: F64 = np.maximum(one, other) / np.maximum(np.minimum(one, other), 1)
        return ratio

    @property
    def problems(self) -> pl.Series:
        """Problems that have a pair."""
        return self.usable["problem_id"][self.chosen].unique()

    def pairs(self, how: Negatives, rule: str, most: int, max_length_ratio: float | None) -> pl.DataFrame:
        """The pairs that are chosen among those within the limit, with their columns of the table."""
        ratio = self.length_ratio
        within = np.flatnonzero(ratio <= (np.inf if max_length_ratio is None else max_length_ratio))
        chosen, rejected = self.chosen[within], self.rejected[within]
        names = self.usable["rollout_id"].to_list()
        texts = self.usable["completion_hash"].rank("dense").to_numpy().astype(np.int64)
        candidates = Candidates(
            self.usable["problem_id"].rle_id().to_numpy().astype(np.int64)[chosen],
            np.full(len(within), RULE_ORDER.index(rule)),
            ranks(how, self.usable, self.chosen, self.rejected)[within],
            np.ones(len(within)),
            ratio[within],
            texts[chosen] * (len(texts) + 1) + texts[rejected],
            chosen,
            rejected,
        )

        def pair_id(row: int) -> str:
            return ids.pair_id("response", ids.NO_PREFIX, names[chosen[row]], names[rejected[row]], rule)

        picked = chosen_rows(candidates, most, pair_id)
        better, worse = self.usable[chosen[picked]], self.usable[rejected[picked]]
        return worse.select(
            pl.Series("pair_id", [pair_id(row) for row in picked.tolist()], pl.String),
            "problem_id",
            pl.lit("response").alias("level"),
            pl.coalesce("train_prompt", "prompt").alias("prompt"),
            pl.lit("").alias("prefix"),
            better["completion"].alias("chosen"),
            pl.col("completion").alias("rejected"),
            better["rollout_id"].alias("chosen_rollout_id"),
            pl.col("rollout_id").alias("rejected_rollout_id"),
            pl.lit(None, pl.String).alias("chosen_step_id"),
            pl.lit(None, pl.String).alias("rejected_step_id"),
            pl.lit(1.0).alias("chosen_value"),
            pl.lit(0.0).alias("rejected_value"),
            pl.lit(1.0).alias("margin"),
            pl.lit(0.0).alias("margin_se"),
            pl.Series("length_ratio", ratio[within][picked]),
            pl.lit(None, pl.Float64).alias("visit_confidence"),
            pl.lit(rule).alias("rule"),
            pl.lit(0.0).alias("interval_overlap"),
            pl.lit(1.0).alias("p_better"),
            "round",
        )
