"""The prefixes whose values are wanted, each once.

Invariants: a prefix is the tokens as they were sampled, up to the end of a step, never tokenised again. Rollouts of
one prompt that begin with the same tokens share one `Prefix` and thereby its continuations; its parent is the rollout
with the smallest id. The last step of a rollout asks for a prefix only where the verdict is unknown: there the stop
token is cut off, and the policy may go on. Under a forced stop its tokens end every prefix, and the prompt's own value
is asked for as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from synthflow import ids
from synthflow.contracts import Renderer
from synthflow.rollouts.cutting import Cut, StepCutter
from synthflow.segment import Segmented, Span

TEMPLATE = "{prompt}{prefix}"
"""What stands for the prompt template in the sampling_id of continuations: the tokens as they were, then more. It is
one for all stages, so that what one of them samples after a prefix another finds in the journal."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """A prefix to continue. `branch_step` is None where a token straddles the step's end, so that prefix and steps
    differ by some characters; `text` is always that of the tokens. The last `forced` tokens are those of a forced
    stop, which the parent does not have."""

    prefix_id: str
    parent: Mapping[str, Any]
    tokens: tuple[int, ...]
    text: str
    branch_step: int | None
    forced: int = 0

    @property
    def branch_token(self) -> int:
        """Tokens of the parent."""
        return len(self.tokens) - self.forced

    @property
    def prompt_hash(self) -> str:
        return ids.problem_id(self.parent["prompt"])

    @property
    def order(self) -> tuple[Any, ...]:
        """Sorts prefixes so that one comes right after those it extends: their cached keys are still there."""
        return self.parent["problem_id"], self.parent["round"], self.prompt_hash, self.tokens


PrefixKey = tuple[str, int, str]
"""problem_id, round, prefix_id."""


def prefix_id(rollout: Mapping[str, Any], tokens: Sequence[int]) -> str:
    """Id of a prefix of a rollout: H(problem, prefix tokens).

    The problem is named by H(messages) of the prompt as it was sampled, which is the problem_id unless a template
    changed the prompt: prefixes under two prompts are then two prefixes.
    """
    return ids.prefix_id(ids.problem_id(rollout["prompt"]), tokens)


@dataclass(frozen=True, slots=True)
class PrefixCut(Cut):
    """A rollout cut into steps. `prefixes[k]` is the key of the prefix that ends with step k; None where none is
    sampled: the last step of a rollout with a verdict, or a prefix without tokens, which is the prompt. `prompt` is
    the key of the prompt under a forced stop, and None without one."""

    tokens: Sequence[Span]
    prefixes: Sequence[PrefixKey | None] = ()
    prompt: PrefixKey | None = None

    @property
    def keys(self) -> tuple[PrefixKey | None, ...]:
        """Of all prefixes, the prompt's first."""
        return self.prompt, *self.prefixes


@dataclass(slots=True)
class PrefixPlan:
    """Collects the prefixes of one partition; feed it rollouts in the order of their ids."""

    renderer: Renderer
    cutter: StepCutter
    forced: tuple[int, ...] = ()
    prefixes: dict[PrefixKey, Prefix] = field(default_factory=dict)
    cuts: Mapping[str, Segmented] = field(default_factory=dict)
    """Rollouts that are cut already, by id: those whose steps the text alone does not tell."""

    def cut(self, row: Mapping[str, Any]) -> PrefixCut | None:
        """Cut a rollout and note its prefixes; None where its tokens do not spell its text."""
        cut = self.cutter.cut(row, self.renderer, self.cuts.get(row["rollout_id"]))
        if cut.tokens is None:
            return None
        tokens, ends = row["token_ids"], cut.token_ends
        keys: list[PrefixKey | None] = []
        for k, (span, owned) in enumerate(zip(cut.spans, cut.tokens, strict=True)):
            is_last = k == len(cut.tokens) - 1
            if is_last and row["verdict"] != "unknown":
                keys.append(None)
                continue
            length = self._without_stop(tokens) if is_last else owned.end
            keys.append(self._note(row, tokens[:length], ends, k + 1, span.end))
        prompt = self._note(row, [], ends, 0, 0) if self.forced else None
        return PrefixCut(row, cut.label, cut.spans, cut.tokens, ends, keys, prompt)

    def _without_stop(self, tokens: Sequence[int]) -> int:
        length = len(tokens)
        while length and tokens[length - 1] in self.renderer.stop_token_ids:
            length -= 1
        return length

    def _note(
        self, row: Mapping[str, Any], tokens: Sequence[int], ends: Sequence[int], steps: int, steps_end: int
    ) -> PrefixKey | None:
        if not tokens and not self.forced:
            return None
        whole = (*tokens, *self.forced)
        prefix = prefix_id(row, whole)
        key = (row["problem_id"], row["round"], prefix)
        if key not in self.prefixes:
            end = ends[len(tokens) - 1] if tokens else 0
            branch_step = steps if end == steps_end else None
            text = self.renderer.decode(whole) if self.forced else row["completion"][:end]
            self.prefixes[key] = Prefix(prefix, row, whole, text, branch_step, len(self.forced))
        return key

    def in_order(self) -> list[tuple[PrefixKey, Prefix]]:
        return sorted(self.prefixes.items(), key=lambda item: item[1].order)
