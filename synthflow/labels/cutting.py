"""Cutting rollouts into steps for labelers that continue nothing.

Invariants: a rollout is cut as `PrefixPlan` cuts it, so that labelers which agree on `segmenter`, `max_steps` and
`overflow` write the same steps under the same ids; token ranges are given where the tokens of a rollout are known and
spell its text under the tokenizer of the policy that wrote it, and are null otherwise: a text is never tokenised anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synthflow.contracts import Inputs, Services
from synthflow.labels.config import LabelConfig
from synthflow.labels.prefixes import Cut
from synthflow.labels.rows import step_rows
from synthflow.segment import Span, segment, token_ranges

if TYPE_CHECKING:
    from synthflow.backends.renderer import Renderer

_NO_TOKENS = {"token_start": None, "token_end": None}


@dataclass(frozen=True, slots=True)
class TextCut:
    """A rollout cut into steps; `has_tokens` says whether the token ranges of `cut` are known."""

    cut: Cut
    has_tokens: bool

    @property
    def texts(self) -> list[str]:
        """The steps; joined they are the completion."""
        return [self.cut.row["completion"][start:end] for start, end in self.cut.spans]

    def step_rows(self, stage_id: str) -> Iterable[dict[str, Any]]:
        rows = step_rows(self.cut, stage_id)
        return rows if self.has_tokens else (row | _NO_TOKENS for row in rows)


def cut_rollouts(
    rows: Iterable[Mapping[str, Any]], config: LabelConfig, inputs: Inputs, services: Services
) -> list[TextCut]:
    """Cut rollouts, in order.

    Args:
        rows: rollouts with the columns of `selection.COLUMNS`.
    """
    renderers = writers(inputs, services)
    return [_cut(row, config, renderers.get(row["policy_id"])) for row in rows]


def writers(inputs: Inputs, services: Services) -> dict[str, Renderer]:
    """Tokenizers by policy_id, of the policies that sampled rollouts above."""
    names = {str(a.config.get("policy") or "default") for a in inputs.ancestors if a.use == "sample"}
    found = {services.identity(name).policy_id: services.renderer(name) for name in sorted(names)}
    return {policy_id: renderer for policy_id, renderer in found.items() if renderer is not None}


def _cut(row: Mapping[str, Any], config: LabelConfig, renderer: Renderer | None) -> TextCut:
    steps = segment(row["completion"], config.segmenter, config.max_steps, config.overflow)
    ranges = None if renderer is None else _ranges(row, steps.spans, renderer)
    tokens = [Span(0, 0)] * len(steps.spans) if ranges is None else ranges
    return TextCut(Cut(row, steps.label, steps.spans, tokens, [None] * len(steps.spans)), ranges is not None)


def _ranges(row: Mapping[str, Any], spans: Sequence[Span], renderer: Renderer) -> list[Span] | None:
    tokens = row["token_ids"]
    if tokens is None or not renderer.decode(tokens).startswith(row["completion"]):
        return None
    return token_ranges(spans, renderer.token_ends(tokens))
