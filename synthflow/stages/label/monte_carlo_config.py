"""The fields of `label.monte_carlo`: how prefixes are continued, and by which rule."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from synthflow import ids
from synthflow.contracts import OneOrMore, SamplingParams
from synthflow.rollouts.prefixes import TEMPLATE
from synthflow.stages.label.entropy_steps import EntropyConfig
from synthflow.stages.label.posterior import PosteriorSearch
from synthflow.stages.label.searchers import Adaptive, Bisection, Exhaustive, Searcher, Target

LABELER, LABELER_VERSION = "monte_carlo", "3"

Method = Literal["exhaustive", "adaptive", "bisection", "posterior"]
SEARCHES = ("bisection", "posterior")
"""Methods that look for the first error of wrong rollouts, and value only the prefixes they pass."""
MOST_SEARCHED_STEPS = 256
"""The posterior weighs every place against every prefix: steps squared."""
DEFAULT_MOST, DEFAULT_BATCH = 32, 4

_ONLY: dict[str, tuple[Method, ...]] = {
    "n": ("exhaustive", "bisection"),
    "n_min": ("adaptive",),
    "n_max": ("adaptive", "posterior"),
    "until": ("adaptive",),
    "confidence": ("posterior",),
    "least_information": ("posterior",),
    "prior": ("posterior",),
    "batch": ("adaptive", "bisection", "posterior"),
    "token_budget": ("adaptive", "bisection", "posterior"),
    "force_stop": ("exhaustive", "adaptive"),
    "label": ("exhaustive", "adaptive"),
    "reuse": ("exhaustive", "adaptive"),
}
"""Fields that some methods have no use for."""


class Until(BaseModel):
    """When a prefix has enough continuations: any of these that is given suffices."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    half_width: float | None = Field(None, gt=0.0, lt=0.5, description="half the 95% interval is at most this")
    threshold: float | None = Field(None, gt=0.0, lt=1.0, description="the interval does not hold this value")
    share: float | None = Field(None, gt=0.0, le=1.0, description="nor this share of the prompt's pass rate")

    @model_validator(mode="after")
    def _something(self) -> Until:
        if self.half_width is None and self.threshold is None and self.share is None:
            raise ValueError("says nothing; give half_width, threshold or share")
        if self.threshold is not None and self.share is not None:
            raise ValueError("threshold and share are two thresholds; give one")
        return self


class MonteCarloConfig(EntropyConfig):
    """How the continuations are sampled, beside the fields of every labeler."""

    policy: str = Field("default", description="the policy that continues, and whose chances the values are")
    method: Method = Field(
        "exhaustive",
        description="exhaustive: n of every prefix; adaptive: more where the value is undecided; bisection, posterior: "
        "search the first error of wrong rollouts",
    )
    n: int = Field(8, ge=1, le=4096, description="continuations of each prefix; of bisection, of each probe")
    n_min: int = Field(4, ge=1, le=4096, description="adaptive: least judged continuations of each prefix")
    n_max: int | None = Field(
        None, ge=1, le=4096, description=f"adaptive, posterior: most continuations of one prefix; null: {DEFAULT_MOST}"
    )
    until: Until = Field(
        Until(half_width=0.15), description="adaptive: when a prefix has enough: half_width, threshold or share"
    )
    confidence: float = Field(
        0.9, gt=0.0, lt=1.0, description="posterior: probability of one step at which the search ends, and names it"
    )
    least_information: float = Field(
        0.005,
        ge=0.0,
        allow_inf_nan=False,
        description="posterior: nats that tokens of one more rollout must be expected to tell; else the search ends",
    )
    prior: Literal["surprisal", "even"] = Field(
        "surprisal",
        description="posterior: which steps are suspected before anything is sampled: those whose tokens the policy "
        "found unlikely (where rollouts have logprobs), or all alike",
    )
    batch: int | None = Field(
        None, ge=1, le=4096, description=f"continuations a rollout asks for at once; null: {DEFAULT_BATCH}, or all n"
    )
    token_budget: int | None = Field(None, ge=1, description="most tokens of continuations for one rollout; null: any")
    label: Literal["soft", "hard"] = Field(
        "soft", description="soft: share of correct continuations; hard: 1 where any is correct (Math-Shepherd)"
    )
    force_stop: str | None = Field(
        None, min_length=1, description="text put after each prefix, such as one that asks for the answer now (MRT)"
    )
    reuse: bool = Field(
        False, description="count a continuation for the longer prefixes that it happens to begin with, too"
    )
    temperature: float = Field(1.0, ge=0.0, le=5.0, description="of the continuations")
    top_p: float = Field(1.0, gt=0.0, le=1.0, description="nucleus; 1 is off")
    top_k: int = Field(0, ge=0, description="keep the k likeliest tokens; 0 is off")
    max_tokens: int = Field(1024, ge=1, description="most tokens of a continuation")
    stop: OneOrMore = Field((), description="texts that end a continuation")

    @model_validator(mode="after")
    def _fits_the_method(self) -> MonteCarloConfig:
        for name in sorted(self.model_fields_set & set(_ONLY)):
            default = type(self).model_fields[name].default
            if self.method not in _ONLY[name] and getattr(self, name) != default:
                raise ValueError(f"{name} is for method: {' or '.join(_ONLY[name])}, not {self.method}; leave it out")
        if self.method == "posterior" and self.max_steps > MOST_SEARCHED_STEPS:
            raise ValueError(f"max_steps is at most {MOST_SEARCHED_STEPS} with method: posterior")
        if self.method == "posterior" and self.entropy_steps and self.entropy_steps.top >= MOST_SEARCHED_STEPS:
            raise ValueError(f"entropy_steps.top is below {MOST_SEARCHED_STEPS} with method: posterior")
        if self.method == "adaptive" and self.most < self.n_min:
            raise ValueError(f"n_max ({self.most}) is below n_min ({self.n_min})")
        if self.reuse and self.force_stop is not None:
            raise ValueError("reuse counts free continuations; leave it out with force_stop")
        return self

    @property
    def most(self) -> int:
        """Most continuations of one prefix."""
        if self.method in ("exhaustive", "bisection"):
            return self.n
        return DEFAULT_MOST if self.n_max is None else self.n_max

    @property
    def labeler(self) -> str:
        """The name in step_values: `monte_carlo`, with the method where it is not the plain one."""
        return LABELER if self.method == "exhaustive" else f"{LABELER}/{self.method}"

    @property
    def template(self) -> str:
        """A forced stop is part of how continuations are sampled, so that their ids differ from free ones."""
        return TEMPLATE + (self.force_stop or "")

    def params(self) -> SamplingParams:
        return SamplingParams(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            max_tokens=self.max_tokens,
            stop=self.stop,
        )

    def sampling_id(self) -> str:
        return ids.sampling_id(self.params().model_dump(), self.template, "prefix")

    def searcher(self, target: Target) -> Searcher:
        """The rule that decides where a rollout's continuations go."""
        batch = DEFAULT_BATCH if self.batch is None else self.batch
        if self.method == "adaptive":
            return Adaptive(
                target,
                self.most,
                self.token_budget,
                half_width=self.until.half_width,
                threshold=self._threshold(target),
                n_min=self.n_min,
                batch=batch,
            )
        if self.method == "bisection":
            return Bisection(target, self.n, self.token_budget, batch=self.batch)
        if self.method == "posterior":
            return PosteriorSearch(
                target,
                self.most,
                self.token_budget,
                confidence=self.confidence,
                least_information=self.least_information,
                batch=batch,
            )
        return Exhaustive(target, self.n)

    def _threshold(self, target: Target) -> float | None:
        right, judged = target.prompt
        if self.until.share is None or not judged:
            return self.until.threshold
        return self.until.share * right / judged
