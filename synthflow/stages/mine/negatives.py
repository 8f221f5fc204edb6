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

from collections.abc import Mapping, Sequence
from typing import Any, Literal

Negatives = Literal["even", "drawn", "first", "hardest", "nearest_length", "nearest_text"]
Row = Mapping[str, Any]

GRAM = 3


def ranked(right: Sequence[Row], wrong: Sequence[Row], how: Negatives, limit: int) -> list[tuple[Row, Row, float]]:
    """(right, wrong, rank) of one group's candidates.

    Args:
        right, wrong: rows in the order of their ids, with index, rollout_id, completion, n_tokens and, for `hardest`,
            `number`, which may be null.
        limit: most rollouts of each side: what is compared grows with the square of them.
    """
    if how == "drawn":
        return [(right[0], wrong[0], 0.0)] if right and wrong else []
    if how == "first":
        return [(_first(right), _first(wrong), 0.0)] if right and wrong else []
    if how == "hardest":
        scored = [row for row in wrong if row["number"] is not None]
        wrong = sorted(scored, key=lambda r: (-r["number"], r["rollout_id"]))
    right, wrong = right[:limit], wrong[:limit]
    if how == "nearest_text":
        grams = {row["rollout_id"]: _grams(row["completion"]) for row in (*right, *wrong)}
        return [(a, b, 1 - _jaccard(grams[a["rollout_id"]], grams[b["rollout_id"]])) for a in right for b in wrong]
    if how == "nearest_length":
        untold = any(row["n_tokens"] is None for row in (*right, *wrong))  # then characters tell
        sizes = {r["rollout_id"]: len(r["completion"]) if untold else r["n_tokens"] for r in (*right, *wrong)}
        return [(a, b, float(abs(sizes[a["rollout_id"]] - sizes[b["rollout_id"]]))) for a in right for b in wrong]
    return [(a, b, -float(b["number"]) if how == "hardest" else 0.0) for a in right for b in wrong]


def _first(rows: Sequence[Row]) -> Row:
    return min(rows, key=lambda r: (r["index"], r["rollout_id"]))


def _grams(text: str) -> frozenset[str]:
    return frozenset(text[i : i + GRAM] for i in range(max(len(text) - GRAM + 1, 1)))


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)
