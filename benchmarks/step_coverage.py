"""Does the 95% interval of a step's value contain the value? Wilson's interval against many fresh continuations.

One step from each of many generated problems of a demo world: a rollout of the world's policy is sampled, and one of
its steps that are right by the reference checker, with all before it, is chosen at random (after a wrong one the value
is near 0 and tells little; the last step has a verdict and no interval). `max(N)` continuations of the prefix that
ends with it give the intervals, and others that none of them has seen the reference value. Neither choice knows a
continuation.

Most steps of these worlds have a value near 0 or 1, which says little of intervals and costs as much as any. So other
continuations come first, which go into neither count: where all of the `SCREEN` agree, the step is measured only if
its turn is the `ONE_IN`-th. What is measured then depends on the step's value, never on the continuations measured.

Every finished step is a line of the file that is given; a second run goes on where the first ended.
"""

from __future__ import annotations

import json
import random
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from measuring import say
from step_pool import MAX_TOKENS, MODELS

from synthflow import ids
from synthflow.backends import load_renderer, open_backend
from synthflow.contracts import Backend, PolicyConfig, Question, SampleRequest, SampleResult, SamplingParams
from synthflow.demo import check_steps, generate_problems
from synthflow.segment import segment, token_ranges
from synthflow.statistics.intervals import wilson
from synthflow.verifiers.math import MathVerifier

SIZES = (8, 16)
"""Continuations of an interval."""
SCREEN = 32
"""Continuations that only decide whether a step is measured."""
ONE_IN = 8
INSIDE = (0.05, 0.95)
SEED = 512
AT_ONCE = 4
"""Problems that are measured at once, so that the engine's batch does not drain at the end of each."""


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
        self.verifier, self.judging = MathVerifier(), Lock()
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
        line |= {"step": step, "steps": len(spans), "tokens": 0}

        def draw(first: int, n: int) -> list[str]:
            asked = [self.request(name, problem.prompt, (*prompt, *prefix), key, first + i) for i in range(n)]
            results = sampled(self.backend, asked)
            line["tokens"] += sum(r.n_tokens for r in results)
            return self.verdicts(results, text, problem)

        right, judged = line["screen"] = _counts(draw(0, SCREEN))
        if right in (0, judged) and random.Random(key).randrange(ONE_IN):
            return line | {"left_out": "screened"}
        verdicts = draw(SCREEN, max(SIZES) + self.reference)
        counts = {f"n{size}": _counts(verdicts[:size]) for size in SIZES}
        return line | counts | {"reference": _counts(verdicts[max(SIZES) :])}

    def verdicts(self, results: Sequence[SampleResult], text: str, problem: Any) -> list[str]:
        """Of continuations of `text`; one that did not end has none."""
        ended = [r for r in results if r.finish_reason == "stop"]
        questions = [Question(r.rollout_id, "", text + r.text, problem.answer) for r in ended]
        with self.judging:
            answers = self.verifier.judge(questions)
        known = {r.rollout_id: a.verdict for r, a in zip(ended, answers, strict=True)}
        return [known.get(r.rollout_id, "unknown") for r in results]


def _counts(verdicts: Sequence[str]) -> tuple[int, int]:
    return verdicts.count("correct"), len(verdicts) - verdicts.count("unknown")


def collect(
    file: Path, worlds: Sequence[str], steps: int, reference: int, backend: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Lines of `steps` steps of each world; those that the file has are not measured again."""
    done = _lines(file)
    found: list[dict[str, Any]] = []
    for world in worlds:
        counted = 0
        for line in _measured(world, steps, reference, backend, done, file):
            found.append(line)
            if "left_out" in line:
                continue
            counted += 1
            if counted % 20 == 0:
                say(f"coverage, {world}: {counted} of {steps} steps")
    return found


def _measured(
    world: str, steps: int, reference: int, backend: Mapping[str, Any], done: Mapping[Any, Any], file: Path
) -> Iterator[dict[str, Any]]:
    """Lines of problem after problem until `steps` of them are steps; no more are begun than may be wanted."""
    problems = iter(generate_problems(4 * steps, seed=SEED, split="train", world=world))
    source: Steps | None = None
    waiting: deque[tuple[str, Future[dict[str, Any]] | dict[str, Any]]] = deque()
    counted = 0
    with ThreadPoolExecutor(AT_ONCE) as threads:
        while counted < steps:
            while len(waiting) < min(2 * AT_ONCE, steps - counted) and (problem := next(problems, None)):
                line = done.get((problem.prompt, reference))
                if line is None:
                    source = source or Steps(world, backend, reference)
                waiting.append((problem.prompt, line or threads.submit(source.measure, problem)))
            if not waiting:
                break
            prompt, head = waiting.popleft()
            if isinstance(head, Future):
                head = head.result() | {"prompt": prompt, "wanted": reference}
                with file.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(head) + "\n")
            counted += "left_out" not in head
            yield head
    if source is not None:
        source.close()


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
    whole = [line for line in rows if line["screen"][0] in (0, line["screen"][1])]
    left_out = Counter(str(line["left_out"]) for line in lines if "left_out" in line)
    reference = np.array([line["reference"] for line in rows], np.float64).reshape(-1, 2)
    value = reference[:, 0] / np.maximum(reference[:, 1], 1)
    inside = (value >= INSIDE[0]) & (value <= INSIDE[1])
    result: dict[str, Any] = {
        "steps": len(rows),
        "steps_of_world": dict(Counter(str(line["world"]) for line in rows)),
        "left_out": dict(left_out),
        "of_one_mind_in_the_screen": {"measured": len(whole), "left_out": left_out["screened"]},
        "reference_continuations": sorted({line["wanted"] for line in rows}),
        "tokens": sum(line.get("tokens", 0) for line in lines),
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
