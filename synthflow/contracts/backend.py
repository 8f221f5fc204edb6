"""A backend turns sampling requests into completions.

Invariants: `submit` may be called from many threads and never waits for a slot; every future ends in a
`SampleResult` (a completion or a refusal) or in `InfrastructureError` (the request is owed, and sampled again). An
engine that fails as a whole ends all its futures in `EngineFailed`: the host starts it again if it is not `alive`,
and isolates a request that keeps killing it. A backend keeps nothing: whoever submits writes the journal. A
request's tokens depend on its own seed only, up to the floating-point effects of batching.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

FinishReason = Literal["stop", "length", "refused", "failed", "poison"]
"""Its own end, the token limit, a request that the engine or server declined, one that it never answered while it
answered others, one that kills the engine."""
UNANSWERED: frozenset[str] = frozenset(("refused", "failed", "poison"))
"""Endings that are none of the policy's: nothing was sampled, and the result's `reason` says why."""


class SamplingParams(BaseModel):
    """How tokens are drawn. Every field is part of the sampling_id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float = Field(1.0, ge=0.0, le=5.0, description="softmax temperature; 0 is greedy")
    top_p: float = Field(1.0, gt=0.0, le=1.0, description="nucleus; 1 is off")
    top_k: int = Field(0, ge=0, description="keep the k likeliest tokens; 0 is off")
    max_tokens: int = Field(1024, ge=1, description="most tokens of a completion")
    stop: tuple[str, ...] = Field((), description="texts that end a completion")


class PolicyConfig(BaseModel):
    """A policy as the spec names it: a backend, a model, and the backend's own options.

    `options` is checked against the backend's `Options` model when the spec is read.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: str
    model: str
    options: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PolicyIdentity:
    """What a policy is, apart from where and how it runs. `policy_id` is H(weights, tokenizer, template)."""

    policy_id: str
    weights_hash: str
    tokenizer_hash: str
    template_hash: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """One completion to sample, or given tokens to score.

    `prompt_token_ids` is prompt plus prefix, rendered by the policy's own template; None only for a server
    whose tokenizer nobody has, which is then sent `messages`.

    With `score` nothing is sampled: the policy reads these tokens after the prompt's and says how likely it finds each
    (parameters and seed do not matter). `rollout_id` is then `ids.score_id`. `entropy_top` above 0 asks for the
    entropy of every next-token distribution as well: of the whole of it where the backend sees it, elsewhere a lower
    bound from that many of the likeliest tokens.
    """

    rollout_id: str
    problem_id: str
    messages: tuple[tuple[str, str], ...]
    prompt_token_ids: tuple[int, ...] | None
    params: SamplingParams
    seed: int
    score: tuple[int, ...] | None = None
    entropy_top: int = 0


@dataclass(frozen=True, slots=True)
class SampleResult:
    """One completion, one scoring, or a refusal.

    `token_ids` keeps the stop token; `text` does not hold it. `logprobs` are nats at temperature 1 before any
    truncation, one a token. `n_tokens` is None where the server tells neither tokens nor their number. What is
    `UNANSWERED` has its `reason`, and no text but the words in which a model itself refuses. `notes` say what was not
    as it was asked for, such as a seed that the server does not take. `answer_start` is where the text's answer begins,
    where the policy's thought before it (with its markers) was told apart.

    Of scored tokens the result holds `logprobs`, one a token (NaN and infinities as the model gives them), and, where
    they were asked for and can be told, `entropies` in nats, of the distribution that each token was drawn from;
    `entropies_exact` is false where they are lower bounds. It has no text and no tokens of its own (`n_tokens` is 0:
    nothing was sampled); what was read counts as `prompt_tokens`.
    """

    rollout_id: str
    text: str
    finish_reason: FinishReason
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    sampling_logprobs: tuple[float, ...] | None = None
    n_tokens: int | None = 0
    prompt_tokens: int | None = 0
    reason: str | None = None
    elapsed_s: float = 0.0
    entropies: tuple[float, ...] | None = None
    entropies_exact: bool | None = None
    notes: tuple[str, ...] = ()
    answer_start: int | None = None


class Backend(ABC):
    """Base of the sampling backends; registered in the entry-point group `synthflow.backends`."""

    name: ClassVar[str]
    Options: ClassVar[type[BaseModel]]
    max_in_flight: int = 256
    """Requests that keep the engine full; the caller holds no more than this many open."""
    logs: Path | None = None
    """Folder for the logs of processes that the backend starts; set by the host before `start`."""

    def __init__(self, policy: PolicyConfig) -> None:
        self.policy = policy
        self.options: Any = self.Options.model_validate(policy.options)

    @abstractmethod
    def identity(self) -> PolicyIdentity:
        """What is sampled from. Loads no weights and starts no engine.

        Raises:
            UserError: if the model cannot be found.
        """

    @abstractmethod
    def start(self) -> None:
        """Load the model. Called once, before the first `submit`, on the engine's worker."""

    @abstractmethod
    def submit(self, request: SampleRequest) -> Future[SampleResult]:
        """Queue a request. Thread-safe."""

    def submit_many(self, requests: Sequence[SampleRequest]) -> list[Future[SampleResult]]:
        """Queue requests that share prefixes next to each other."""
        return [self.submit(request) for request in requests]

    @classmethod
    def cannot_score(cls, policy: PolicyConfig) -> str | None:
        """Why this policy's backend cannot score given tokens (`SampleRequest.score`); None if it can.

        Asked when a spec is read: starts and loads nothing.
        """
        return f"backend {policy.backend!r} cannot score given tokens"

    @classmethod
    def cannot_sample(cls, policy: PolicyConfig, params: SamplingParams) -> str | None:
        """Why this policy's backend cannot draw tokens so, whatever the prompt; None if it can, or nobody knows yet.

        Asked when a spec is read: starts and loads nothing.
        """
        return None

    @classmethod
    def packages(cls, policy: PolicyConfig) -> Mapping[str, str]:
        """Packages that its engine imports, each with what to install for it. Imports none of them."""
        return {}

    @classmethod
    def tells_no_tokens(cls, policy: PolicyConfig) -> str | None:
        """Why nobody knows which tokens this policy is given and samples; None if somebody does.

        Asked when a spec is read: starts and loads nothing.
        """
        return None

    @abstractmethod
    def close(self) -> None:
        """Stop the engine and free what it holds. Idempotent."""

    def alive(self) -> bool:
        """Whether requests can be submitted. False: the host closes this backend and starts another."""
        return True

    def default_engines(self) -> int:
        """Engine processes that fill this machine, where the spec does not say and no GPU is dealt out."""
        return 1

    def gpus_per_engine(self) -> int:
        """GPUs that one engine takes where there are any: the driver deals that many to each. 0: it takes none.

        Loads no model and starts no CUDA context.
        """
        return 0

    def load(self) -> dict[str, float]:
        """Counters for progress, such as busy_s. Empty where there are none."""
        return {}
