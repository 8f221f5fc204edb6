"""Which candidates become pairs: few from each rollout, the same ones always.

Invariant: the choice depends on the candidates of one problem only, and not on their order: ties end in the pair's id,
which is a hash of its content. No seed is drawn. Candidates are columns over many problems, so that a partition is
one round of sorting; a pair's id is hashed only of those that tie in all else.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthflow import ids

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

RULE_ORDER = (
    "verdict", "consensus", "drawn", "first", "hardest", "nearest_length", "nearest_text", "sibling", "continuation",
)  # fmt: skip
"""Rules by how much is known of their pairs; the first are chosen before the others."""

_PLACE = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Side:
    """One text of a pair. `low` and `high` end the 95% interval of its value; both equal it for a verdict, and are None
    where the labeler gives none. `visits` are the samples behind the value, judged or not."""

    rollout_id: str
    text: str
    tokens: int
    value: float
    low: float | None
    high: float | None
    step_id: str | None = None
    visits: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pair that might be. `prefix_id` and `prefix` are what both sides follow; a small `rank` is wanted first."""

    rule: str
    prefix_id: str
    prefix: str
    chosen: Side
    rejected: Side
    margin_se: float | None
    significant: bool
    rank: float = 0.0
    visit_confidence: float | None = None

    @property
    def margin(self) -> float:
        return self.chosen.value - self.rejected.value

    @property
    def length_ratio(self) -> float:
        """Longer over shorter, in tokens where both sides have some, otherwise in characters."""
        sides = (self.chosen, self.rejected)
        sizes = [side.tokens for side in sides]
        if min(sizes) < 1:
            sizes = [len(side.text) for side in sides]
        return max(sizes) / max(min(sizes), 1)

    def pair_id(self, level: str) -> str:
        ends = [side.step_id or side.rollout_id for side in (self.chosen, self.rejected)]
        return ids.pair_id(level, self.prefix_id, ends[0], ends[1], self.rule)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Candidates of some problems, a row each; all but numbers are codes.

    Attributes:
        rule: place in `RULE_ORDER`.
        rank, margin, length_ratio: as of a `Candidate`.
        texts: equal where the two texts and what they follow are, within a problem.
        chosen, rejected: codes of rollouts, of which no two problems share one.
    """

    problem: I64
    rule: I64
    rank: F64
    margin: F64
    length_ratio: F64
    texts: I64
    chosen: I64
    rejected: I64


def choose(candidates: Sequence[Candidate], most: int, level: str) -> list[Candidate]:
    """At most `most` candidates of one problem, as `chosen_rows` chooses them, in the order of choice."""
    rollouts = _Codes()
    texts = _Codes()
    columns = Candidates(
        np.zeros(len(candidates), np.int64),
        np.array([RULE_ORDER.index(c.rule) for c in candidates], np.int64),
        np.array([c.rank for c in candidates], np.float64),
        np.array([c.margin for c in candidates], np.float64),
        np.array([c.length_ratio for c in candidates], np.float64),
        np.array([texts.of((c.prefix, c.chosen.text, c.rejected.text)) for c in candidates], np.int64),
        np.array([rollouts.of(c.chosen.rollout_id) for c in candidates], np.int64),
        np.array([rollouts.of(c.rejected.rollout_id) for c in candidates], np.int64),
    )
    return [candidates[i] for i in chosen_rows(columns, most, lambda i: candidates[i].pair_id(level)).tolist()]


def chosen_rows(candidates: Candidates, most: int, pair_id: Callable[[int], str]) -> I64:
    """Rows of at most `most` candidates of each problem: of all problems the first choice, then the second, …

    One at a time, the smallest of: rule (`RULE_ORDER`), how often its two rollouts stand in pairs already, rank, wider
    margin first, length ratio nearer to one, pair id. Of candidates with the same two texts after the same prefix one
    is considered, the first by rule, rank and so on. The order is our default.

    Args:
        pair_id: of a row.
    """
    if not len(candidates.problem):
        return np.empty(0, np.int64)
    order = _in_order(candidates, pair_id)
    same_texts = candidates.problem * (candidates.texts.max() + 1) + candidates.texts
    order = order[np.sort(np.unique(same_texts[order], return_index=True)[1])]
    problem, chosen, rejected = (c[order] for c in (candidates.problem, candidates.chosen, candidates.rejected))
    standing = (candidates.rule[order] << 58) + np.arange(len(order))
    uses = np.zeros(max(chosen.max(), rejected.max()) + 1, np.int64)
    taken = np.zeros(len(order), bool)
    left = np.arange(len(order))
    picked: list[I64] = []
    while len(left) and len(picked) < most:
        load = uses[chosen[left]] + uses[rejected[left]]
        starts = np.flatnonzero(np.diff(problem[left], prepend=-1))
        best = np.minimum.reduceat(standing[left] + (load << 32), starts) & _PLACE
        taken[best] = True
        uses[chosen[best]] += 1
        uses[rejected[best]] += 1
        picked.append(order[best])
        left = left[~taken[left]]
    return np.concatenate(picked)


def _in_order(candidates: Candidates, pair_id: Callable[[int], str]) -> I64:
    """Rows by problem, rule, rank, wider margin, length ratio and pair id."""
    keys = [
        _rounded(candidates.length_ratio),
        -_rounded(candidates.margin),
        _rounded(candidates.rank),
        candidates.rule,
        candidates.problem,
    ]
    order: I64 = np.lexsort(keys)
    alike = np.all([key[order][1:] == key[order][:-1] for key in keys], axis=0)
    tied = order[np.append(alike, False) | np.append(False, alike)]
    if len(tied):
        by_id = np.zeros(len(order), np.int64)
        by_id[tied[np.argsort([pair_id(row) for row in tied.tolist()])]] = np.arange(len(tied))
        order = np.lexsort([by_id, *keys])
    return order


def _rounded(values: F64) -> F64:
    """To six decimals as Python rounds, which is to the nearest of the decimal number."""
    distinct, place = np.unique(values, return_inverse=True)
    rounded: F64 = np.array([round(value, 6) for value in distinct.tolist()])[place]
    return rounded


class _Codes:
    """A number for each different key."""

    def __init__(self) -> None:
        self._known: dict[Hashable, int] = {}

    def of(self, key: Hashable) -> int:
        return self._known.setdefault(key, len(self._known))
