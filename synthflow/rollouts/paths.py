"""From rollouts to paths: a completion cut into steps, its tokens with it, and a continuation with what it continues.

Invariants: a path's tokens are those that were sampled, never tokenised again, and spell its text; what a continuation
continues is a beginning of its parent in tokens, and its text the text of these tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synthflow.contracts import Renderer
from synthflow.rollouts.prefixes import Cut
from synthflow.rollouts.tree import Path
from synthflow.segment import Overflow, segment, token_ranges

WHOLE = "{prompt}{prefix}{completion}"
"""What stands for the prompt template in the sampling_id of whole paths: the tokens as they were sampled."""


@dataclass(frozen=True, slots=True)
class CutPath:
    """A whole rollout, cut, as a path of a tree.

    `text_ends[k]` is where the text of the tokens of steps 0 to k ends, in code points: elsewhere than the step where a
    token straddles the two.
    """

    cut: Cut
    path: Path
    text_ends: tuple[int, ...]

    def prefix_text(self, depth: int) -> str:
        """Text of the tokens of the first `depth` steps."""
        return str(self.cut.row["completion"])[: self.text_ends[depth - 1] if depth else 0]

    def is_aligned(self, depth: int) -> bool:
        """Whether the tokens of the first `depth` steps end where the steps end."""
        return depth == 0 or self.text_ends[depth - 1] == self.cut.spans[depth - 1].end


@dataclass(frozen=True, slots=True)
class Cutter:
    """Cuts whole rollouts."""

    renderer: Renderer
    segmenter: str
    max_steps: int
    overflow: Overflow

    def cut(self, row: Mapping[str, Any], verdict: str) -> CutPath | None:
        """A whole rollout (condition none or tree) as a path; None where its tokens do not spell its text.

        Args:
            row: with rollout_id, completion, token_ids, branch_token and, if there are any, logprobs.
        """
        text, tokens = row["completion"], tuple(row["token_ids"])
        if not self.renderer.decode(tokens).startswith(text):
            return None
        ends = self.renderer.token_ends(tokens)
        steps = segment(text, self.segmenter, self.max_steps, self.overflow)
        ranges = token_ranges(steps.spans, ends)
        path = Path(
            row["rollout_id"],
            tokens,
            tuple(r.end for r in ranges),
            verdict,
            row["branch_token"] or 0,
            row.get("logprobs"),
        )
        text_ends = tuple(min(ends[r.end - 1], len(text)) if r.end else 0 for r in ranges)
        return CutPath(Cut(row, steps.label, steps.spans, ranges, ()), path, text_ends)


def joined(first: Sequence[float] | None, length: int, then: Sequence[float] | None) -> list[float] | None:
    """Log probabilities of a prefix of `length` tokens and of what continues it; None where one of them is unknown."""
    return None if first is None or then is None else [*first[:length], *then]
