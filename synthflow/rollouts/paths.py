"""From rollouts to paths: a completion cut into steps, its tokens with it, and a continuation with what it continues.

Invariants: a path's tokens are those that were sampled, never tokenised again, and spell its text; what a continuation
continues is a beginning of its parent in tokens, and its text the text of these tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synthflow.contracts import Renderer
from synthflow.rollouts.cutting import Cut, StepCutter
from synthflow.rollouts.tree import Path

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


def cut_path(row: Mapping[str, Any], verdict: str, cutter: StepCutter, renderer: Renderer) -> CutPath | None:
    """A whole rollout (condition none or tree) as a path; None where its tokens do not spell its text.

    Args:
        row: with rollout_id, completion, token_ids, branch_token and, if there are any, logprobs.
    """
    cut = cutter.cut(row, renderer)
    if cut.tokens is None:
        return None
    ends, length = cut.token_ends, len(row["completion"])
    token_ends = tuple(owned.end for owned in cut.tokens)
    path = Path(
        row["rollout_id"],
        tuple(row["token_ids"]),
        token_ends,
        verdict,
        row["branch_token"] or 0,
        row.get("logprobs"),
    )
    return CutPath(cut, path, tuple(min(ends[end - 1], length) if end else 0 for end in token_ends))


def joined(first: Sequence[float] | None, length: int, then: Sequence[float] | None) -> list[float] | None:
    """Log probabilities of a prefix of `length` tokens and of what continues it; None where one of them is unknown."""
    return None if first is None or then is None else [*first[:length], *then]
