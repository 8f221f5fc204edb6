"""Rows of the rollouts table from what was asked and what came back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import pyarrow as pa

from synthflow.contracts import SampleRequest, SampleResult, SamplingParams
from synthflow.errors import InvariantBroken
from synthflow.ids import canonical, sampling_id, text_hash
from synthflow.schema import ROLLOUTS
from synthflow.schema.types import I32S, MESSAGES
from synthflow.stores.results import Results
from synthflow.verifiers.answers.finding.thoughts import thoughts

_AT_ONCE = 512
"""Rows that are made at once: decoded, a result takes several times the room that it takes in its columns."""


@dataclass(slots=True)
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


def thought_and_answer(completion: str, answer_start: int | None) -> list[dict[str, Any]] | None:
    """Thoughts and what is said between and after them, tiling the text; None where there is no thought.

    Args:
        answer_start: where the answer begins, if the policy's thought was told apart from it.
    """
    ends = [end for span in ([(0, answer_start)] if answer_start is not None else thoughts(completion)) for end in span]
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
    """The rollouts table of a sampling stage, one row a request, in order.

    Raises:
        InvariantBroken: if there are more requests than results, or fewer.
    """
    if len(drawn) != len(results):
        raise InvariantBroken(f"{len(drawn)} rollouts were drawn, {len(results)} results came back")
    made = partial(_rows, policy_id=policy_id, round_=round_, sampling=sampling, stage_id=stage_id)
    parts = [slice(at, at + _AT_ONCE) for at in range(0, len(drawn), _AT_ONCE)]
    return pa.concat_tables([ROLLOUTS.empty(), *(made(drawn[part], Results.of(results[part])) for part in parts)])


def _rows(
    drawn: Sequence[Drawn], results: Results, *, policy_id: str, round_: int, sampling: str, stage_id: str
) -> pa.Table:
    rows = [(ask, ask.request) for ask in drawn]
    got = results.columns()
    texts = [utf8(text) for text in got.texts]
    return ROLLOUTS.from_columns(
        len(rows),
        {
            "rollout_id": [request.rollout_id for _, request in rows],
            "problem_id": [request.problem_id for _, request in rows],
            "policy_id": policy_id,
            "round": round_,
            "sampling_id": sampling,
            "prefix_id": [ask.prefix_id for ask, _ in rows],
            "index": [ask.index for ask, _ in rows],
            "seed": [request.seed for _, request in rows],
            "stage_id": stage_id,
            "parent_rollout_id": [ask.parent_rollout_id for ask, _ in rows],
            "branch_step": [ask.branch_step for ask, _ in rows],
            "branch_token": [ask.branch_token for ask, _ in rows],
            "condition": [ask.condition for ask, _ in rows],
            "artifact_id": [ask.artifact_id for ask, _ in rows],
            "turn": [ask.turn for ask, _ in rows],
            "prompt": _once([request.messages for _, request in rows], _messages, MESSAGES),
            "train_prompt": _once([ask.train_prompt for ask, _ in rows], _messages, MESSAGES),
            "completion": texts,
            "completion_hash": [text_hash(text) for text in texts],
            "prompt_token_ids": _once([request.prompt_token_ids for _, request in rows], None, I32S),
            "token_ids": got.token_ids,
            "logprobs": got.logprobs,
            "sampling_logprobs": got.sampling_logprobs,
            "author_spans": [thought_and_answer(*one) for one in zip(texts, got.answer_starts, strict=True)],
            "finish_reason": got.finish_reasons,
            "n_tokens": got.n_tokens,
            "on_policy": [ask.on_policy for ask, _ in rows],
        },
    )


def _once(values: Sequence[Any], made: Callable[[Any], Any] | None, as_type: pa.DataType) -> pa.Array[Any]:
    """A column in which rows share objects, such as the prompt of a problem: each object is converted once."""
    place: dict[int, int] = {}
    chosen = [place.setdefault(id(value), len(place)) for value in values]
    different = list({id(value): value for value in values}.values())
    plain = [value if value is None or made is None else made(value) for value in different]
    return pa.array(plain, as_type).take(pa.array(chosen, pa.int32()))
