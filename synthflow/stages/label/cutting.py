"""Cutting rollouts into steps for labelers that continue nothing.

Invariants: a rollout is cut as `PrefixPlan` cuts it, so that labelers which agree on `segmenter`, `max_steps` and
`overflow` write the same steps under the same ids; token ranges are given where the tokens of a rollout are known and
spell its text under the tokenizer of the policy that wrote it, and are null otherwise: a text is never tokenised anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synthflow.contracts import Inputs, Renderer, Services
from synthflow.rollouts.prefixes import Cut
from synthflow.rollouts.step_rows import step_rows
from synthflow.segment import Span, segment, token_ranges
from synthflow.stages.label.config import LabelConfig


@dataclass(frozen=True, slots=True)
class Cutter:
    """Cuts rollouts as a labeler's configuration says. `renderers` are those of the policies that wrote them, by id."""

    config: LabelConfig
    renderers: Mapping[str, Renderer]

    @staticmethod
    def of(config: LabelConfig, inputs: Inputs, services: Services) -> Cutter:
        """With the tokenizers of the policies that sampled rollouts above."""
        names = {str(a.config.get("policy") or "default") for a in inputs.ancestors if a.has("writes_rollouts")}
        found = {services.identity(name).policy_id: services.renderer(name) for name in sorted(names)}
        return Cutter(config, {policy_id: renderer for policy_id, renderer in found.items() if renderer is not None})

    def cut(self, row: Mapping[str, Any]) -> Cut:
        """Steps of a rollout (columns of `selection.COLUMNS`); `tokens` is empty where they are not known."""
        config = self.config
        steps = segment(row["completion"], config.segmenter, config.max_steps, config.overflow)
        return Cut(row, steps.label, steps.spans, self._tokens(row, steps.spans), [None] * len(steps.spans))

    def _tokens(self, row: Mapping[str, Any], spans: Sequence[Span]) -> list[Span]:
        tokens, renderer = row["token_ids"], self.renderers.get(row["policy_id"])
        if renderer is None or tokens is None or not renderer.decode(tokens).startswith(row["completion"]):
            return []
        return token_ranges(spans, renderer.token_ends(tokens))


def texts(cut: Cut) -> list[str]:
    """The steps; joined they are the completion."""
    return [cut.row["completion"][start:end] for start, end in cut.spans]


def rows_of_steps(cut: Cut, stage_id: str) -> Iterable[dict[str, Any]]:
    """The steps of one rollout; token ranges are null where they are not known."""
    if cut.tokens:
        yield from step_rows(cut, stage_id)
        return
    nowhere = [Span(0, 0)] * len(cut.spans)
    for row in step_rows(Cut(cut.row, cut.label, cut.spans, nowhere, cut.prefixes), stage_id):
        yield row | {"token_start": None, "token_end": None}
