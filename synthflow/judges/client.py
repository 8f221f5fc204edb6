"""Sampling what judges write, and reading it.

Invariants: a judge's completion is known by its prompt (its id is H(problem, judge, round, sampling, messages, index,
run seed)), so the same question is asked once however many rollouts it is about, one more of the k samples leaves the
others as they are, and another stage with the same prompt finds it in the journal; every completion, whatever it
holds, is an artifact of kind critique with its prompt and what was read in it; and one that ran into its token limit
is not read at all, since its last line may be cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from synthflow import ids
from synthflow.contracts import UNANSWERED, SampleRequest, SampleResult, Services
from synthflow.judges.config import CONDITION, AskConfig
from synthflow.judges.parsing import ParsedJudgement
from synthflow.judges.prompts import Prompt
from synthflow.rollouts.requests import RolloutIds, ask
from synthflow.rollouts.rows import sampling_row, utf8
from synthflow.schema import ARTIFACTS

KIND = "critique"


@dataclass(frozen=True, slots=True)
class JudgeQuestion:
    """A question for the judge: other people's texts by placeholder, and the rollouts it is about."""

    problem_id: str
    values: Mapping[str, str]
    about: tuple[str, ...]
    details: Mapping[str, Any] = field(default_factory=dict)


class Form(Protocol):
    """What a judge is asked to end with: the words that ask for it, and how it is read."""

    def instruction(self) -> str: ...

    def read(self, completion: str) -> ParsedJudgement: ...


@dataclass(frozen=True, slots=True)
class Heard:
    """One sample of the judge: what was read in it, or why nothing was (parse_failure, judge_refused)."""

    reading: ParsedJudgement
    reason: str | None
    elapsed_s: float
    n_tokens: int = 0
    sample_id: str = ""


@dataclass(frozen=True, slots=True)
class _Call:
    """A prompt that is asked k times, and the first that asked for it."""

    question: JudgeQuestion
    messages: tuple[tuple[str, str], ...]
    requests: tuple[SampleRequest, ...]


class JudgeClient:
    """A judge: a policy, a prompt, the form of its answers, and k samples of each."""

    def __init__(self, config: AskConfig, policy: str, template: str, services: Services) -> None:
        self._config, self._policy, self._services = config, policy, services
        self._renderer = services.renderer(policy)
        special = () if self._renderer is None else self._renderer.special_tokens
        self._prompt = Prompt(template, special)
        self._sampling = config.sampling_id(template)
        self.policy_id = services.identity(policy).policy_id

    def hear(self, asks: Sequence[JudgeQuestion], answers: Sequence[Form]) -> tuple[list[list[Heard]], pa.Table]:
        """Ask, read, and keep what was written.

        Args:
            answers: the form of each ask's answer.

        Returns:
            k samples of each ask, in order; and the artifacts, one a sampled completion.

        Raises:
            InfrastructureError: if some completions are still owed.
            InvariantBroken: if the engine answers another number of requests.
        """
        calls: dict[str, _Call] = {}
        about: dict[str, set[str]] = {}
        forms: dict[str, Form] = {}
        keys = []
        for question, answer in zip(asks, answers, strict=True):
            messages = (("user", utf8(self._prompt.fill(question.values, answer.instruction()))),)
            key = ids.content_id("x", question.problem_id, messages)
            if key not in calls:
                calls[key] = _Call(question, messages, self._requests(question.problem_id, key, messages))
            about.setdefault(key, set()).update(question.about)
            forms[key] = answer
            keys.append(key)
        wanted = [request for call in calls.values() for request in call.requests]
        given = iter(ask(wanted, self._policy, self._services))
        heard: dict[str, list[Heard]] = {}
        rows = []
        for key, call in calls.items():
            of_call = [next(given) for _ in call.requests]
            heard[key] = [_heard(result, forms[key]) for result in of_call]
            for index, (result, said) in enumerate(zip(of_call, heard[key], strict=True)):
                rows.append(self._artifact(call, sorted(about[key]), index, result, said))
        return [heard[key] for key in keys], ARTIFACTS.from_rows(rows)

    def _requests(self, problem: str, key: str, messages: tuple[tuple[str, str], ...]) -> tuple[SampleRequest, ...]:
        services = self._services
        tokens = None if self._renderer is None else tuple(self._renderer.render(messages))
        params = self._config.params()
        sample_ids = RolloutIds(self.policy_id, self._sampling, services.run_seed)
        return tuple(
            sample_ids.request(problem, services.round, key, index, messages, tokens, params)
            for index in range(self._config.k)
        )

    def _artifact(
        self, call: _Call, about: Sequence[str], index: int, result: SampleResult, said: Heard
    ) -> dict[str, Any]:
        text = utf8(result.text)
        details = {
            **call.question.details,
            "about": about,
            "index": index,
            "reading": said.reading.value,
            "problem": said.reading.problem,
        }
        return {
            "artifact_id": ids.artifact_id(KIND, text, call.question.problem_id, result.rollout_id),
            "problem_id": call.question.problem_id,
            "kind": KIND,
            "text": text,
            "source_rollout_id": call.question.about[0],
            "policy_id": self.policy_id,
            "sample_id": result.rollout_id,
            "sampling_id": self._sampling,
            "prompt": [{"role": role, "content": content} for role, content in call.messages],
            "finish_reason": result.finish_reason,
            "n_tokens": result.n_tokens,
            "details": utf8(ids.canonical(details)),
            "stage_id": self._services.stage_id,
        }


def _heard(result: SampleResult, answer: Form) -> Heard:
    cost = (result.elapsed_s, result.n_tokens or 0, result.rollout_id)
    if result.finish_reason in UNANSWERED:
        return Heard(ParsedJudgement(None, result.reason or "refused"), "judge_refused", *cost)
    if result.finish_reason == "length":
        return Heard(ParsedJudgement(None, "the judge ran into its token limit"), "parse_failure", *cost)
    reading = answer.read(result.text[result.answer_start or 0 :])  # a thought that was told apart is no judgement
    return Heard(reading, "parse_failure" if reading.value is None else None, *cost)


def judge_sampling(config: AskConfig, template: str) -> dict[str, Any]:
    """The row of the samplings table for what a judge writes."""
    return sampling_row(config.params(), template, CONDITION)
