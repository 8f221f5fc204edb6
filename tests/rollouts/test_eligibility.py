"""How a rollout ended, and whether it stands for itself, means the same to every stage that judges."""

from __future__ import annotations

from typing import get_args

import polars as pl
import pytest

from synthflow.contracts import Judgement
from synthflow.contracts.backend import FinishReason
from synthflow.rollouts.eligibility import split, verdict_from_finish_reason

UNKNOWN, WRONG = Judgement.unknown("truncated"), Judgement("wrong", 0.0, "truncated")


@pytest.mark.parametrize(("truncated", "cut"), [("unknown", UNKNOWN), ("wrong", WRONG), ("judge", None)])
def test_every_ending(truncated: str, cut: Judgement | None) -> None:
    said = {reason: verdict_from_finish_reason(reason, truncated) for reason in get_args(FinishReason)}
    assert said == {
        "stop": None,
        "length": cut,
        "refused": Judgement.unknown("refused"),
        "failed": Judgement.unknown("failed"),
        "poison": Judgement.unknown("poison"),
    }
    assert verdict_from_finish_reason(None, truncated) is None


def test_continuations_are_rejects_of_the_stage() -> None:
    rollouts = pl.DataFrame(
        {"rollout_id": ["r_1", "r_2"], "problem_id": ["p_1", "p_1"], "condition": ["none", "prefix"]}
    )
    kept, rejects = split(rollouts, "e_1")
    assert kept["rollout_id"].to_list() == ["r_1"]
    [row] = rejects.to_pylist()
    assert (row["target_id"], row["reason"], row["stage_id"]) == ("r_2", "continuation", "e_1")
