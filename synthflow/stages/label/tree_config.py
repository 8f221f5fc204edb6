"""The fields of `label.tree`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from synthflow.segment import Overflow
from synthflow.stages.label.config import LabelConfig


class TreeLabelConfig(LabelConfig):
    """Fields of `label.tree` beside those of every labeler."""

    policy: str = Field("default", description="the policy that wrote the rollouts, whose tokenizer reads their tokens")
    rule: Literal["mean", "policy", "hard", "rest_mcts"] = Field(
        "mean",
        description="mean: of all paths through a step (MCTS); policy: of those sampled at it or above; hard: 1 if one "
        "is correct; rest_mcts: from the steps to a correct end (ReST-MCTS*)",
    )
    overflow: Overflow = Field(
        "tail", description="how too many steps are merged: the rest into the last (tail) keeps prefixes alike; or even"
    )
