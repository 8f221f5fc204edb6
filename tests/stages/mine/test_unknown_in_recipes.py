"""A policy that stops answering: invisible to the objectives of oreal and psr-nsr, and penalised on request."""

from __future__ import annotations

from typing import Any

import pytest

from support.toy_world import ToyServices, inputs_of, problem_row, rollout_row, rows, score_row
from synthflow.spec.load import load_pipeline

NEGATIVE = {
    "oreal": {"advantages": {"advantage.oreal"}, "drawn": {"mine.oreal"}},
    "psr-nsr": {
        "advantages": {"advantage.nsr", "advantage.weighted", "advantage.rloo"},
        "negatives": {"mine.nsr"},
        "weighted": {"mine.weighted"},
    },
}
"""Stages of a recipe, and which of their scorers penalise what is wrong."""


def said_of(recipe: str, stage: str, verdicts: list[str], *overrides: str) -> dict[str, list[float | None]]:
    """What a stage of a recipe says of each rollout of one group, by scorer."""
    pipeline = load_pipeline(recipe, overrides)
    [node] = [node for node in pipeline.nodes if node.name == stage]
    problem = problem_row("a")
    made = [rollout_row(problem, i, f"text {i}") for i in range(len(verdicts))]
    scores = [score_row(rollout, verdict) for rollout, verdict in zip(made, verdicts, strict=True)]
    tables = node.stage.run(inputs_of([problem], made, scores), ToyServices())
    found: dict[str, dict[str, Any]] = {}
    for row in rows(tables, "scores"):
        found.setdefault(row["scorer"], {})[row["target_id"]] = row["value"]
    return {scorer: [of[r["rollout_id"]] for r in made] for scorer, of in found.items()}


@pytest.mark.parametrize(("recipe", "stage"), [(r, s) for r, stages in NEGATIVE.items() for s in stages])
def test_who_does_not_answer_is_penalised_where_the_recipe_is_told_to(recipe: str, stage: str) -> None:
    verdicts = ["correct", "unknown"]
    ignored = said_of(recipe, stage, verdicts)
    penalised = said_of(recipe, stage, verdicts, f"stages.{stage}.unknown=wrong")
    for scorer in NEGATIVE[recipe][stage]:
        assert ignored[scorer][1] is None
        value = penalised[scorer][1]
        assert value is not None and value < 0
    for name in ("oreal", "psr-nsr"):
        text = " ".join(load_pipeline(name).spec_text.replace("#", " ").split())
        assert "stages.advantages.unknown=wrong" in text, "the recipe says how"


@pytest.mark.parametrize("recipe", NEGATIVE)
def test_a_group_in_which_nobody_answers_has_nothing_to_learn_from_unless_asked(recipe: str) -> None:
    verdicts = ["unknown"] * 3
    assert set(said_of(recipe, "advantages", verdicts).get("advantage.nsr", [None])) == {None}
    if recipe == "psr-nsr":
        assert said_of(recipe, "advantages", verdicts, "stages.advantages.unknown=wrong")["advantage.nsr"] == [-1.0] * 3
