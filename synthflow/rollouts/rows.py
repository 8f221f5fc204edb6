"""Rows of the rollouts table from what was asked and what came back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pyarrow as pa

from synthflow.contracts import SampleRequest, SampleResult, SamplingParams
from synthflow.ids import canonical, sampling_id, text_hash
from synthflow.schema import ROLLOUTS
from synthflow.verifiers.answers.finding.thoughts import thoughts


@dataclass(frozen=True, slots=True)
class Drawn:
    """One asked-for rollout: its request and the columns that only the asking stage knows."""

    request: SampleRequest
    index: int
    prefix_id: str
    condition: str = "none"
    parent_rollout_id: str | None = None
    branch_step: int | None = None
    branch_token: int | None = None
    artifact_id: str | None = None
    train_prompt: Sequence[tuple[str, str]] | None = None
    turn: int = 0
    on_policy: bool = True


def sampling_row(params: SamplingParams, template: str, condition: str) -> dict[str, Any]:
    """The row of the samplings table for one way of sampling."""
    plain = params.model_dump(mode="json")
    return {
        "sampling_id": sampling_id(params.model_dump(), template, condition),
        "condition": condition,
        "template": template,
        **{name: plain[name] for name in ("temperature", "top_p", "top_k", "max_tokens")},
        "params": canonical(plain),
    }


def _messages(messages: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in messages]


def utf8(text: str) -> str:
    """Text that Arrow can hold: a lone surrogate, which hostile output may bring, becomes a question mark."""
    return text.encode("utf-8", "replace").decode()


def thought_and_answer(completion: str, result: SampleResult) -> list[dict[str, Any]] | None:
    """Thoughts and what is said between and after them, tiling the text; None where there is no thought."""
    told = result.answer_start
    ends = [end for span in ([(0, told)] if told is not None else thoughts(completion)) for end in span]
    if not ends:
        return None
    edges = [0, *ends, len(completion)]
    parts = ((("answer", "thought")[i % 2], start, end) for i, (start, end) in enumerate(pairwise(edges)))
    return [{"author": author, "start": start, "end": end} for author, start, end in parts if start < end]


def rollout_rows(
    drawn: Sequence[Drawn],
    results: Sequence[SampleResult],
    *,
    policy_id: str,
    round_: int,
    sampling: str,
    stage_id: str,
) -> pa.Table:
    """The rollouts table of a sampling stage, one row a request, in order."""
    rows: list[dict[str, Any]] = []
    for ask, result in zip(drawn, results, strict=True):
        request = ask.request
        completion = utf8(result.text)
        rows.append(
            {
                "rollout_id": request.rollout_id,
                "problem_id": request.problem_id,
                "policy_id": policy_id,
                "round": round_,
                "sampling_id": sampling,
                "prefix_id": ask.prefix_id,
                "index": ask.index,
                "seed": request.seed,
                "stage_id": stage_id,
                "parent_rollout_id": ask.parent_rollout_id,
                "branch_step": ask.branch_step,
                "branch_token": ask.branch_token,
                "condition": ask.condition,
                "artifact_id": ask.artifact_id,
                "turn": ask.turn,
                "prompt": _messages(request.messages),
                "train_prompt": None if ask.train_prompt is None else _messages(ask.train_prompt),
                "completion": completion,
                "completion_hash": text_hash(completion),
                "prompt_token_ids": request.prompt_token_ids,
                "token_ids": result.token_ids,
                "logprobs": result.logprobs,
                "sampling_logprobs": result.sampling_logprobs,
                "author_spans": thought_and_answer(completion, result),
                "finish_reason": result.finish_reason,
                "n_tokens": result.n_tokens,
                "on_policy": ask.on_policy,
            }
        )
    return ROLLOUTS.from_rows(rows)
