"""The fields of a pipeline file that do not depend on what is registered.

Stages and policies are validated against the classes they name, see `synthflow.spec.nodes` and
`synthflow.spec.policies`; here is everything else, and the rules for names.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_SPLIT_WORDS = frozenset(
    ["train", "training", "validation", "valid", "dev", "val", "test", "testing", "eval", "evaluation"]
)  # the keywords of `datasets`' own data_files.py


def name_problem(name: str) -> str | None:
    """What is wrong with the name of a pipeline or policy; None if nothing is."""
    if _NAME.fullmatch(name):
        return None
    return "a name is 1 to 64 letters, digits, _ and -, and starts with a letter or digit"


def stage_name_problem(name: str) -> str | None:
    """What is wrong with the name of a stage; None if nothing is.

    A stage's name is the name of a folder. The `datasets` library takes a folder or file with a split's word in its
    name for that split and then silently leaves out every other file, so no stage may have such a name.
    """
    if name_problem(name):
        return name_problem(name)
    for word in re.split(r"[-_0-9]+", name.casefold()):
        if word in _SPLIT_WORDS:
            return f"{word!r} in a stage's name makes the datasets library take its folder for a split"
    return None


def _slug(name: str) -> str:
    problem = name_problem(name)
    if problem:
        raise ValueError(problem)
    return name


Slug = Annotated[str, AfterValidator(_slug)]


class ExecutionSpec(BaseModel):
    """How a run is executed. Nothing here changes what a run produces."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    partition_size: int | None = Field(
        None, ge=1, le=100_000, description="problems in a partition, the unit of work; null: 32 to 256"
    )
    engines: int | None = Field(
        None, ge=1, description="engine workers; null: what the GPUs hold, or the backend's own"
    )
    cpu_workers: int | None = Field(None, ge=1, description="workers for CPU stages; null: from the cores")
    partitions_in_flight: int | None = Field(None, ge=1, description="partitions that flow at once; null: as needed")
    memory_mb: int | None = Field(
        None, ge=512, description="memory of driver and workers together, models apart; null: 450 a process"
    )
    requests_in_flight: int | None = Field(None, ge=1, description="open sampling requests; null: the backend's own")
    max_error_rate: float = Field(0.25, ge=0.0, le=1.0, description="share of failed requests that stops a run")
    retries: int = Field(3, ge=0, le=100, description="attempts after a failure of a machine or server")
    keep_notes: bool = Field(
        False, description="keep journal/*.open, which say what was handed to engines, after their tasks have ended"
    )
    price_per_million_tokens: float | None = Field(None, ge=0.0, description="for the cost estimate, any currency")
    max_tokens: int | None = Field(None, ge=1, description="sampled tokens at which the run stops; null: no cap")
    max_cost: float | None = Field(None, gt=0.0, description="cost at which the run stops, at the price; null: no cap")
    prometheus_port: int | None = Field(None, ge=1, le=65535, description="serve metrics for Prometheus; null: do not")
    prometheus_host: str = Field("127.0.0.1", min_length=1, description="the address that the metrics are served on")

    @model_validator(mode="after")
    def _costs_have_a_price(self) -> ExecutionSpec:
        if self.max_cost is not None and not self.price_per_million_tokens:
            raise ValueError("max_cost needs price_per_million_tokens; give it, or cap tokens with max_tokens")
        return self

    @property
    def token_cap(self) -> int | None:
        """Sampled tokens at which a run stops, by whichever cap is the lower."""
        caps = [] if self.max_tokens is None else [self.max_tokens]
        if self.max_cost is not None and self.price_per_million_tokens:
            caps.append(int(self.max_cost / self.price_per_million_tokens * 1e6))
        return min(caps, default=None)


class PipelineSpec(BaseModel):
    """A pipeline file.

    `policy` is short for `policies: {default: ...}`. A policy is a backend, a model and the backend's options, flat;
    a stage is a `use`, an `of` and the stage's own fields, flat.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Slug = Field(description="name of the pipeline; a run goes to runs/NAME unless told otherwise")
    seed: int = Field(0, ge=0, lt=2**62, description="every random choice follows from it")
    round: int = Field(0, ge=0, lt=2**31, description="self-improvement round")
    policy: dict[str, Any] | None = Field(None, description="short for policies: {default: ...}")
    policies: dict[str, dict[str, Any]] | None = Field(None, description="policies by name")
    stages: dict[str, dict[str, Any]] = Field(description="stages by name", min_length=1)
    execution: ExecutionSpec = Field(default_factory=lambda: ExecutionSpec.model_validate({}))
