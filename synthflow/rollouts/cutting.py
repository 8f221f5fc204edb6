"""Cutting rollouts into steps, with the tokens of each.

Invariants: whoever agrees on `segmenter`, `max_steps` and `overflow` writes the same steps under the same ids; token
ranges are given where a rollout's tokens are known and spell its text, and a text is never tokenised anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synthflow.contracts import Renderer
from synthflow.segment import Overflow, Segmented, Span, segment, token_ranges


@dataclass(frozen=True, slots=True)
class Cut:
    """A rollout cut into steps. `tokens` is None where nobody knows which tokens belong to which step.

    `token_ends[i]` is where token i ends in the completion, in code points; empty where `tokens` is None.
    """

    row: Mapping[str, Any]
    label: str
    spans: Sequence[Span]
    tokens: Sequence[Span] | None
    token_ends: Sequence[int] = ()

    @property
    def logprobs(self) -> list[Sequence[float | None]] | None:
        """Of each step's tokens, under the policy that wrote them; None where the rollout does not have them all."""
        known: Sequence[float | None] | None = self.row["logprobs"]
        if known is None or not self.tokens or len(known) != self.tokens[-1].end:
            return None
        return [known[span.start : span.end] for span in self.tokens]

    def texts(self) -> list[str]:
        """The steps; joined they are the completion."""
        return [self.row["completion"][start:end] for start, end in self.spans]


@dataclass(frozen=True, slots=True)
class StepCutter:
    """How rollouts are cut: where a step ends, how many there are at most, and how too many are merged."""

    segmenter: str
    max_steps: int
    overflow: Overflow

    def cut(self, row: Mapping[str, Any], renderer: Renderer | None, steps: Segmented | None = None) -> Cut:
        """Steps of a rollout: a row with completion and token_ids.

        Args:
            renderer: of the policy that wrote it; None where nobody has its tokenizer.
            steps: of a rollout that is cut already, whose steps the text alone does not tell.
        """
        text, tokens = row["completion"], row["token_ids"]
        steps = steps or segment(text, self.segmenter, self.max_steps, self.overflow)
        if renderer is None or tokens is None or not renderer.decode(tokens).startswith(text):
            return Cut(row, steps.label, steps.spans, None)
        ends = renderer.token_ends(tokens)
        return Cut(row, steps.label, steps.spans, token_ranges(steps.spans, ends), ends)
