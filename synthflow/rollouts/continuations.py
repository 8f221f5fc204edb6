"""Sampling the continuations of prefixes, and judging them.

Invariants: every continuation is a rollout of its own, with condition `prefix`, its parent, and a seed from its id,
so that one more continuation of a prefix leaves the others as they are. What is judged is the text of the prefix and
the continuation together, by the verifier that judged the rollout it continues, and under the same rule for truncated
ones. A refused or truncated continuation is unknown, and counted as such.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from synthflow.contracts import Inputs, Judgement, SampleRequest, SampleResult, SamplingParams, Services, StageInfo
from synthflow.rollouts import rows as rollouts
from synthflow.rollouts.prefixes import Prefix, PrefixKey
from synthflow.rollouts.questions import problems_by_id
from synthflow.rollouts.requests import RolloutIds, ask, messages_of
from synthflow.rollouts.verdicts import Judged, Judging, ToJudge
from synthflow.schema import ROLLOUTS


@dataclass(frozen=True, slots=True)
class Continuation:
    """One continuation: what it continues, what was asked and what came."""

    key: PrefixKey
    prefix: Prefix
    index: int
    request: SampleRequest
    result: SampleResult


@dataclass(frozen=True, slots=True)
class Tally:
    """Verdicts on the continuations of one prefix, and the tokens they took."""

    successes: int = 0
    judged: int = 0
    unknown: int = 0
    tokens: int = 0

    @classmethod
    def of(cls, judgement: Judgement, continuation: Continuation | None = None) -> Tally:
        """One continuation; None where its tokens are booked on another prefix."""
        known = judgement.verdict != "unknown"
        tokens = 0 if continuation is None else continuation.result.n_tokens or 0
        return cls(int(judgement.verdict == "correct"), int(known), int(not known), tokens)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.successes + other.successes,
            self.judged + other.judged,
            self.unknown + other.unknown,
            self.tokens + other.tokens,
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """Continuations `start` to `start + count - 1` of a prefix."""

    key: PrefixKey
    prefix: Prefix
    start: int
    count: int


def sample(
    wanted: Sequence[Wanted],
    policy: str,
    policy_id: str,
    params: SamplingParams,
    sampling: str,
    services: Services,
) -> list[Continuation]:
    """Sample continuations, those of one prefix side by side.

    Args:
        policy: the name of the policy in the spec, whose id is `policy_id`.
        sampling: the sampling_id of `params` and how a prefix is continued.

    Raises:
        InvariantBroken: if the engine answers another number of requests.
    """
    rollout_ids = RolloutIds(policy_id, sampling, services.run_seed)
    asked: list[tuple[PrefixKey, Prefix, int, SampleRequest]] = []
    for want in wanted:
        asked += (
            (want.key, want.prefix, index, request_after(want.prefix, index, rollout_ids, params))
            for index in range(want.start, want.start + want.count)
        )
    results = ask([a[3] for a in asked], policy, services)
    return [Continuation(*a, result) for a, result in zip(asked, results, strict=True)]


def request_after(prefix: Prefix, index: int, rollout_ids: RolloutIds, params: SamplingParams) -> SampleRequest:
    """The request of continuation `index` of a prefix."""
    parent = prefix.parent
    tokens = (*parent["prompt_token_ids"], *prefix.tokens)
    messages = messages_of(parent["prompt"])
    return rollout_ids.request(parent["problem_id"], parent["round"], prefix.prefix_id, index, messages, tokens, params)


def judge(continuations: Sequence[Continuation], verify: StageInfo, inputs: Inputs, services: Services) -> Judged:
    """Judge continuations, each with the prefix before it, as the stage `verify` judges rollouts.

    Raises:
        InvariantBroken: if the verifier gives another number of judgements.
    """
    problems = problems_by_id(inputs)
    texts = [
        ToJudge(
            c.request.rollout_id, c.prefix.text + c.result.text, c.result.finish_reason, problems[c.request.problem_id]
        )
        for c in continuations
    ]
    return Judging.as_stage(verify).judge(texts, services)


def tally(continuations: Sequence[Continuation], judgements: Sequence[Judgement]) -> dict[PrefixKey, Tally]:
    """Counts by prefix."""
    counts: dict[PrefixKey, Tally] = {}
    for continuation, judgement in zip(continuations, judgements, strict=True):
        counts[continuation.key] = counts.get(continuation.key, Tally()) + Tally.of(judgement, continuation)
    return counts


def rollout_rows(continuations: Sequence[Continuation], sampling: str, policy_id: str, stage_id: str) -> pa.Table:
    """The continuations as rows of the rollouts table."""
    by_round: dict[int, list[Continuation]] = {}
    for continuation in continuations:
        by_round.setdefault(continuation.prefix.parent["round"], []).append(continuation)
    tables = [
        rollouts.rollout_rows(
            [_drawn(c) for c in group],
            [c.result for c in group],
            policy_id=policy_id,
            round_=round_,
            sampling=sampling,
            stage_id=stage_id,
        )
        for round_, group in by_round.items()
    ]
    return pa.concat_tables([ROLLOUTS.empty(), *tables])


def _drawn(continuation: Continuation) -> rollouts.Drawn:
    prefix = continuation.prefix
    train_prompt = prefix.parent["train_prompt"]
    return rollouts.Drawn(
        continuation.request,
        continuation.index,
        prefix.prefix_id,
        condition="prefix",
        parent_rollout_id=prefix.parent["rollout_id"],
        branch_step=prefix.branch_step,
        branch_token=prefix.branch_token,
        train_prompt=None if train_prompt is None else [(m["role"], m["content"]) for m in train_prompt],
        on_policy=not prefix.forced,  # its context holds words that nobody trains on
    )
