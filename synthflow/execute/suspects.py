"""Finding the request that kills the engine, among those that were in flight when it died.

Invariant: a request is called poison only after the engine died twice while nothing else was in flight, each time right
after it had answered another request; whatever else was in flight at a death is sampled again. A death by another cause
(a kill, a machine) therefore costs a second try and no more.

A request that was in flight at one death is sampled again among the others. Those that were in flight at most deaths,
two or more, are suspects: half of them is sampled with nothing else in flight, so each death halves their number
(bisection). The method and its numbers are our defaults.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from synthflow.contracts import SampleRequest, SampleResult, SamplingParams
from synthflow.stores.in_flight import Deaths

_GREETING = (("user", "Hello"),)
ALONE = 2
"""Deaths with one request alone in flight that make it poison."""


@dataclass(frozen=True, slots=True)
class Group:
    """Requests to sample together; `alone`: with nothing else in flight."""

    requests: list[SampleRequest]
    alone: bool

    @property
    def single(self) -> bool:
        return self.alone and len(self.requests) == 1


def next_group(owed: Sequence[SampleRequest], deaths: Deaths) -> Group:
    """What to sample next of what is owed: half of the suspects if there are any, else everything."""
    most = max((deaths.seen[r.rollout_id] for r in owed), default=0)
    if most < 2:
        return Group(list(owed), alone=False)
    suspects = [r for r in owed if deaths.seen[r.rollout_id] == most]
    return Group(suspects[: (len(suspects) + 1) // 2], alone=True)


def is_poison(request: SampleRequest, deaths: Deaths) -> bool:
    return deaths.alone[request.rollout_id] >= ALONE


def poison(request: SampleRequest, words: str) -> SampleResult:
    """What is recorded of a request that kills the engine."""
    return SampleResult(
        request.rollout_id,
        "",
        "poison",
        prompt_tokens=len(request.prompt_token_ids or ()),
        reason=f"the engine died {ALONE} times with this request alone in flight; its last words: {words}",
    )


def probe(suspect: SampleRequest, finished: SampleRequest | None) -> SampleRequest:
    """A request for one token: an engine that answers it is well.

    It asks as `finished` did, which had an answer; without one, after the first tokens of the suspect's prompt, but not
    after one token alone, which itself kills vLLM 0.32 on a CPU; or, where messages are sent, with a greeting.
    """
    tokens = suspect.prompt_token_ids
    cut = None if tokens is None else tokens[: max(2, len(tokens) // 2)]
    asked = finished or replace(suspect, prompt_token_ids=cut, messages=_GREETING if cut is None else suspect.messages)
    return replace(asked, rollout_id="r_probe", params=SamplingParams(max_tokens=1), seed=0, score=None)
