"""What the engines of this process share: which requests a model can hold, and where a stop text cuts.

Invariant: a request that a model cannot hold is refused at once with the reason, and never reaches the engine;
one that fits is given as many tokens as its context leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from synthflow.backends.renderer import PolicyRenderer
from synthflow.contracts import SampleRequest, SampleResult


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request as an engine takes it: `limit` tokens at most, what the context leaves; 0 of one that is scored."""

    request: SampleRequest
    prompt: tuple[int, ...]
    limit: int


def refusal(request: SampleRequest, reason: str, prompt_tokens: int = 0) -> SampleResult:
    """A refused request: recorded, never retried."""
    return SampleResult(request.rollout_id, "", "refused", prompt_tokens=prompt_tokens, reason=reason)


def admit(request: SampleRequest, renderer: PolicyRenderer, context: int, vocabulary: int) -> Admitted | SampleResult:
    """Check a request against the model's context (tokens) and vocabulary (rows of its embedding)."""
    prompt = request.prompt_token_ids
    if prompt is None:
        prompt = tuple(renderer.render(request.messages))
    if not prompt:
        return refusal(request, "empty prompt: a model needs one token to begin with")
    if request.score is not None:
        return _admit_scoring(request, prompt, request.score, context, vocabulary)
    if len(prompt) >= context:
        return refusal(request, f"prompt too long: {len(prompt)} tokens, the model holds {context}", len(prompt))
    if min(prompt) < 0 or max(prompt) >= vocabulary:
        strange = next(t for t in prompt if not 0 <= t < vocabulary)
        return refusal(request, f"prompt holds token {strange}, the model knows {vocabulary} tokens", len(prompt))
    return Admitted(request, prompt, min(request.params.max_tokens, context - len(prompt)))


def _admit_scoring(
    request: SampleRequest, prompt: tuple[int, ...], score: tuple[int, ...], context: int, vocabulary: int
) -> Admitted | SampleResult:
    whole = (*prompt, *score)
    if not score:
        return refusal(request, "nothing to score: no tokens", len(prompt))
    if len(whole) > context:
        return refusal(request, f"too long to score: {len(whole)} tokens, the model holds {context}", len(whole))
    if min(whole) < 0 or max(whole) >= vocabulary:
        strange = next(t for t in whole if not 0 <= t < vocabulary)
        return refusal(request, f"token {strange} is to be scored, the model knows {vocabulary} tokens", len(whole))
    return Admitted(request, prompt, 0)


def scored(
    request: SampleRequest,
    logprobs: Sequence[float],
    entropies: Sequence[float] | None,
    elapsed_s: float,
    *,
    exact: bool = True,
    prompt_tokens: int,
) -> SampleResult:
    """What a policy said of the tokens of `request.score`, one number a token."""
    return SampleResult(
        rollout_id=request.rollout_id,
        text="",
        finish_reason="stop",
        logprobs=tuple(logprobs),
        prompt_tokens=prompt_tokens,
        elapsed_s=elapsed_s,
        entropies=None if entropies is None else tuple(entropies),
        entropies_exact=None if entropies is None else exact,
    )


def done(result: SampleResult) -> Future[SampleResult]:
    """A future that holds `result` already."""
    future: Future[SampleResult] = Future()
    future.set_result(result)
    return future


def first_stop(text: str, stops: Sequence[str], start: int = 0) -> int | None:
    """Where the earliest of the stop texts begins in `text`, looking from `start`; None if none does."""
    found = [at for stop in stops if stop and (at := text.find(stop, start)) >= 0]
    return min(found, default=None)


def cut_at_stop(renderer: PolicyRenderer, token_ids: Sequence[int], stops: Sequence[str]) -> tuple[str, int, bool]:
    """Cut a completion where a stop text begins.

    Returns:
        The text before the stop text; how many tokens to keep; and whether there was a stop text. Kept are the
        tokens that begin before the cut, so `decode` of them is the text, but where a token straddles the cut:
        then it holds a few characters more. Without a stop text, all.
    """
    text = renderer.decode(token_ids)
    at = first_stop(text, stops)
    if at is None:
        return text, len(token_ids), False
    starts = [0, *renderer.token_ends(token_ids)[:-1]]
    return text[:at], sum(start < at for start in starts), True
