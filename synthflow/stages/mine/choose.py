"""Which candidates become pairs: few from each rollout, the same ones always.

Invariant: the choice depends on the candidates of one problem only, and not on their order: ties end in the pair's id,
which is a hash of its content. No seed is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synthflow import ids

RULE_ORDER = (
    "verdict", "consensus", "drawn", "first", "hardest", "nearest_length", "nearest_text", "sibling", "continuation",
)  # fmt: skip
"""Rules by how much is known of their pairs; the first are chosen before the others."""


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


def choose(candidates: Sequence[Candidate], most: int, level: str) -> list[Candidate]:
    """At most `most` candidates of one problem.

    One at a time, the smallest of: rule (`RULE_ORDER`), how often its two rollouts stand in pairs already, rank, wider
    margin first, length ratio nearer to one, pair id. Of candidates with the same two texts after the same prefix one
    is considered. The order is our default.
    """
    unique: dict[tuple[str, str, str], Candidate] = {}
    ranked = sorted(
        candidates,
        key=lambda c: (round(c.rank, 6), -round(c.margin, 6), round(c.length_ratio, 6), c.pair_id(level)),
    )
    for candidate in sorted(ranked, key=lambda c: RULE_ORDER.index(c.rule)):
        unique.setdefault((candidate.prefix, candidate.chosen.text, candidate.rejected.text), candidate)
    left = list(unique.values())
    if len(left) <= 1:
        return left[:most]
    number = {rollout: i for i, rollout in enumerate({s.rollout_id for c in left for s in (c.chosen, c.rejected)})}
    chosen = np.array([number[c.chosen.rollout_id] for c in left])
    rejected = np.array([number[c.rejected.rollout_id] for c in left])
    rule = np.array([RULE_ORDER.index(c.rule) for c in left], np.int64)
    uses = np.zeros(len(number), np.int64)
    taken = np.zeros(len(left), bool)
    place = np.arange(len(left))
    picked: list[Candidate] = []
    while len(picked) < min(most, len(left)):
        load = uses[chosen] + uses[rejected]
        best = int(np.argmin(np.where(taken, np.iinfo(np.int64).max, (rule << 58) + (load << 32) + place)))
        taken[best] = True
        uses[chosen[best]] += 1
        uses[rejected[best]] += 1
        picked.append(left[best])
    return picked
