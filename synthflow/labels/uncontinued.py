"""Cutting rollouts that nobody continues: labelers that read a text, and sample nothing.

Invariant: the steps are those that `label.monte_carlo` cuts from the same text with the same fields, with the same ids.
Their token ranges are known where the policy named in the spec wrote the rollout and its tokens spell the text; a
rollout without them is labelled all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from synthflow.contracts import Services
from synthflow.labels.config import LabelConfig
from synthflow.labels.prefixes import Cut
from synthflow.labels.rows import step_rows
from synthflow.segment import Span, segment, token_ranges

if TYPE_CHECKING:
    from synthflow.backends.renderer import Renderer


class UncontinuedConfig(LabelConfig):
    """The fields of every labeler, and whose tokens the steps have."""

    policy: str | None = Field(
        "default", description="the policy whose tokenizer tells the tokens of a step; null: nobody tells them"
    )


@dataclass(frozen=True, slots=True)
class Cutter:
    """Cuts rollouts as a labeler's configuration says."""

    config: UncontinuedConfig
    renderer: Renderer | None
    policy_id: str | None

    @staticmethod
    def of(config: UncontinuedConfig, services: Services) -> Cutter:
        if config.policy is None:
            return Cutter(config, None, None)
        return Cutter(config, services.renderer(config.policy), services.identity(config.policy).policy_id)

    def cut(self, row: Mapping[str, Any]) -> Cut:
        """Steps of a rollout (columns of `selection.select`); without tokens where these are not known."""
        config, text = self.config, row["completion"]
        steps = segment(text, config.segmenter, config.max_steps, config.overflow)
        return Cut(row, steps.label, steps.spans, self._tokens(row, steps.spans), [None] * len(steps.spans))

    def _tokens(self, row: Mapping[str, Any], spans: tuple[Span, ...]) -> list[Span]:
        tokens = row["token_ids"]
        if self.renderer is None or tokens is None or row["policy_id"] != self.policy_id:
            return []
        if not self.renderer.decode(tokens).startswith(row["completion"]):
            return []
        return token_ranges(spans, self.renderer.token_ends(tokens))


def rows_of_steps(cut: Cut, stage_id: str) -> Iterable[dict[str, Any]]:
    """The steps of one rollout; token ranges are null where they are not known."""
    if cut.tokens:
        yield from step_rows(cut, stage_id)
        return
    nowhere = [Span(0, 0)] * len(cut.spans)
    for row in step_rows(Cut(cut.row, cut.label, cut.spans, nowhere, cut.prefixes), stage_id):
        yield row | {"token_start": None, "token_end": None}
