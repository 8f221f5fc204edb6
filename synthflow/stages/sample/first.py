"""n first rollouts of every problem.

Invariant: a rollout is its problem, policy, round, sampling and index; whoever draws further ones of a problem (a later
wave) goes on with the indices, and gets those that a larger n would have given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field

from synthflow import ids
from synthflow.contracts import (
    Coverage,
    Estimate,
    Inputs,
    OneOrMore,
    SamplingParams,
    Services,
    Stage,
    StageConfig,
)
from synthflow.errors import TemplateRefusal
from synthflow.rollouts.problem_measures import problem_rejects
from synthflow.rollouts.requests import Messages, RolloutIds, ask, messages_of
from synthflow.rollouts.rows import Drawn, rollout_rows, sampling_row

TEMPLATE = "{prompt}"
REFUSED = "refused"


class FirstRolloutsConfig(StageConfig):
    """How first rollouts are sampled: all that decides their sampling_id, and the policy."""

    policy: str = Field("default", description="the policy to sample from")
    temperature: float = Field(1.0, ge=0.0, le=5.0, description="softmax temperature; 0 is greedy")
    top_p: float = Field(1.0, gt=0.0, le=1.0, description="nucleus; 1 is off")
    top_k: int = Field(0, ge=0, description="keep the k likeliest tokens; 0 is off")
    max_tokens: int = Field(1024, ge=1, description="most tokens of a completion")
    stop: OneOrMore = Field((), description="texts that end a completion")
    template: str = Field(TEMPLATE, description="the last user message, {prompt} standing for the problem's own")

    def params(self) -> SamplingParams:
        return SamplingParams(**self.model_dump(include=set(SamplingParams.model_fields)))

    def sampling_id(self) -> str:
        return ids.sampling_id(self.params().model_dump(), self.template, "none")


class SampleConfig(FirstRolloutsConfig):
    """Fields of `sample`."""

    n: int = Field(8, ge=1, le=100_000, description="rollouts a problem; raising it samples only the new ones")


class FirstRollouts(Stage):
    """Base of the stages that sample from a problem's own prompt."""

    reads: ClassVar[tuple[str, ...]] = ("problems",)
    writes: ClassVar[tuple[str, ...]] = ("rollouts",)
    covers: ClassVar[Coverage | None] = Coverage("problems", "problem_id", {"rollouts": "problem_id"})

    def check(self, ancestors: Sequence[Any]) -> list[tuple[str, str, str]]:
        if "{prompt}" not in self.config.template:
            return [("template", "does not hold {prompt}", "write {prompt} where the problem's text belongs")]
        return []

    def samplings(self) -> list[dict[str, Any]]:
        return [sampling_row(self.config.params(), self.config.template, "none")]

    def draw(self, inputs: Inputs, services: Services, indices: Callable[[str], range]) -> pa.Table:
        """The rows alone of what `sampled` gives.

        Raises:
            TemplateRefusal: if the policy's chat template refuses the messages of a problem.
        """
        made = self.sampled(inputs, services, indices)
        for row in made["rejects"].to_pylist() if "rejects" in made else ():
            raise TemplateRefusal(row["reason"])
        return made["rollouts"]

    def sampled(self, inputs: Inputs, services: Services, indices: Callable[[str], range]) -> dict[str, pa.Table]:
        """Sample the rollouts that `indices` says of each problem_id.

        Returns:
            `rollouts`; and `rejects` of problems whose messages the policy's chat template refuses, if there are any.
        """
        problems = inputs.frame("problems", ["problem_id", "prompt"]).sort("problem_id")
        identity = services.identity(self.config.policy)
        sampling = self.config.sampling_id()
        rollout_ids = RolloutIds(identity.policy_id, sampling, services.run_seed)
        renderer, params = services.renderer(self.config.policy), self.config.params()
        drawn: list[Drawn] = []
        refused: dict[str, str] = {}
        for problem in problems.iter_rows(named=True):
            where, chosen = (problem["problem_id"], services.round, ids.NO_PREFIX), indices(problem["problem_id"])
            messages = self._messages(problem["prompt"])
            try:
                tokens = tuple(renderer.render(messages)) if chosen and renderer is not None else None
            except TemplateRefusal as error:
                refused[problem["problem_id"]] = f"{REFUSED}: {error}"
            else:
                # Requests of one problem stand next to each other, so that they share the prompt's prefill.
                requests = rollout_ids.requests(*where, chosen, messages, tokens, params)
                drawn += [Drawn(one, index, ids.NO_PREFIX) for one, index in zip(requests, chosen, strict=True)]
        results = ask([one.request for one in drawn], self.config.policy, services)
        rows = rollout_rows(
            drawn,
            results,
            policy_id=identity.policy_id,
            round_=services.round,
            sampling=sampling,
            stage_id=services.stage_id,
        )
        if not refused:
            return {"rollouts": rows}
        rejects = problem_rejects(list(refused), list(refused.values()), services.stage_id)
        return {"rollouts": rows, "rejects": rejects}

    def _messages(self, prompt: Sequence[Mapping[str, str]]) -> Messages:
        messages = messages_of(prompt)
        if self.config.template == TEMPLATE or not messages:
            return messages
        role, content = messages[-1]
        return *messages[:-1], (role, self.config.template.replace("{prompt}", content))


class Sample(FirstRollouts):
    """Sample n rollouts of every problem, each with its own seed."""

    use = "sample"
    version = "1"
    writes_rollouts = True
    samples_groups = True
    Config = SampleConfig
    summary = "Sample n rollouts of every problem."

    def estimate(self, upstream: Estimate) -> Estimate:
        rollouts = upstream.problems * self.config.n
        return Estimate(
            problems=upstream.problems,
            rollouts=upstream.rollouts + rollouts,
            requests=rollouts,
            tokens=rollouts * self.config.max_tokens,
            rows={"rollouts": rollouts},
            note=f"{upstream.problems:.0f} problems x {self.config.n}, at most {self.config.max_tokens} tokens each",
        )

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        return self.sampled(inputs, services, lambda problem: range(self.config.n))
