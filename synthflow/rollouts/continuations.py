"""Sampling the continuations of prefixes, and judging them.

Invariants: every continuation is a rollout of its own, with condition `prefix`, its parent, and a seed from its id,
so that one more continuation of a prefix leaves the others as they are. What is judged is the text of the prefix and
the continuation together, by the verifier that judged the rollout it continues, and under the same rule for truncated
ones. A refused or truncated continuation is unknown, and counted as such.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from synthflow import ids
from synthflow.contracts import Inputs, Judgement, SampleRequest, SampleResult, SamplingParams, Services, VerifyConfig
from synthflow.contracts.stage_info import StageInfo, verifier_of
from synthflow.errors import InvariantBroken
from synthflow.rollouts import rows as rollouts
from synthflow.rollouts.eligibility import by_its_end
from synthflow.rollouts.prefixes import Prefix, PrefixKey
from synthflow.rollouts.questions import note, part_rows, problems_by_id, question
from synthflow.schema import ROLLOUTS, SCORES, TELEMETRY


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
        tokens = 0 if continuation is None else continuation.result.n_tokens
        return cls(int(judgement.verdict == "correct"), int(known), int(not known), tokens)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.successes + other.successes,
            self.judged + other.judged,
            self.unknown + other.unknown,
            self.tokens + other.tokens,
        )


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Judgements on continuations, in order, with who gave them; `asked` is false where no verifier was needed."""

    judgements: Sequence[Judgement]
    asked: Sequence[bool]
    scorer: str
    version: str
    config_hash: str


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
    asked: list[tuple[PrefixKey, Prefix, int, SampleRequest]] = []
    for want in wanted:
        parent, prefix = want.prefix.parent, want.prefix
        messages = tuple((m["role"], m["content"]) for m in parent["prompt"])
        tokens = (*parent["prompt_token_ids"], *prefix.tokens)
        for index in range(want.start, want.start + want.count):
            rollout = ids.rollout_id(
                parent["problem_id"],
                policy_id,
                parent["round"],
                sampling,
                prefix.prefix_id,
                index,
                services.run_seed,
            )
            seed = ids.rollout_seed(rollout)
            request = SampleRequest(rollout, parent["problem_id"], messages, tokens, params, seed)
            asked.append((want.key, prefix, index, request))
    results = services.sample([a[3] for a in asked], policy) if asked else []
    if len(results) != len(asked):
        raise InvariantBroken(f"{len(asked)} continuations asked for, {len(results)} came back")
    return [Continuation(*a, result) for a, result in zip(asked, results, strict=True)]


def judge(continuations: Sequence[Continuation], verify: StageInfo, inputs: Inputs, services: Services) -> Verdicts:
    """Judge continuations as the stage `verify` judges rollouts.

    Raises:
        InvariantBroken: if the verifier gives another number of judgements.
    """
    verifier = verifier_of(verify.use)
    own = {name: value for name, value in verify.config.items() if name not in VerifyConfig.model_fields}
    truncated = verify.config.get("truncated", "unknown")
    early = [by_its_end(c.result.finish_reason, truncated) for c in continuations]
    problems = problems_by_id(inputs)
    questions = [
        question(c.request.rollout_id, c.prefix.text + c.result.text, problems[c.request.problem_id])
        for c, known in zip(continuations, early, strict=True)
        if known is None
    ]
    answers, version, config_hash = services.judge(verifier, own, questions)
    if len(answers) != len(questions):
        raise InvariantBroken(f"verifier {verifier!r}: {len(questions)} questions, {len(answers)} judgements")
    if truncated != "unknown":
        config_hash = ids.content_id("c", config_hash, truncated)  # as the verify stage tells its own scores apart
    given = iter(answers)
    return Verdicts(
        [known if known is not None else next(given) for known in early],
        [known is None for known in early],
        verifier,
        version,
        config_hash,
    )


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


def score_rows(continuations: Sequence[Continuation], verdicts: Verdicts, stage_id: str) -> pa.Table:
    """The verdicts as rows of the scores table."""
    rows = []
    for c, judgement in zip(continuations, verdicts.judgements, strict=True):
        rows.append(
            {
                "problem_id": c.request.problem_id,
                "target_kind": "rollout",
                "target_id": c.request.rollout_id,
                "kind": "verdict",
                "scorer": verdicts.scorer,
                "scorer_version": verdicts.version,
                "config_hash": verdicts.config_hash,
                "verdict": judgement.verdict,
                "value": judgement.value,
                "reason": note(judgement.reason),
                "detail": note(judgement.detail),
                "stage_id": stage_id,
            }
        )
        rows += part_rows(c.request.problem_id, c.request.rollout_id, judgement, stage_id)
    return SCORES.from_rows(rows)


def telemetry_rows(continuations: Sequence[Continuation], verdicts: Verdicts, services: Services) -> pa.Table:
    """Seconds that each verdict took."""
    worker = f"{platform.node()}:{os.getpid()}"
    return TELEMETRY.from_rows(
        [
            {
                "problem_id": c.request.problem_id,
                "target_kind": "score",
                "target_id": c.request.rollout_id,
                "metric": "elapsed_s",
                "value": judgement.elapsed_s,
                "worker": worker,
                "attempt": services.attempt,
                "stage_id": services.stage_id,
            }
            for c, judgement, asked in zip(continuations, verdicts.judgements, verdicts.asked, strict=True)
            if asked
        ]
    )
