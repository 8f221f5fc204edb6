"""Does memory depend on the size of the data? Peak memory of every process of a run, small and large.

    python benchmarks/memory.py [--rollouts 2000 20000] [--keep FOLDER]

For each size: makes problems of the demo world with their recorded rollouts (16 a problem, real schema, half of them
wrong), runs the quickstart's stages on the `replay` backend, and reads the high-water mark of resident memory that the
kernel keeps of the driver and of each Dask worker. What differs between sizes is the number of problems alone:
partitions, workers and partitions in flight are the same. An engine's worker is counted as another, `engine-0 lent`,
once there are releases, which it makes as the CPU workers do; the largest ratio leaves that out, for it is held against
the CPU worker. Prints one JSON line on stdout, the ratio of the largest size to the smallest first, and progress on
stderr.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from measuring import machine, peak_rss, print_json, prints_to, say

from synthflow import ids
from synthflow.backends.renderer import PolicyRenderer
from synthflow.demo import generate_problems, policy_path, reference_solutions
from synthflow.schema import ROLLOUTS
from synthflow.stages.sample.first import SampleConfig

N = 16
"""Rollouts a problem."""
PARTITION = 32
"""Problems in a partition: four partitions, what is in flight at once, hold 2,048 rollouts."""
CACHE_MB = 2
"""The replay backend's cache, which has a bound of its own: small enough that both sizes fill it."""
SAMPLE: dict[str, Any] = {"use": "sample", "of": "problems", "n": N, "max_tokens": 256}
CLI = Path(sys.executable).with_name("synthflow")
_POLL_S = 0.05
LENT = " lent"
"""What the name of an engine's worker ends in once nothing is sampled any more."""


def spec(folder: Path) -> dict[str, Any]:
    """The quickstart without step values, which would multiply the rollouts, over what `record` wrote."""
    return {
        "name": "memory",
        "policy": {"backend": "replay", "model": str(folder / "recording"), "tokenizer": "demo", "cache_mb": CACHE_MB},
        "stages": {
            "problems": {"use": "source.jsonl", "path": str(folder / "problems.jsonl")},
            "rollouts": SAMPLE,
            "verdicts": {"use": "verify.math", "of": "rollouts"},
            "length": {"use": "filter.length", "of": "verdicts", "min_tokens": 4},
            "repetition": {"use": "filter.repetition", "of": "length"},
            "copies": {"use": "filter.duplicates", "of": "repetition"},
            "difficulty": {"use": "curriculum.pass_rate", "of": "copies"},
            "pairs": {"use": "mine.pairs", "of": "difficulty", "level": "response"},
            "report": {"use": "measure.qdc", "of": ["copies", "pairs"]},
            "sft": {"use": "export.sft", "of": "copies", "max_per_problem": 4},
            "preference": {"use": "export.preference", "of": "pairs"},
            "rl": {"use": "export.rl", "of": "difficulty"},
        },
        "execution": {"partition_size": PARTITION, "engines": 1, "cpu_workers": 1, "partitions_in_flight": 4},
    }


def record(folder: Path, problems: int) -> None:
    """Write `problems.jsonl` and a recording of N rollouts for each, sorted by problem and cut as a run cuts them."""
    made = list(generate_problems(problems, seed=7, split="heldout"))
    with (folder / "problems.jsonl").open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(p.to_row()) + "\n" for p in made)
    asked = sorted((ids.problem_id([{"role": "user", "content": p.prompt}]), p) for p in made)
    (folder / "recording").mkdir()
    renderer = PolicyRenderer.load(policy_path())
    for first in range(0, len(asked), PARTITION):
        rows = [row for pid, p in asked[first : first + PARTITION] for row in _rollouts(pid, p, renderer)]
        pq.write_table(ROLLOUTS.from_rows(rows), folder / "recording" / f"part-{first:06d}.parquet")


def _rollouts(problem: str, made: Any, renderer: PolicyRenderer) -> Iterator[dict[str, Any]]:
    """N rollouts of one problem: its reference solutions in turn, the last number of every second one changed."""
    rng = np.random.default_rng(int(ids.digest(problem)[:8], 16))
    solutions = reference_solutions(made, 4, seed=0)
    prompt = renderer.render([("user", made.prompt)])
    policy, sampling = ids.policy_id("recorded", "demo", "demo"), SampleConfig.model_validate(SAMPLE).sampling_id()
    for index in range(N):
        text = "\n".join(solutions[index % len(solutions)])
        if index % 2:
            text = text.replace(f"\\boxed{{{made.answer}}}", f"\\boxed{{{int(made.answer) + 1 + index}}}")
        tokens = [*renderer.encode(text), min(renderer.stop_token_ids)]
        rollout = ids.rollout_id(problem, policy, 0, sampling, ids.NO_PREFIX, index, 0)
        yield {
            "rollout_id": rollout,
            "problem_id": problem,
            "policy_id": policy,
            "round": 0,
            "sampling_id": sampling,
            "prefix_id": ids.NO_PREFIX,
            "index": index,
            "seed": ids.rollout_seed(rollout),
            "stage_id": "e_recorded",
            "condition": "none",
            "turn": 0,
            "prompt": [{"role": "user", "content": made.prompt}],
            "completion": renderer.decode(tokens),
            "completion_hash": ids.text_hash(renderer.decode(tokens)),
            "prompt_token_ids": prompt,
            "token_ids": tokens,
            "logprobs": -rng.exponential(0.3, len(tokens)).astype(np.float32),
            "finish_reason": "stop",
            "n_tokens": len(tokens),
            "on_policy": True,
        }


def measure(path: Path, out: Path) -> tuple[dict[str, int], float]:
    """Run a spec; returns peak resident bytes by process (`driver`, and the workers by name), and seconds.

    Raises:
        SystemExit: if the run fails.
    """
    started = time.monotonic()
    process = subprocess.Popen([str(CLI), "run", str(path), "--out", str(out), "--quiet"], stderr=subprocess.PIPE)
    peaks: dict[str, int] = {}
    while process.poll() is None:
        for name, pid in _workers(process.pid, out / "logs"):
            if name.startswith("engine") and (out / "exports").exists():
                name += LENT
            peaks[name] = max(peaks.get(name, 0), peak_rss(pid) or 0)
        time.sleep(_POLL_S)
    if process.returncode:
        raise SystemExit(f"the run failed:\n{process.stderr.read().decode() if process.stderr else ''}")
    return peaks, time.monotonic() - started


def _workers(driver: int, logs: Path) -> Iterator[tuple[str, int]]:
    """(name, pid) of the driver and of each Dask worker, which prints to a log of its name; not of their children."""
    yield "driver", driver
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(driver).children():
            log = prints_to(child.pid)
            if log is not None and logs.resolve() in log.parents:
                yield log.stem, child.pid


def count(run: Path) -> int:
    """Rollouts of a run."""
    files = (run / "tables" / "rollouts").glob("*/*.parquet")
    return sum(pq.ParquetFile(f).metadata.num_rows for f in files)


def compare(folder: Path, sizes: Sequence[int]) -> dict[str, Any]:
    """Measure every size, smallest first."""
    peaks: dict[int, dict[str, int]] = {}
    seconds: dict[int, float] = {}
    for size in sorted(sizes):
        here = folder / str(size)
        here.mkdir(parents=True)
        record(here, -(-size // N))
        (here / "spec.yaml").write_text(json.dumps(spec(here)))  # JSON is YAML
        peaks[size], seconds[size] = measure(here / "spec.yaml", here / "run")
        rollouts = count(here / "run")
        say(f"{rollouts} rollouts in {seconds[size]:.0f} s: " + _megabytes(peaks[size]))
        if rollouts < size:
            raise SystemExit(f"{rollouts} rollouts were written, {size} wanted")
    small, large = peaks[min(peaks)], peaks[max(peaks)]
    ratios = {name: large[name] / small[name] for name in sorted(small)}
    return {
        "benchmark": "memory",
        "largest_ratio": max(ratio for name, ratio in ratios.items() if not name.endswith(LENT)),
        "ratios": ratios,
        "peak_mb": {size: {k: v / 2**20 for k, v in sorted(found.items())} for size, found in peaks.items()},
        "seconds": seconds,
        "rollouts_in_flight": 4 * PARTITION * N,
        "machine": machine(),
    }


def _megabytes(peaks: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {peak / 2**20:.0f} MB" for name, peak in sorted(peaks.items()))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Peak memory of a run by the size of its data.")
    parser.add_argument("--rollouts", type=int, nargs="+", default=[2000, 20000], help="sizes to compare")
    parser.add_argument("--keep", type=Path, help="keep problems, recordings and runs in this folder")
    given = parser.parse_args(arguments)
    pa.set_cpu_count(1)
    if given.keep:
        print_json(compare(given.keep, given.rollouts))
        return 0
    with tempfile.TemporaryDirectory(prefix="synthflow-memory-") as folder:
        print_json(compare(Path(folder), given.rollouts))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
