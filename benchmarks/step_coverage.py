"""Does the 95% interval of a step's value contain the value? Wilson's interval against many fresh continuations.

One step from each of many generated problems of a demo world: a rollout of the world's policy is sampled, and one of
its steps that are right by the reference checker, with all before it, is chosen at random (after a wrong one the value
is near 0 and tells little; the last step has a verdict and no interval). `max(N)` continuations of the prefix that
ends with it give the intervals, and others that none of them has seen the reference value. Neither choice knows a
continuation.

Every finished step is a line of the file that is given; a second run goes on where the first ended.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
from step_pool import MAX_TOKENS, MODELS
from support import say

from synthflow import ids
from synthflow.backends import load_renderer, open_backend
from synthflow.contracts import Backend, PolicyConfig, Question, SampleRequest, SampleResult, SamplingParams
from synthflow.demo import check_steps, generate_problems
from synthflow.labels.intervals import wilson
from synthflow.segment import segment, token_ranges
from synthflow.verifiers.math import MathVerifier

SIZES = (8, 16)
"""Continuations of an interval."""
INSIDE = (0.05, 0.95)
SEED = 512


def sampled(backend: Backend, requests: Sequence[SampleRequest]) -> list[SampleResult]:
    """Results in order, no more requests open than the engine wants."""
    results: list[SampleResult] = []
    waiting: list[Future[SampleResult]] = []
    for request in requests:
        if len(waiting) == backend.max_in_flight:
            results.append(waiting.pop(0).result())
        waiting.append(backend.submit(request))
    return results + [future.result() for future in waiting]


def choose_step(judgements: Sequence[Any], key: str) -> int | None:
    """A step, not the last, before which and with which nothing is wrong; None where there is none."""
    first = next((j.index for j in judgements if j.verdict == "wrong"), len(judgements))
    choices = range(min(first, len(judgements) - 1))
    return random.Random(key).choice(choices) if choices else None


class Steps:
    """Draws steps and their continuations from one policy."""

    def __init__(self, world: str, backend: Mapping[str, Any], reference: int) -> None:
        self.world, self.reference = world, reference
        options = {k: v for k, v in backend.items() if k != "backend"}
        policy = PolicyConfig(backend=backend["backend"], model=MODELS[world], options=options)
        self.backend, self.renderer = open_backend(policy), load_renderer(policy)
        self.policy_id = self.backend.identity().policy_id
        self.params = SamplingParams(max_tokens=MAX_TOKENS[world])
        self.sampling = ids.sampling_id(self.params.model_dump(), "coverage", "none")
        self.verifier = MathVerifier()
        self.backend.start()

    def close(self) -> None:
        self.backend.close()
        self.verifier.close()

    def request(self, problem: str, prompt: str, tokens: Sequence[int], prefix: str, index: int) -> SampleRequest:
        rollout = ids.rollout_id(problem, self.policy_id, 0, self.sampling, prefix, index, SEED)
        messages = (("user", prompt),)
        return SampleRequest(rollout, problem, messages, tuple(tokens), self.params, ids.rollout_seed(rollout))

    def measure(self, problem: Any) -> dict[str, Any]:
        """The line of one problem: counts of the intervals and of the reference, or why there are none."""
        name = ids.problem_id([{"role": "user", "content": problem.prompt}])
        line: dict[str, Any] = {"problem_id": name, "world": self.world, "n_ops": problem.n_ops}
        assert self.renderer is not None
        prompt = self.renderer.render([("user", problem.prompt)])
        (rollout,) = sampled(self.backend, [self.request(name, problem.prompt, prompt, ids.NO_PREFIX, 0)])
        assert rollout.token_ids is not None
        ends = self.renderer.token_ends(rollout.token_ids)
        spans = segment(rollout.text, "lines", 64, "even").spans
        judged = check_steps(problem.metadata, [rollout.text[s.start : s.end] for s in spans])
        step = choose_step(judged, name)
        if step is None or rollout.finish_reason != "stop":
            return line | {"left_out": "no_right_step" if step is None else rollout.finish_reason}
        prefix = rollout.token_ids[: token_ranges(spans, ends)[step].end]
        text = rollout.text[: ends[len(prefix) - 1]]
        key = ids.prefix_id(name, prefix)
        wanted = max(SIZES) + self.reference
        requests = [self.request(name, problem.prompt, (*prompt, *prefix), key, i) for i in range(wanted)]
        results = sampled(self.backend, requests)
        ended = [r for r in results if r.finish_reason == "stop"]
        answers = self.verifier.judge([Question(r.rollout_id, name, text + r.text, problem.answer) for r in ended])
        known = {r.rollout_id: a.verdict for r, a in zip(ended, answers, strict=True)}
        verdicts = [known.get(r.rollout_id, "unknown") for r in results]
        fresh = verdicts[max(SIZES) :]
        return line | {
            "step": step,
            "steps": len(spans),
            "tokens": sum(r.n_tokens for r in results),
            **{f"n{size}": _counts(verdicts[:size]) for size in SIZES},
            "reference": _counts(fresh),
        }


def _counts(verdicts: Sequence[str]) -> tuple[int, int]:
    return verdicts.count("correct"), len(verdicts) - verdicts.count("unknown")


def collect(
    file: Path, worlds: Sequence[str], steps: int, reference: int, backend: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Lines of `steps` steps of each world; those that the file has are not measured again."""
    done = _lines(file)
    found: list[dict[str, Any]] = []
    for world in worlds:
        source: Steps | None = None
        counted = 0
        for problem in generate_problems(4 * steps, seed=SEED, split="train", world=world):
            if counted == steps:
                break
            line = done.get((problem.prompt, reference))
            if line is None:
                source = source or Steps(world, backend, reference)
                line = source.measure(problem) | {"prompt": problem.prompt, "wanted": reference}
                with file.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(line) + "\n")
            counted += "left_out" not in line
            found.append(line)
            if counted % 20 == 0 and source is not None:
                say(f"coverage, {world}: {counted} of {steps} steps")
        if source is not None:
            source.close()
    return found


def _lines(file: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """What the file has by (prompt, size of the reference); a line that a kill cut short is left out."""
    found = {}
    for text in file.read_text("utf-8").splitlines() if file.exists() else []:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        found[line["prompt"], line["wanted"]] = line
    return found


def summarise(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Share of intervals that contain the reference value, inside and outside 0.05 to 0.95, with its own interval."""
    rows = [line for line in lines if "left_out" not in line]
    reference = np.array([line["reference"] for line in rows], np.float64).reshape(-1, 2)
    value = reference[:, 0] / np.maximum(reference[:, 1], 1)
    inside = (value >= INSIDE[0]) & (value <= INSIDE[1])
    result: dict[str, Any] = {
        "steps": len(rows),
        "left_out": len(lines) - len(rows),
        "reference_continuations": sorted({line["wanted"] for line in rows}),
        "tokens": sum(line["tokens"] for line in rows),
        "reference_values": dict(_histogram(value)),
    }
    for size in SIZES:
        counts = np.array([line[f"n{size}"] for line in rows], np.float64).reshape(-1, 2)
        low, high = wilson(counts[:, 0], counts[:, 1])
        covered = (low <= value) & (value <= high)
        for name, among in (("inside", inside), ("outside", ~inside)):
            n, k = int(among.sum()), int((covered & among).sum())
            own = [float(x) for x in wilson(k, n)] if n else [None, None]
            result[f"n{size}_{name}"] = {"coverage": k / n if n else None, "low": own[0], "high": own[1], "steps": n}
            expected = _expected(value[among], size)
            result[f"n{size}_{name}"]["expected"] = expected
    return result


def _expected(value: Any, size: int) -> float | None:
    """Coverage that Wilson's interval has by the binomial distribution, over these values: what should be found."""
    from math import comb

    if not len(value):
        return None
    k = np.arange(size + 1)
    low, high = wilson(k, size)
    chance = np.array([comb(size, int(i)) for i in k]) * value[:, None] ** k * (1 - value[:, None]) ** (size - k)
    return float((chance * ((low <= value[:, None]) & (value[:, None] <= high))).sum(axis=1).mean())


def _histogram(value: Any) -> Iterator[tuple[str, int]]:
    edges = (0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95)
    for low, high in zip(edges, (*edges[1:], 1.0), strict=True):
        yield f"{low}-{high}", int(((value >= low) & ((value < high) | (high == 1.0))).sum())
