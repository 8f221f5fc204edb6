"""The two arms of `sampling_overhead`: bare vLLM, and the whole path of a run. Both keep their engine warm.

Invariants: both arms send the same prompt tokens with the same sampling parameters and seeds, in the same order, to
engines with the same arguments; before every repeat the engine's prefix cache is emptied; the clock runs from the
first call to the last result in hand (bare) or on disk, verified and catalogued (whole).
"""

from __future__ import annotations

import gc
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pyarrow.dataset as ds
from measuring import cpu_seconds, descendants

from synthflow.backends import load_renderer, open_backend
from synthflow.backends.admission import Admitted
from synthflow.backends.vllm.backend import VllmBackend, _parameters, _quiet
from synthflow.contracts import SampleRequest, SamplingParams
from synthflow.execute.cluster import ClusterSize, connected
from synthflow.execute.run import run_pipeline
from synthflow.stores.journal import decode

if TYPE_CHECKING:
    from distributed import Client

    from synthflow.spec.pipeline import Pipeline


@dataclass
class Timing:
    """One repeat of one arm. Seconds; `busy_s` is what the engine's worker computed, in `engine_steps` steps."""

    wall_s: float
    busy_s: float
    engine_steps: float
    engine_cpu_s: float
    other_cpu_s: float
    idle_engine_cpu_s: float
    tokens: int
    requests: int
    extra: dict[str, float] = field(default_factory=dict)


class Arm(ABC):
    """What both arms have: their engine's processes, and the clock of its worker."""

    def __init__(self) -> None:
        self.engine: list[psutil.Process] = []
        self.start_s = 0.0

    @abstractmethod
    def clock(self) -> Mapping[str, float]:
        """Seconds that the engine's worker was busy, among other readings."""

    @abstractmethod
    def reset(self) -> None:
        """Empty the prefix cache."""

    def timed(self, other: Arm | None, work: Callable[[], tuple[int, int, dict[str, float]]]) -> Timing:
        """Run one repeat; `work` returns tokens, requests, and what else it measured."""
        self.reset()
        gc.collect()
        idle = other.engine if other is not None else []
        before, engine, rest, waiting = self.clock(), cpu_seconds(self.engine), self._rest(other), cpu_seconds(idle)
        started = time.monotonic()
        tokens, requests, extra = work()
        wall = time.monotonic() - started
        after = self.clock()
        return Timing(
            wall_s=wall,
            busy_s=after["busy_s"] - before["busy_s"],
            engine_steps=(after["calls"] - before["calls"]) / 2,  # a step is two calls: execute_model, sample_tokens
            engine_cpu_s=cpu_seconds(self.engine) - engine,
            other_cpu_s=self._rest(other) - rest,
            idle_engine_cpu_s=cpu_seconds(idle) - waiting,
            tokens=tokens,
            requests=requests,
            extra=extra,
        )

    def _rest(self, other: Arm | None) -> float:
        engines = {p.pid for p in (*self.engine, *(other.engine if other is not None else []))}
        here = [psutil.Process(), *descendants(os.getpid())]
        return cpu_seconds(p for p in here if p.pid not in engines)


class Bare(Arm):
    """vLLM's `LLM.generate` with the arguments that Synthflow's backend gives its engine."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__()
        policy = pipeline.policies["default"]
        backend = open_backend(policy)
        assert isinstance(backend, VllmBackend)
        _quiet(backend.options.verbose)
        from vllm import LLM

        before = {p.pid for p in descendants(os.getpid())}
        started = time.monotonic()
        self.llm = LLM(**backend._engine_arguments())
        self.start_s = time.monotonic() - started
        self.engine = [p for p in descendants(os.getpid()) if p.pid not in before]
        self.llm.collective_rpc("clock_start")
        renderer = load_renderer(policy)
        assert renderer is not None
        self._stops = sorted(renderer.stop_token_ids)
        self._context = self.llm.llm_engine.vllm_config.model_config.max_model_len

    def clock(self) -> Mapping[str, float]:
        return dict(self.llm.collective_rpc("clock_read")[0])

    def reset(self) -> None:
        self.llm.reset_prefix_cache()

    def close(self) -> None:
        """Stop the engine."""
        self.llm.llm_engine.engine_core.shutdown()

    def run(self, requests: Sequence[SampleRequest], other: Arm | None) -> Timing:
        """Generate once, all requests in one call."""
        from vllm import TokensPrompt

        prompts = [TokensPrompt(prompt_token_ids=list(r.prompt_token_ids or ())) for r in requests]
        params = [_parameters(self._admitted(r), self._stops) for r in requests]

        def generate() -> tuple[int, int, dict[str, float]]:
            outputs = self.llm.generate(prompts, params, use_tqdm=False)
            return sum(len(o.outputs[0].token_ids) for o in outputs), len(outputs), {}

        return self.timed(other, generate)

    def _admitted(self, request: SampleRequest) -> Admitted:
        prompt = request.prompt_token_ids or ()
        return Admitted(request, prompt, min(request.params.max_tokens, self._context - len(prompt)))


class Whole(Arm):
    """The whole path: a run of the pipeline on a Dask cluster whose workers, and engine, live through all repeats."""

    def __init__(self, pipeline: Pipeline, client: Client, cluster_s: float) -> None:
        super().__init__()
        self.pipeline, self.client, self.cluster_s = pipeline, client, cluster_s
        workers = client.scheduler_info(n_workers=-1)["workers"]
        [self.worker] = [a for a, w in workers.items() if "synthflow_engine" in w["resources"]]

    @classmethod
    @contextmanager
    def opened(cls, pipeline: Pipeline, folder: Path, size: ClusterSize) -> Iterator[Whole]:
        """A local cluster such as a run starts for itself."""
        started = time.monotonic()
        with connected(size, None, folder) as client:
            client.wait_for_workers(size.cpu + size.engines)
            yield cls(pipeline, client, time.monotonic() - started)

    def on_engine(self, work: Callable[[], Any]) -> Any:
        """Run a function in the engine's worker process."""
        return self.client.run(work, workers=[self.worker])[self.worker]

    def warm_up(self, out: Path) -> None:
        """Run once, which starts the engine and the verifiers."""
        self.once(out)
        self.start_s = self.on_engine(engine_start_s)
        self.engine = descendants(self.on_engine(os.getpid))
        self.on_engine(engine_clock_start)

    def clock(self) -> Mapping[str, float]:
        return dict(self.on_engine(engine_clock_read))

    def reset(self) -> None:
        self.on_engine(engine_reset)

    def once(self, out: Path) -> None:
        run_pipeline(self.pipeline, out, scheduler=self.client.scheduler.address)

    def run(self, out: Path, other: Arm | None) -> Timing:
        """A fresh run directory, from nothing to the catalog."""

        def whole() -> tuple[int, int, dict[str, float]]:
            started = time.time()
            self.once(out)
            ended = time.time()
            first, last = sampled_between(out)
            return 0, 0, {"head_s": first - started, "sampling_s": last - first, "tail_s": ended - last}

        timing = self.timed(other, whole)
        rows = read_rollouts(out, ["n_tokens"])
        timing.requests, timing.tokens = len(rows), sum(r["n_tokens"] for r in rows)
        return timing


def _engine_host() -> Any:
    from synthflow.execute import engines

    [host] = engines._hosts.values()
    return host


def engine_start_s() -> float:
    return float(_engine_host().start_s)


def _ask(method: str, *args: Any) -> Any:
    backend = _engine_host().backend
    return backend._loop.call(getattr(backend._engine, method)(*args))


def engine_clock_start() -> None:
    _ask("collective_rpc", "clock_start")


def engine_clock_read() -> dict[str, float]:
    return dict(_ask("collective_rpc", "clock_read")[0])


def engine_reset() -> None:
    _ask("reset_prefix_cache")


def engine_prefix_cache() -> dict[str, int]:
    """Prompt tokens asked for and found in the cache so far, from vLLM's own counters."""
    from vllm.v1.metrics.reader import Counter, get_metrics_snapshot

    names = {"vllm:prefix_cache_queries": "requested", "vllm:prefix_cache_hits": "reused"}
    totals = dict.fromkeys(names.values(), 0)
    for metric in get_metrics_snapshot():
        if isinstance(metric, Counter) and metric.name in names:
            totals[names[metric.name]] += metric.value
    return totals


def read_rollouts(run: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of a run's rollouts table."""
    return list(ds.dataset(run / "tables" / "rollouts").to_table(columns=list(columns)).to_pylist())


def sampled_between(run: Path) -> tuple[float, float]:
    """Unix seconds at which the first request was sent and the last result was journaled."""
    starts, ends = [], []
    for segment in (run / "journal").glob("*.jsonl"):
        for line in segment.read_bytes().splitlines():
            found = decode(line)
            if found is not None:
                ends.append(found[0] / 1e9)
                starts.append(found[0] / 1e9 - found[1].elapsed_s)
    return min(starts), max(ends)


def requests_of(run: Path, params: SamplingParams) -> list[SampleRequest]:
    """The requests of a run's first rollouts, in the order in which they were sent."""
    columns = ["rollout_id", "problem_id", "index", "seed", "prompt_token_ids"]
    rows = sorted(read_rollouts(run, columns), key=lambda r: (r["problem_id"], r["index"]))
    return [
        SampleRequest(r["rollout_id"], r["problem_id"], (), tuple(r["prompt_token_ids"]), params, r["seed"])
        for r in rows
    ]
