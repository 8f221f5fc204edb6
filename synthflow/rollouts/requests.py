"""From a place in the rollout graph to the id, the seed and the request of the rollout that stands there.

Invariants: every id of a rollout that stages make comes from here: H(problem, policy, round, sampling, prefix, index,
run seed), and its seed from the id; whoever asks gets one result a request, in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from synthflow import ids
from synthflow.contracts import SampleRequest, SampleResult, SamplingParams, Services
from synthflow.errors import InvariantBroken

Messages = tuple[tuple[str, str], ...]


def messages_of(prompt: Sequence[Mapping[str, str]]) -> Messages:
    """A prompt as tables hold it, as (role, content) pairs."""
    return tuple((message["role"], message["content"]) for message in prompt)


@dataclass(frozen=True, slots=True)
class RolloutIds:
    """The rollouts that one policy has under one way of sampling in one run."""

    policy_id: str
    sampling_id: str
    run_seed: int

    def rollout_id(self, problem: str, round_: int, prefix: str, index: int) -> str:
        return ids.rollout_id(problem, self.policy_id, round_, self.sampling_id, prefix, index, self.run_seed)

    def request(
        self,
        problem: str,
        round_: int,
        prefix: str,
        index: int,
        messages: Messages,
        tokens: tuple[int, ...] | None,
        params: SamplingParams,
    ) -> SampleRequest:
        """The request of one rollout.

        Args:
            tokens: of the prompt and the prefix; None where nobody has the policy's tokenizer.
        """
        return self.requests(problem, round_, prefix, (index,), messages, tokens, params)[0]

    def requests(
        self,
        problem: str,
        round_: int,
        prefix: str,
        indices: Iterable[int],
        messages: Messages,
        tokens: tuple[int, ...] | None,
        params: SamplingParams,
    ) -> list[SampleRequest]:
        """The requests of rollouts that differ in their indices alone."""
        of = ids.rollout_ids(problem, self.policy_id, round_, self.sampling_id, prefix, indices, self.run_seed)
        return [SampleRequest(one, problem, messages, tokens, params, ids.rollout_seed(one)) for one in of]


def ask(requests: Sequence[SampleRequest], policy: str, services: Services) -> Sequence[SampleResult]:
    """What a policy of the spec, by its name, answers: one result a request, in order; of no request nothing is asked.

    Raises:
        InfrastructureError: if some requests are still owed.
        InvariantBroken: if the engine answers another number of requests.
    """
    results = services.sample(requests, policy) if requests else []
    if len(results) != len(requests):
        raise InvariantBroken(f"{len(requests)} requests to policy {policy!r}, {len(results)} results came back")
    return results
