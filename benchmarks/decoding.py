"""How fast does the transformers backend sample, beside another build, and does it draw the same?

    python benchmarks/decoding.py --other PATH/TO/python [--model demo] [--problems 24] [--repeats 3]

One engine on one thread, in a process of its own for every repeat, the builds in turns. Two jobs: `rollouts` (n of each
problem of the demo world) and `continuations` (as many, of prefixes of the first rollouts, as the labeling of steps
asks for).
CPU seconds are those of the engine's process from the first request to the last result; starting is apart. Prints one
JSON line on stdout, ratios of medians (this build to the other) first: `tokens_per_cpu_s`, `tokens_per_s`, `peak_mb`;
`same_tokens` is the share of rollouts whose tokens are the same in both builds, `logprob_difference_millionths` the
largest between such.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measuring import machine, peak_rss, print_json, say

JOBS = ("rollouts", "continuations")
SPEEDS = ("tokens_per_cpu_s", "tokens_per_s")
_ENVIRONMENT = {
    **os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "MALLOC_TRIM_THRESHOLD_": "65536",
}  # fmt: skip
"""What a Dask worker starts with."""
PREFIX_TOKENS = 16
"""Tokens from one prefix of a rollout to the next."""


def requests_of(given: argparse.Namespace) -> list[Any]:
    from synthflow.contracts import SampleRequest, SamplingParams
    from synthflow.demo import generate_problems

    params = SamplingParams(temperature=1.0, max_tokens=given.max_tokens)
    return [
        SampleRequest(f"r{p}.{i}", f"p{p}", (("user", problem.prompt),), None, params, 1000 * p + i)
        for p, problem in enumerate(generate_problems(given.problems, seed=7, split="heldout"))
        for i in range(given.n)
    ]


def continuations_of(
    given: argparse.Namespace, backend: Any, requests: Sequence[Any], results: Sequence[Any]
) -> list[Any]:
    """Requests for n // 2 continuations of every prefix, as many requests as there were first rollouts."""
    from dataclasses import replace

    found: list[Any] = []
    pairs = list(zip(requests, results, strict=True))
    for request, result in random.Random(0).sample(pairs, len(pairs)):
        prompt = tuple(backend._renderer.render(request.messages))
        for cut in range(PREFIX_TOKENS, len(result.token_ids), PREFIX_TOKENS):
            for _ in range(given.n // 2):
                tokens = (*prompt, *result.token_ids[:cut])
                found.append(replace(request, rollout_id=f"c{len(found)}", prompt_token_ids=tokens, seed=len(found)))
        if len(found) >= len(requests):
            break
    return found[: len(requests)]


def timed(backend: Any, requests: Sequence[Any]) -> tuple[dict[str, float], list[Any]]:
    wall, cpu, kernel = time.monotonic(), time.process_time(), os.times().system
    results = [f.result() for f in backend.submit_many(requests)]
    wall, cpu, kernel = time.monotonic() - wall, time.process_time() - cpu, os.times().system - kernel
    tokens = sum(r.n_tokens for r in results)
    return {
        "tokens": tokens,
        "cpu_s": cpu,
        "kernel_s": kernel,
        "tokens_per_cpu_s": tokens / cpu,
        "tokens_per_s": tokens / wall,
    }, results


def arm(given: argparse.Namespace) -> int:
    """One build's measurement, in this process."""
    from synthflow.backends import open_backend
    from synthflow.contracts import PolicyConfig

    started = time.process_time()
    backend = open_backend(PolicyConfig(backend="transformers", model=given.model, options=json.loads(given.options)))
    backend.start()
    found: dict[str, Any] = {"start_cpu_s": time.process_time() - started}
    requests = requests_of(given)
    timed(backend, requests[: given.n])  # what every engine does once
    found["rollouts"], results = timed(backend, requests)
    kept = {q.rollout_id: (r.token_ids, r.logprobs) for q, r in zip(requests, results, strict=True)}
    more = continuations_of(given, backend, requests, results)
    found["continuations"], results = timed(backend, more)
    kept |= {q.rollout_id: (r.token_ids, r.logprobs) for q, r in zip(more, results, strict=True)}
    backend.close()
    found["peak_mb"] = (peak_rss(os.getpid()) or 0) / 2**20
    given.result.write_text(json.dumps({"found": found, "kept": kept}))
    return 0


def in_turns(given: argparse.Namespace, root: Path) -> dict[str, list[dict[str, Any]]]:
    builds = {"this": Path(sys.executable), "other": given.other}
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in builds}
    passed = [
        f"--{name.replace('_', '-')}={getattr(given, name)}"
        for name in ("model", "options", "problems", "n", "max_tokens")
    ]
    for turn in range(given.repeats):
        for name in sorted(builds, reverse=turn % 2 == 0):
            result = root / "result.json"
            command = [str(builds[name]), __file__, f"--result={result}", *passed]
            subprocess.run(command, check=True, stdout=sys.stderr, env=_ENVIRONMENT)
            runs[name].append(json.loads(result.read_text()))
            speeds = (f"{job} {runs[name][-1]['found'][job]['tokens_per_cpu_s']:.0f}" for job in JOBS)
            say(f"{turn + 1}/{given.repeats} {name}: tokens a CPU second: {', '.join(speeds)}")
    return runs


def compared(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    found = {name: [r["found"] for r in of] for name, of in runs.items()}
    middle = {
        name: {job: {s: statistics.median(f[job][s] for f in of) for s in SPEEDS} for job in JOBS}
        | {"peak_mb": statistics.median(f["peak_mb"] for f in of)}
        for name, of in found.items()
    }
    mine, theirs = (runs[name][0]["kept"] for name in ("this", "other"))
    same = [r for r in mine if mine[r][0] == theirs[r][0]]
    return {
        "benchmark": "decoding",
        "ratios": {job: {s: middle["this"][job][s] / middle["other"][job][s] for s in SPEEDS} for job in JOBS}
        | {"peak_mb": middle["this"]["peak_mb"] / middle["other"]["peak_mb"]},
        "same_tokens": len(same) / len(mine),
        "logprob_difference_millionths": 1e6
        * max(abs(a - b) for r in same for a, b in zip(mine[r][1], theirs[r][1], strict=True)),
        "medians": middle,
        "runs": found,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Tokens a second of the transformers backend, beside another build.")
    parser.add_argument("--other", type=Path, help="the Python of the other build's environment")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--options", default='{"device": "cpu"}', help="options of the backend, as JSON")
    parser.add_argument("--problems", type=int, default=24)
    parser.add_argument("--n", type=int, default=16, help="rollouts a problem")
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.result is not None:
        return arm(given)
    if given.other is None:
        parser.error("--other: the Python of another build")
    given.other = given.other.absolute()
    with tempfile.TemporaryDirectory(prefix="synthflow-decoding-") as folder:
        print_json({**compared(in_turns(given, Path(folder))), "machine": machine()})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
