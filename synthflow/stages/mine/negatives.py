"""Which wrong responses a right one is set against: all alike, one, the first, the hardest, or the nearest.

Invariants: a candidate's rank (smaller first) and its rule depend on the two rollouts and their group alone, and ties
are left to `choose`, which ends in ids. What has no score is never called hard.

- `even`: no preference; rollouts are used evenly.
- `drawn`: one right against one wrong one of the group, at random (the smallest ids, which are hashes), and no other
  pair: what the rule `oreal` of `mine.unpaired` draws.
- `first`: the first right against the first wrong one of the group by sampling index, and no other pair (the pairs of
  REDI, Xu et al. 2025, arXiv 2505.24850).
- `hardest`: wrong ones by the highest number of a scorer, such as a reward model's or the policy's own confidence: in
  the spirit of RewardRanker ("Iterative Self-Training by Re-Ranking"), which trains on negatives that its reward model
  ranks high. The details are our default.
- `nearest_length`, `nearest_text`: the pair whose sides are nearest in length, or in text by the Jaccard similarity of
  their sets of three characters (our default): what differs is then what was wrong.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

Negatives = Literal["even", "drawn", "first", "hardest", "nearest_length", "nearest_text"]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

GRAM = 3


def wanted_first(how: Negatives) -> list[str | pl.Expr]:
    """What sorts the rollouts of a side, smallest first; wrong ones need a `number` for `hardest`."""
    if how == "hardest":
        return [pl.when(~pl.col("right")).then(-pl.col("number")).otherwise(0.0), "rollout_id"]
    return ["index", "rollout_id"] if how == "first" else ["rollout_id"]


def ranks(how: Negatives, usable: pl.DataFrame, chosen: I64, rejected: I64) -> F64:
    """How much each pair is wanted, smaller first.

    Args:
        usable: rows with group, completion, n_tokens and, for `hardest`, `number` of wrong ones.
        chosen, rejected: the rows of each pair, of one group.
    """
    if how == "hardest":
        number: F64 = usable["number"].to_numpy()
        return -number[rejected]
    if how == "nearest_length":
        size = _sizes(usable, chosen, rejected)
        apart: F64 = np.abs(size[chosen] - size[rejected]).astype(np.float64)
        return apart
    if how == "nearest_text":
        return _distances(usable["completion"], chosen, rejected)
    return np.zeros(len(chosen))


def _sizes(usable: pl.DataFrame, chosen: I64, rejected: I64) -> I64:
    """Tokens of each row, or characters where a pair of its group has a side without tokens."""
    tokens, group = usable["n_tokens"], usable["group"].to_numpy()
    untold = tokens.is_null().to_numpy()
    in_characters = np.isin(group, group[chosen[untold[chosen] | untold[rejected]]])
    characters = usable["completion"].str.len_chars().to_numpy().astype(np.int64)
    return np.where(in_characters, characters, tokens.fill_null(0).to_numpy())


def _distances(texts: pl.Series, chosen: I64, rejected: I64) -> F64:
    """1 - Jaccard similarity of both texts' sets of three characters: a loop over pairs, which compares sets."""
    grams = {row: _grams(texts[row]) for row in np.unique(np.append(chosen, rejected)).tolist()}
    pairs = zip(chosen.tolist(), rejected.tolist(), strict=True)
    return np.array([1 - _jaccard(grams[one], grams[other]) for one, other in pairs], np.float64)


def _grams(text: str) -> frozenset[str]:
    return frozenset(text[i : i + GRAM] for i in range(max(len(text) - GRAM + 1, 1)))


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)
