"""`verify.combine`: verdicts that other verify stages gave about the same rollouts, made one by a rule.

Invariant: nothing is asked anew, so a stage that samples (a judge, a vote) takes part like any verifier; each verdict
that is read stays in the row of the stage that gave it. What one of them did not judge is unknown to the rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Self

import polars as pl
import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from synthflow import ids
from synthflow.contracts import Coverage, Inputs, Judgement, Services, Stage, StageConfig, StageInfo
from synthflow.errors import suggest
from synthflow.rollouts.eligibility import split
from synthflow.rollouts.questions import note
from synthflow.rollouts.views import verdicts, verify_stages
from synthflow.schema import SCORES
from synthflow.verifiers import rules


class CombineConfig(StageConfig):
    """Configuration of `verify.combine`."""

    rule: Literal["cascade", "consensus", "veto", "blend"] = Field(
        description="cascade: the first known; consensus: what all say; veto: the first, unless another says wrong; "
        "blend: the weighted mean of their values"
    )
    verdicts: tuple[str, ...] = Field(min_length=2, description="verify stages above, in the order that the rule reads")
    weights: tuple[float, ...] | None = Field(None, description="blend: one positive weight a stage, in their order")
    correct_from: float = Field(0.5, gt=0, le=1, description="blend: correct where the mean is this or more")
    wrong_below: float = Field(0.5, gt=0, le=1, description="blend: wrong where it is below this; unknown in between")
    unknown_blend: Literal["unknown", "skip"] = Field(
        "unknown", description="blend: what a verdict that is unknown does: makes the blend unknown, or is left out"
    )
    unknown_veto: Literal["unknown", "ignore"] = Field(
        "unknown",
        description="veto: what a veto that is unknown does to a correct verdict: makes it unknown, or nothing",
    )

    @field_validator("verdicts")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("each stage once")
        return value

    @model_validator(mode="after")
    def _fits_the_rule(self) -> Self:
        if (self.weights is not None) != (self.rule == "blend"):
            raise ValueError("weights belong to rule: blend, which needs them")
        if self.weights is not None:
            if len(self.weights) != len(self.verdicts):
                raise ValueError(f"weights has {len(self.weights)} numbers for {len(self.verdicts)} verdicts")
            if not all(0 < weight < float("inf") for weight in self.weights):
                raise ValueError("weights must be positive numbers")
        if self.wrong_below > self.correct_from:
            raise ValueError(f"wrong_below ({self.wrong_below:g}) is above correct_from ({self.correct_from:g})")
        return self


class Combine(Stage):
    """Make one verdict of those that the verify stages above gave."""

    use = "verify.combine"
    version = "1"
    gives_verdicts = True
    combines_verdicts = True
    Config = CombineConfig
    reads = ("rollouts", "scores")
    writes = ("scores",)
    covers = Coverage("rollouts", "rollout_id", {"scores": "target_id"})
    summary = "One verdict of those of several verify stages: cascade, consensus, veto or blend."

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        known = verify_stages(ancestors)
        for i, name in enumerate(self.config.verdicts):
            if name not in known:
                hint = suggest(name, known) or f"known: {', '.join(known) or 'none'}; name what is to be combined in of"
                yield f"verdicts.{i}", f"{name!r} is not a verify stage above this one", hint

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """One score of kind verdict a rollout; rejects for continuations, which are judged by who samples them."""
        columns = ["rollout_id", "problem_id", "condition"]
        nearest = inputs.frame("rollouts", columns, nearest=True).sort("problem_id", "rollout_id")
        rollouts, rejects = split(nearest, services.stage_id)
        said = {name: _by_rollout(inputs, name) for name in self.config.verdicts}
        common = {
            "target_kind": "rollout",
            "kind": "verdict",
            "scorer": "combine",
            "scorer_version": self.version,
            "config_hash": ids.content_id("c", self.config.model_dump(mode="json", exclude={"use", "of"})),
            "stage_id": services.stage_id,
        }
        scores, counts = [], dict.fromkeys(("correct", "wrong", "unknown"), 0)
        for row in rollouts.iter_rows(named=True):
            rollout, problem = row["rollout_id"], row["problem_id"]
            missing = Judgement.unknown("no_verdict")
            judgement = self._decide([(name, found.get(rollout, missing)) for name, found in said.items()])
            counts[judgement.verdict] += 1
            scores.append(
                {
                    "problem_id": problem,
                    "target_id": rollout,
                    "verdict": judgement.verdict,
                    "value": judgement.value,
                    "reason": note(judgement.reason),
                    "detail": note(judgement.detail),
                }
                | common
            )
        services.count(rows=len(scores), **counts)
        return {"scores": SCORES.from_rows(scores), "rejects": rejects}

    def _decide(self, said: Sequence[rules.Named]) -> Judgement:
        config = self.config
        if config.rule == "cascade":
            return rules.cascade(said)
        if config.rule == "consensus":
            return rules.consensus(said)
        if config.rule == "veto":
            return rules.veto(said[0], said[1:], config.unknown_veto)
        return rules.blend(said, config.weights, config.correct_from, config.wrong_below, config.unknown_blend)


def _by_rollout(inputs: Inputs, stage: str) -> dict[str, Judgement]:
    rows: list[dict[str, Any]] = verdicts(inputs, stage).select(pl.exclude("problem_id")).to_dicts()
    return {r["rollout_id"]: Judgement(r["verdict"], r["value"], r["reason"], r["detail"]) for r in rows}
