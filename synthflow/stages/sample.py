"""n first rollouts of every problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from pydantic import Field

from synthflow import ids
from synthflow.contracts import (
    Coverage,
    Inputs,
    SampleRequest,
    SamplingParams,
    Services,
    Stage,
    StageConfig,
    Volume,
)
from synthflow.stages.rollouts import Drawn, rollout_rows, sampling_row

TEMPLATE = "{prompt}"


class SampleConfig(StageConfig):
    """Fields of `sample`."""

    policy: str = Field("default", description="the policy to sample from")
    n: int = Field(8, ge=1, le=100_000, description="rollouts a problem; raising it samples only the new ones")
    temperature: float = Field(1.0, ge=0.0, le=5.0, description="softmax temperature; 0 is greedy")
    top_p: float = Field(1.0, gt=0.0, le=1.0, description="nucleus; 1 is off")
    top_k: int = Field(0, ge=0, description="keep the k likeliest tokens; 0 is off")
    max_tokens: int = Field(1024, ge=1, description="most tokens of a completion")
    stop: tuple[str, ...] = Field((), description="texts that end a completion")
    template: str = Field(TEMPLATE, description="the last user message, {prompt} standing for the problem's own")

    def params(self) -> SamplingParams:
        return SamplingParams(**self.model_dump(include=set(SamplingParams.model_fields)))

    def sampling_id(self) -> str:
        return ids.sampling_id(self.params().model_dump(), self.template, "none")


class Sample(Stage):
    """Sample n rollouts of every problem, each with its own seed."""

    use = "sample"
    version = "1"
    Config = SampleConfig
    reads = ("problems",)
    writes = ("rollouts",)
    covers = Coverage("problems", "problem_id", {"rollouts": "problem_id"})
    summary = "Sample n rollouts of every problem."

    def check(self, ancestors: Sequence[Any]) -> list[tuple[str, str, str]]:
        if "{prompt}" not in self.config.template:
            return [("template", "does not hold {prompt}", "write {prompt} where the problem's text belongs")]
        return []

    def samplings(self) -> list[dict[str, Any]]:
        return [sampling_row(self.config.params(), self.config.template, "none")]

    def estimate(self, upstream: Volume) -> Volume:
        rollouts = upstream.problems * self.config.n
        return Volume(
            problems=upstream.problems,
            rollouts=upstream.rollouts + rollouts,
            requests=rollouts,
            tokens=rollouts * self.config.max_tokens,
            rows={"rollouts": rollouts},
            note=f"{upstream.problems:.0f} problems x {self.config.n}, at most {self.config.max_tokens} tokens each",
        )

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        problems = inputs.frame("problems", ["problem_id", "prompt"]).sort("problem_id")
        identity = services.identity(self.config.policy)
        sampling = self.config.sampling_id()
        drawn = [
            ask
            for problem in problems.iter_rows(named=True)
            for ask in self._asks(problem, identity.policy_id, sampling, services)
        ]
        results = services.sample([ask.request for ask in drawn], self.config.policy)
        rows = rollout_rows(
            drawn,
            results,
            policy_id=identity.policy_id,
            round_=services.round,
            sampling=sampling,
            stage_id=services.stage_id,
        )
        return {"rollouts": rows}

    def _asks(self, problem: Mapping[str, Any], policy: str, sampling: str, services: Services) -> list[Drawn]:
        """The n requests of one problem, next to each other so that they share the prompt's prefill."""
        messages = self._messages(problem["prompt"])
        renderer = services.renderer(self.config.policy)
        tokens = tuple(renderer.render(messages)) if renderer is not None else None
        params = self.config.params()
        asks = []
        for index in range(self.config.n):
            rollout = ids.rollout_id(
                problem["problem_id"], policy, services.round, sampling, ids.NO_PREFIX, index, services.run_seed
            )
            seed = ids.rollout_seed(rollout)
            request = SampleRequest(rollout, problem["problem_id"], tuple(messages), tokens, params, seed)
            asks.append(Drawn(request, index, ids.NO_PREFIX))
        return asks

    def _messages(self, prompt: Sequence[Mapping[str, str]]) -> list[tuple[str, str]]:
        messages = [(m["role"], m["content"]) for m in prompt]
        if self.config.template != TEMPLATE and messages:
            role, content = messages[-1]
            messages[-1] = (role, self.config.template.replace("{prompt}", content))
        return messages
