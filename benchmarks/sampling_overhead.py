"""What does the whole path cost over the bare engine? And how much of a prompt is really computed?

    python benchmarks/sampling_overhead.py [--problems 240] [--repeats 5] [--only pinned unpinned continuations]

Three measurements, each in processes of its own:

- `pinned`: a run (sample, journal, verify, write, catalog) against vLLM's `LLM.generate` on the same requests, in
  interleaved repeats (bare, whole, bare, whole, ...) on two warm engines with the same arguments. The engine's
  processes have one core and all else has the others, in both arms alike.
- `unpinned`: the same without any pinning; vLLM binds its threads as it likes.
- `continuations`: prompt tokens that the engine was asked for and those that it found in its prefix cache, for first
  rollouts and for the continuations that value steps, by the size of the cache's blocks.

Prints one JSON line on stdout, the ratios first, and progress on stderr. `engine_busy` is the share of the wall time
in which the engine's worker computes (forward passes and sampling), by a clock in the worker itself.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from measuring import cpus, descendants, machine, pin, print_json, say

PHASES = ("pinned", "unpinned", "continuations")
BLOCK_SIZES = (None, 32)
"""Tokens of a block of the prefix cache: vLLM's own choice (128 on a CPU), and 32."""


def spec(given: argparse.Namespace, engine_args: Mapping[str, Any], *, steps: bool = False) -> str:
    """A pipeline that samples and verifies, and values steps where asked."""
    from engine_clock import EXTENSION

    policy = {"backend": "vllm", "model": given.model, "max_model_len": 1024, **json.loads(given.options)}
    policy["engine_args"] = {"worker_extension_cls": EXTENSION, **engine_args, **policy.get("engine_args", {})}
    stages: dict[str, Any] = {
        "problems": {"use": "source.demo", "limit": given.problems},
        "rollouts": {"use": "sample", "of": "problems", "n": given.n, "max_tokens": 256},
        "verdicts": {"use": "verify.math", "of": "rollouts"},
    }
    if steps:
        stages["steps"] = {
            "use": "label.monte_carlo", "of": "verdicts", "n": 8, "rollouts_per_problem": 2, "max_tokens": 256,
        }  # fmt: skip
    execution = {"partition_size": given.partition, "engines": 1, "cpu_workers": 1}
    return yaml.safe_dump({"name": "overhead", "policy": policy, "stages": stages, "execution": execution})


def load(text: str, folder: Path) -> Any:
    from synthflow.spec import load_pipeline

    path = folder / f"spec-{time.monotonic_ns()}.yaml"
    path.write_text(text)
    return load_pipeline(path)


def overhead(given: argparse.Namespace, folder: Path, *, pinned: bool) -> dict[str, Any]:
    """Interleaved repeats of both arms."""
    engine_core, others = cpus()
    if pinned:
        os.environ["VLLM_CPU_OMP_THREADS_BIND"] = str(engine_core)  # what vLLM's CPU build computes with
    from overhead_arms import Bare, Whole, requests_of

    from synthflow.execute.cluster import ClusterSize

    block = {} if given.block_size is None else {"block_size": given.block_size}
    pipeline = load(spec(given, block), folder)
    with Whole.opened(pipeline, folder, ClusterSize(cpu=1, engines=1, partitions=4)) as whole:
        whole.warm_up(folder / "warm-up")
        bare = Bare(pipeline)
        requests = requests_of(
            folder / "warm-up", next(n for n in pipeline.nodes if n.name == "rollouts").config.params()
        )
        if pinned:
            engines = {p.pid for p in (*bare.engine, *whole.engine)}
            for pid in (os.getpid(), *(p.pid for p in descendants(os.getpid()))):
                pin(pid, {engine_core} if pid in engines else others)
        bare.run(requests[: len(requests) // 4], whole)
        arms: dict[str, list[Any]] = {"bare": [], "whole": []}
        for repeat in range(given.repeats):
            arms["bare"].append(bare.run(requests, whole))
            arms["whole"].append(whole.run(folder / f"run-{repeat}", bare))
            b, w = arms["bare"][-1], arms["whole"][-1]
            say(f"repeat {repeat + 1}: bare {b.wall_s:.2f} s, whole {w.wall_s:.2f} s, ratio {w.wall_s / b.wall_s:.3f}")
        threads = {"bare": bare.clock()["threads"], "whole": whole.clock()["threads"]}
        bare.close()
        start = {"bare_engine": bare.start_s, "whole_engine": whole.start_s, "cluster": whole.cluster_s}
    return summarise(arms) | {"start_up_s": start, "engine_threads": threads}


def summarise(arms: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Ratios first, then every repeat."""
    ratios = [w.wall_s / b.wall_s for b, w in zip(arms["bare"], arms["whole"], strict=True)]
    result: dict[str, Any] = {
        "wall_ratio": statistics.median(ratios),
        "wall_ratios": ratios,
        "engine_busy": {name: statistics.median(t.busy_s / t.wall_s for t in arms[name]) for name in arms},
        "tokens_per_s": {name: statistics.median(t.tokens / t.wall_s for t in arms[name]) for name in arms},
        "rollouts_per_s": {name: statistics.median(t.requests / t.wall_s for t in arms[name]) for name in arms},
    }
    for name, timings in arms.items():
        rows = [{**asdict(t), **t.extra} for t in timings]
        result[name] = {key: [row[key] for row in rows] for key in rows[0] if key != "extra"}
    return result


def continuations(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Prompt tokens requested and reused, of first rollouts and of continuations."""
    from overhead_arms import Whole, engine_prefix_cache, read_rollouts

    from synthflow.execute.cluster import ClusterSize

    args: dict[str, Any] = {"disable_log_stats": False}
    if given.block_size is not None:
        args["block_size"] = given.block_size
    pipeline = load(spec(given, args), folder)
    result: dict[str, Any] = {}
    seen = {"requested": 0, "reused": 0}
    with Whole.opened(pipeline, folder, ClusterSize(cpu=1, engines=1, partitions=4)) as whole:
        for name, steps in (("first_rollouts", False), ("continuations", True)):
            whole.pipeline = load(spec(given, args, steps=steps), folder)
            started = time.monotonic()
            whole.once(folder / "run")
            elapsed = time.monotonic() - started
            now = whole.on_engine(engine_prefix_cache)
            asked, reused = (now[k] - seen[k] for k in ("requested", "reused"))
            seen = now
            result[name] = {"prefilled_share": 1 - reused / asked, "requested": asked, "prefilled": asked - reused}
            result[name]["wall_s"] = elapsed
        rows = read_rollouts(folder / "run", ["condition", "prompt_token_ids"])
        for name, condition in (("first_rollouts", "none"), ("continuations", "prefix")):
            lengths = [len(r["prompt_token_ids"]) for r in rows if r["condition"] == condition]
            result[name] |= {"requests": len(lengths), "mean_prompt_tokens": statistics.fmean(lengths)}
    return result


def in_process(arguments: argparse.Namespace) -> int:
    """One measurement, in this process; the result goes to a file."""
    if arguments.folder is not None:
        arguments.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="synthflow-overhead-", dir=arguments.folder) as folder:
        if arguments.phase == "continuations":
            result = continuations(arguments, Path(folder))
        else:
            result = overhead(arguments, Path(folder), pinned=arguments.phase == "pinned")
    arguments.result.write_text(json.dumps(result))
    return 0


def apart(phase: str, given: argparse.Namespace, block_size: int | None) -> dict[str, Any]:
    """One measurement, in a process of its own."""
    say(f"{phase}, blocks of {block_size or 'the default number of'} tokens")
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        own = ["--phase", phase, "--result", str(result)]
        own += [] if block_size is None else ["--block-size", str(block_size)]
        passed = ("problems", "n", "repeats", "partition", "model", "options", "folder")
        for name in passed:
            if getattr(given, name) is not None:
                own += [f"--{name}", str(getattr(given, name))]
        subprocess.run([sys.executable, __file__, *own], check=True, stdout=sys.stderr)
        return dict(json.loads(result.read_text()))


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The whole path against the bare engine.")
    parser.add_argument("--problems", type=int, default=240, help="problems of the demo world")
    parser.add_argument("--n", type=int, default=16, help="rollouts a problem")
    parser.add_argument("--repeats", type=int, default=5, help="repeats of each arm")
    parser.add_argument("--partition", type=int, default=60, help="problems in a partition")
    parser.add_argument("--model", default="demo", help="the policy's model")
    parser.add_argument("--options", default="{}", help="more options of the vllm backend, as JSON")
    parser.add_argument("--block-size", type=int, help="tokens of a block of the prefix cache")
    parser.add_argument("--only", nargs="+", choices=PHASES, default=PHASES, help="measure only these")
    parser.add_argument("--folder", type=Path, help="where run directories go (default: the temporary folder)")
    parser.add_argument("--phase", choices=PHASES, help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    given = parsed(arguments)
    if given.phase:
        return in_process(given)
    found: dict[str, Any] = {}
    for phase in given.only:
        if phase == "continuations":
            sizes = BLOCK_SIZES if given.block_size is None else (given.block_size,)
            found[phase] = {f"block_size_{s or 'default'}": apart(phase, given, s) for s in sizes}
        else:
            found[phase] = apart(phase, given, given.block_size)
    ratios = {f"{p}_wall_ratio": found[p]["wall_ratio"] for p in ("pinned", "unpinned") if p in found}
    shares = {
        f"prefilled_share_{size}": parts["continuations"]["prefilled_share"]
        for size, parts in found.get("continuations", {}).items()
    }
    workload = {k: getattr(given, k) for k in ("problems", "n", "repeats", "partition", "model", "block_size")}
    print_json({"benchmark": "sampling_overhead", **ratios, **shares, **workload, **found, "machine": machine()})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
