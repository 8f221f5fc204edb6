"""A small world whose step values are known exactly, and services that sample and judge in it.

A solution is four lines, `ok<digit>` or `bad<digit>`, then `= 1` or `= 0`. While no line is bad the next is bad with
probability `SLIP`; one bad line dooms the solution but for `LUCK`. So the value of a prefix with b lines, none bad, is
(1 - SLIP)^(4 - b) · 1 + (1 - (1 - SLIP)^(4 - b)) · LUCK, and of one with a bad line LUCK. Tokens are characters;
token `STOP` stops.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from support.stages import stage_info
from synthflow import ids
from synthflow.contracts import (
    Judgement,
    MemoryInputs,
    PolicyIdentity,
    Question,
    SampleRequest,
    SampleResult,
    StageInfo,
)
from synthflow.schema import PROBLEMS, ROLLOUTS, SCORES

SLIP, LUCK, LINES = 0.25, 0.1, 4
POLICY = "m_toy"
STOP = 1_200_000


class ToyRenderer:
    """Characters as tokens; `joined` are texts that are one token, to make tokens straddle steps."""

    stop_token_ids = frozenset({STOP})
    max_context = 10_000

    def __init__(self, joined: Sequence[str] = ()) -> None:
        self.joined = {text: 0x110000 + i for i, text in enumerate(joined)}
        self.texts = {token: text for text, token in self.joined.items()} | {STOP: ""}

    def encode(self, text: str) -> list[int]:
        tokens, at = [], 0
        while at < len(text):
            found = next((j for j in self.joined if text.startswith(j, at)), text[at])
            tokens.append(self.joined.get(found, ord(found[0])))
            at += len(found)
        return tokens

    def render(self, messages: Sequence[tuple[str, str]]) -> list[int]:
        return self.encode("".join(content for _, content in messages))

    def _text(self, token: int) -> str:
        return self.texts[token] if token in self.texts else chr(token)

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(map(self._text, tokens))

    def token_ends(self, tokens: Sequence[int]) -> list[int]:
        ends, at = [], 0
        for token in tokens:
            at += len(self._text(token))
            ends.append(at)
        return ends


def solution(prefix: str, seed: int) -> str:
    """What the policy writes after `prefix`."""
    rng = random.Random(seed)
    lines = prefix.count("\n")
    doomed = "bad" in prefix
    out = []
    for _ in range(lines, LINES):
        doomed_now = doomed or rng.random() < SLIP
        out.append(f"{'bad' if doomed_now and not doomed else 'ok'}{rng.randrange(3)}\n")
        doomed = doomed_now
    if "=" not in prefix:
        out.append(f"= {int(not doomed or rng.random() < LUCK)}")
    return "".join(out)


def true_value(prefix: str) -> float:
    if "bad" in prefix:
        return LUCK
    clean = (1 - SLIP) ** (LINES - prefix.count("\n"))
    return clean + (1 - clean) * LUCK


class ToyServices:
    """In-memory services: a journal, a sampler and an exact judge. `sampled` lists every request that was paid for."""

    stage_id, run_seed, attempt, round = "h_toy", 7, 1, 0

    def __init__(self, renderer: ToyRenderer | None = None, refuse: Any = None) -> None:
        self.toy = renderer if renderer is not None else ToyRenderer()
        self.refuse = refuse if refuse is not None else (lambda request: False)
        self.sampled: list[SampleRequest] = []
        self.asked: list[Question] = []
        self.counts: dict[str, float] = {}

    def renderer(self, policy: str) -> Any:
        return self.toy

    def identity(self, policy: str) -> PolicyIdentity:
        return PolicyIdentity(POLICY, "w", "t", "c")

    def sample(self, requests: Sequence[SampleRequest], policy: str) -> list[SampleResult]:
        self.sampled.extend(requests)
        return [self._one(r) for r in requests]

    def _one(self, request: SampleRequest) -> SampleResult:
        if self.refuse(request):
            return SampleResult(request.rollout_id, "", "refused", reason="too long")
        assert request.prompt_token_ids is not None
        written = self.toy.decode(request.prompt_token_ids).split("Q", 1)[1].split(">", 1)[1]
        text = solution(written, request.seed)
        tokens = self.toy.encode(text)[: request.params.max_tokens]
        done = len(tokens) < request.params.max_tokens
        return SampleResult(
            request.rollout_id,
            self.toy.decode(tokens),
            "stop" if done else "length",
            (*tokens, STOP) if done else tuple(tokens),
            tuple(-0.5 for _ in range(len(tokens) + done)),
            None,
            len(tokens) + done,
            len(request.prompt_token_ids),
        )

    def judge(
        self, verifier: str, config: Mapping[str, Any], questions: Sequence[Question]
    ) -> tuple[list[Judgement], str, str]:
        assert verifier == "exact"
        assert not {"use", "of", "truncated"} & set(config)
        self.asked.extend(questions)
        return [verdict(q.completion) for q in questions], "1+toy", ids.content_id("c", verifier, dict(config))

    def count(self, **counts: float) -> None:
        for name, amount in counts.items():
            self.counts[name] = self.counts.get(name, 0) + amount


def verdict(completion: str) -> Judgement:
    if completion.endswith("= 1"):
        return Judgement("correct", 1.0)
    return Judgement("wrong", 0.0) if completion.endswith("= 0") else Judgement.unknown("parse_failure")


def problem_row(name: str) -> dict[str, Any]:
    prompt = [{"role": "user", "content": f"Q{name}>"}]
    return {
        "problem_id": ids.problem_id(prompt),
        "prompt": prompt,
        "answer": "1",
        "source": "toy",
        "metadata": "{}",
        "content_hash": "k",
    }


def rollout_row(problem: Mapping[str, Any], index: int, text: str, **changed: Any) -> dict[str, Any]:
    renderer = changed.pop("renderer", None) or ToyRenderer()
    policy, sampling = changed.get("policy_id", POLICY), changed.get("sampling_id", "g_first")
    rollout = ids.rollout_id(problem["problem_id"], policy, 0, sampling, ids.NO_PREFIX, index, 7)
    tokens = [*renderer.encode(text), STOP]
    row = {
        "rollout_id": rollout,
        "problem_id": problem["problem_id"],
        "policy_id": policy,
        "round": 0,
        "sampling_id": sampling,
        "prefix_id": ids.NO_PREFIX,
        "index": index,
        "seed": ids.rollout_seed(rollout),
        "stage_id": "h_sample",
        "condition": "none",
        "turn": 0,
        "prompt": problem["prompt"],
        "completion": text,
        "completion_hash": ids.text_hash(text),
        "prompt_token_ids": renderer.encode(problem["prompt"][0]["content"]),
        "token_ids": tokens,
        "finish_reason": "stop",
        "n_tokens": len(tokens),
        "on_policy": True,
    }
    return row | changed


def score_row(rollout: Mapping[str, Any], verdict_: str, **changed: Any) -> dict[str, Any]:
    return {
        "problem_id": rollout["problem_id"],
        "target_kind": "rollout",
        "target_id": rollout["rollout_id"],
        "kind": "verdict",
        "scorer": "exact",
        "scorer_version": "1",
        "config_hash": "c",
        "verdict": verdict_,
        "value": {"correct": 1.0, "wrong": 0.0, "unknown": None}[verdict_],
        "reason": "parse_failure" if verdict_ == "unknown" else None,
        "stage_id": "h_verify",
    } | changed


VERIFY = stage_info(
    "verdicts", "verify.exact", ("scores",), ("rollouts",), {"use": "verify.exact", "of": ["rollouts"], "strict": True}
)
ANCESTORS = (
    stage_info("problems", "source.demo", ("problems",)),
    stage_info("rollouts", "sample", ("rollouts",), ("problems",)),
    VERIFY,
)


def inputs_of(
    problems: Sequence[Mapping[str, Any]],
    rollouts: Sequence[Mapping[str, Any]],
    scores: Sequence[Mapping[str, Any]],
    filters: Sequence[Mapping[str, Any]] = (),
    verify: StageInfo = VERIFY,
) -> MemoryInputs:
    """Inputs of a stage that reads `keep`, a filter that reads `verdicts`."""
    return MemoryInputs(
        [*ANCESTORS[:2], verify, stage_info("keep", "filter.toy", ("scores",), ("verdicts",))],
        ["keep"],
        {
            "problems": {"problems": PROBLEMS.from_rows(problems)},
            "rollouts": {"rollouts": ROLLOUTS.from_rows(rollouts)},
            "verdicts": {"scores": SCORES.from_rows(scores)},
            "keep": {"scores": SCORES.from_rows(filters)},
        },
    )


def world(n_problems: int, n: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Problems with n sampled rollouts each, and their verdicts."""
    problems = [problem_row(str(p)) for p in range(n_problems)]
    rollouts, scores = [], []
    for problem in problems:
        for index in range(n):
            row = rollout_row(problem, index, "")
            row = rollout_row(problem, index, solution("", row["seed"]))
            rollouts.append(row)
            scores.append(score_row(row, verdict(row["completion"]).verdict))
    return problems, rollouts, scores


def rows(tables: Mapping[str, pa.Table], name: str) -> list[dict[str, Any]]:
    return tables[name].to_pylist() if name in tables else []
