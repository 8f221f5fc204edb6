"""How likely a policy finds given tokens: what stages ask of `Services.sample` when nothing is to be sampled.

Invariants: a score is known by what was read (its id is H(policy, entropies wanted, prompt tokens, scored tokens)),
so the same reading is paid for once, in whichever stage, and a resume finds it in the journal. What cannot be used,
because it was refused, is incomplete or is not finite, is a `Scored` with its reason and no numbers: never a crash,
never a zero. Numbers are float64 here; the journal keeps them as float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthflow import ids
from synthflow.contracts import UNANSWERED, SampleRequest, SampleResult, SamplingParams, Services
from synthflow.rollouts.requests import ask

Floats = NDArray[np.float64]

_PARAMS = SamplingParams(max_tokens=1)

ENTROPY_TOP = 20
"""Likeliest tokens that an entropy is told from where the backend sees no more (our default): what vLLM tells."""


@dataclass(frozen=True, slots=True)
class ToScore:
    """Tokens to read after a prompt's, and the problem they belong to."""

    problem_id: str
    prompt: tuple[int, ...]
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Scored:
    """Nats, one number a token; or no numbers, and why.

    `reason` is score_refused (the backend or server declined), poison (it kills the engine), no_scores (other than one
    number a token came) or scores_not_finite; `words` are the backend's. `entropies` is None where none were asked for
    or the backend tells none, and `exact` is false where they are lower bounds.
    """

    logprobs: Floats | None
    entropies: Floats | None = None
    exact: bool = True
    reason: str | None = None
    words: str | None = None


def score(asks: Sequence[ToScore], policy: str, services: Services, entropy_top: int = 0) -> list[Scored]:
    """Score `asks` under a policy, in order; equal ones are read once.

    Args:
        policy: its name in the spec.
        entropy_top: 0 for log probabilities alone; else entropies too, from as many of the likeliest tokens where
            the backend does not see the whole distribution.

    Raises:
        InfrastructureError: if some scores are still owed.
        InvariantBroken: if the engine answers another number of requests.
    """
    policy_id = services.identity(policy).policy_id
    keys = [ids.score_id(policy_id, one.prompt, one.tokens, entropy_top) for one in asks]
    wanted = {
        key: SampleRequest(key, one.problem_id, (), one.prompt, _PARAMS, 0, score=one.tokens, entropy_top=entropy_top)
        for key, one in zip(keys, asks, strict=True)
    }
    results = ask(list(wanted.values()), policy, services)
    found = {
        key: _scored(result, len(request.score or ()))
        for (key, request), result in zip(wanted.items(), results, strict=True)
    }
    return [found[key] for key in keys]


def same_vocabulary(one: str, other: str, services: Services) -> bool:
    """Whether two policies of the spec read every token id alike.

    Told by the hash of their tokenizers; or, where that differs (in a setting, or a stop token), by their vocabularies.
    """
    if services.identity(one).tokenizer_hash == services.identity(other).tokenizer_hash:
        return True
    first, second = services.renderer(one), services.renderer(other)
    return first is not None and second is not None and first.vocabulary == second.vocabulary


def _scored(result: SampleResult, n: int) -> Scored:
    if result.finish_reason in UNANSWERED:
        reason = "poison" if result.finish_reason == "poison" else f"score_{result.finish_reason}"
        return Scored(None, reason=reason, words=result.reason)
    if result.logprobs is None or len(result.logprobs) != n:
        return Scored(None, reason="no_scores", words=f"{len(result.logprobs or ())} log probabilities of {n} tokens")
    logprobs = np.asarray(result.logprobs, np.float64)
    entropies = None
    if result.entropies is not None and len(result.entropies) == n:
        entropies = np.asarray(result.entropies, np.float64)
    odd = ~np.isfinite(logprobs) if entropies is None else ~(np.isfinite(logprobs) & np.isfinite(entropies))
    if odd.any():
        first = int(np.flatnonzero(odd)[0])
        words = f"token {first} has log probability {logprobs[first]}"
        words += "" if entropies is None else f" and entropy {entropies[first]}"
        return Scored(None, reason="scores_not_finite", words=f"{words}; {int(odd.sum())} of {n} are such")
    return Scored(logprobs, entropies, bool(result.entropies_exact) if entropies is not None else True)
