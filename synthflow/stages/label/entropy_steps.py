"""Steps of a labeler that begin at tokens of high entropy, from the scoring pass.

Invariant: every rollout handed in is cut, or has a reason why not. The entropies are journaled as scores are, so
several labelers that cut alike under one policy pay for them once, and cut the same steps with the same ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from synthflow.contracts import Renderer, Services
from synthflow.rollouts.prefixes import PrefixPlan
from synthflow.rollouts.scoring import ENTROPY_TOP, ToScore, score
from synthflow.segment import Segmented
from synthflow.segment.entropy import segment_by_entropy
from synthflow.stages.label.config import LabelConfig


class EntropySteps(BaseModel):
    """Where steps begin, and whose entropies say so."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: str | None = Field(None, description="the policy whose entropies count; null is the labeler's own policy")
    top: int = Field(8, ge=1, le=4096, description="most tokens at which a step begins, those of the highest entropies")
    above: float | None = Field(None, ge=0.0, description="only tokens of a higher entropy than this, in nats")
    entropy_top: int = Field(
        ENTROPY_TOP, ge=1, description="likeliest tokens that an entropy is told from, where the backend sees no more"
    )


class EntropyConfig(LabelConfig):
    """The fields of a labeler that can cut so."""

    entropy_steps: EntropySteps | None = Field(
        None, description="cut before tokens of high entropy, in place of segmenter, max_steps and overflow"
    )

    def cutters(self, policy: str) -> tuple[str, ...]:
        """The policy whose entropies cut, if any do, for a labeler whose own policy is `policy`."""
        return () if self.entropy_steps is None else (self.entropy_steps.by or policy,)


def note_cuts(
    plan: PrefixPlan, rows: Sequence[Mapping[str, Any]], config: EntropyConfig, policy: str, services: Services
) -> tuple[Sequence[Mapping[str, Any]], list[tuple[str, str, str]]]:
    """Tell `plan` how rollouts are cut, if entropies say so.

    Returns:
        The rollouts that it can cut; and (problem_id, rollout_id, reason) of the others.
    """
    if config.entropy_steps is None:
        return rows, []
    plan.cuts, failed = entropy_cuts(rows, config, policy, plan.renderer, services)
    return [row for row in rows if row["rollout_id"] in plan.cuts], failed


def entropy_cuts(
    rows: Sequence[Mapping[str, Any]], config: EntropyConfig, policy: str, renderer: Renderer, services: Services
) -> tuple[dict[str, Segmented], list[tuple[str, str, str]]]:
    """Rollouts cut by `config.entropy_steps`.

    Args:
        rows: rollouts with prompt_token_ids and token_ids, of `selection.COLUMNS`.
        policy: the labeler's own.

    Returns:
        Steps by rollout_id; and (problem_id, rollout_id, reason) of those without usable entropies: the reasons of
        `stages.scoring.Scored`, and no_entropies where the backend tells none.
    """
    settings = config.entropy_steps
    assert settings is not None
    [name] = config.cutters(policy)
    asks = [ToScore(r["problem_id"], tuple(r["prompt_token_ids"]), tuple(r["token_ids"])) for r in rows]
    cuts: dict[str, Segmented] = {}
    failed: list[tuple[str, str, str]] = []
    owner = services.identity(name).policy_id
    for row, scored in zip(rows, score(asks, name, services, settings.entropy_top), strict=True):
        if scored.entropies is None:
            failed.append((row["problem_id"], row["rollout_id"], scored.reason or "no_entropies"))
            continue
        whose = owner if scored.exact else f"{owner}~{settings.entropy_top}"
        ends = renderer.token_ends(row["token_ids"])
        cuts[row["rollout_id"]] = segment_by_entropy(
            row["completion"], ends, scored.entropies, whose, settings.top, settings.above
        )
    return cuts, failed
