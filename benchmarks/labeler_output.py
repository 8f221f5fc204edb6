"""Labelers that draw from no pool: what their tables say of the first errors of the same rollouts.

Each at its one setting and cost, in the run that makes the pool: `tree` reads values off the group that is there,
`progress` is a regressor on it, `implicit` reads each rollout under two policies, `judge` asks the world's own policy,
which has never learned to judge. A labeler that names no first error is taken by its word where it gives chances, and
by its lowest advantage where it gives none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from step_case import Case, Said
from step_truth import auroc

if TYPE_CHECKING:
    import polars as pl

READINGS = {"implicit": 2}
"""How often a labeler reads a rollout, which is no sampling and cheaper by far."""


def stages(max_tokens: int) -> dict[str, dict[str, Any]]:
    """The stages of these labelers, by labeler. All see the rollouts that the pool's own label stage takes."""
    same = {"of": "verdicts", "rollouts_per_problem": 1}
    return {
        "tree": {"use": "label.tree", **same},
        "progress": {"use": "label.progress", "of": "verdicts"},  # it learns from all of a group
        "implicit": {"use": "label.implicit", **same, "reference": "other"},
        "judge": {"use": "label.judge", **same, "policy": "default", "max_tokens": max_tokens},
    }


def read_said(values: pl.LazyFrame) -> dict[tuple[str, str], Said]:
    """By (labeler, rollout), from rows of step_values."""
    import polars as pl

    wanted = values.filter(pl.col("labeler").is_in(list(stages(1)))).unique(["labeler", "step_id"])
    columns = ("labeler", "rollout_id", "index", "advantage", "is_first_error", "p_first_error", "tokens_spent")
    rows = wanted.select(columns).sort("index").collect()
    found = {}
    for (labeler, rollout), part in rows.group_by("labeler", "rollout_id"):
        told = "p_first_error" if part["p_first_error"].count() else "advantage"
        chances = part[told].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        named = part.filter(pl.col("is_first_error"))["index"]
        found[str(labeler), str(rollout)] = Said(
            int(named[0]) if len(named) else None,
            chances if told == "p_first_error" else -chances,
            int(part["tokens_spent"].sum()),
        )
    return found


def figures(cases: Sequence[Case]) -> dict[str, dict[str, Any]]:
    """By labeler: in how many rollouts it says anything, and of all of them accuracy, AUROC and tokens."""
    found: dict[str, dict[str, Any]] = {}
    for labeler in stages(1):
        told = [case.said.get(labeler) for case in cases]
        right = [said is not None and said.first() == case.truth for said, case in zip(told, cases, strict=True)]
        scores, positive = [np.zeros(0)], [np.zeros(0, np.bool_)]
        for said, case in zip(told, cases, strict=True):
            if said is None:
                continue
            first = np.arange(case.steps) == case.truth
            among = (first | (np.array(case.kinds) == "right")) & ~np.isnan(said.chances)
            scores.append(said.chances[among])
            positive.append(first[among])
        told_of = [said for said in told if said is not None]
        found[labeler] = {
            "says": float(np.mean([said is not None and said.first() is not None for said in told])),
            "accuracy": float(np.mean(right)),
            "auroc": _known(auroc(np.concatenate(scores), np.concatenate(positive))),
            "tokens": float(np.mean([said.tokens for said in told_of])) if told_of else 0.0,
            "tokens_read": READINGS.get(labeler, 0) * float(np.mean([case.remaining[0] for case in cases])),
        }
    return found


def _known(number: float) -> float | None:
    return None if np.isnan(number) else number
