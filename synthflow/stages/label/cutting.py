"""Cutting rollouts into steps for labelers that continue nothing, whichever policies wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from synthflow.contracts import Inputs, Renderer, Services
from synthflow.rollouts.cutting import Cut, StepCutter
from synthflow.stages.label.config import LabelConfig


@dataclass(frozen=True, slots=True)
class PolicyCutter:
    """Cuts rollouts with the tokenizers of the policies that wrote them, by policy_id."""

    cutter: StepCutter
    renderers: Mapping[str, Renderer]

    @staticmethod
    def of(config: LabelConfig, inputs: Inputs, services: Services) -> PolicyCutter:
        """With the tokenizers of the policies that sampled rollouts above."""
        names = {str(a.config.get("policy") or "default") for a in inputs.ancestors if a.has("writes_rollouts")}
        found = {services.identity(name).policy_id: services.renderer(name) for name in sorted(names)}
        renderers = {policy_id: renderer for policy_id, renderer in found.items() if renderer is not None}
        return PolicyCutter(config.cutter(), renderers)

    def cut(self, row: Mapping[str, Any]) -> Cut:
        """Steps of a rollout (columns of `selection.COLUMNS`)."""
        return self.cutter.cut(row, self.renderers.get(row["policy_id"]))
