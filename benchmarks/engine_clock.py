"""A worker extension of vLLM that clocks the model: how long the engine's worker has computed since it was asked.

vLLM mixes `EngineClock` into its worker (`worker_extension_cls`), in the engine's own process; both arms of a benchmark
do, so that what the clock costs (microseconds a step) is in both. It is Synthflow's own extension and a stopwatch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from synthflow.backends.vllm.guard import Guard

EXTENSION = "engine_clock.EngineClock"


class EngineClock(Guard):
    """Methods that `collective_rpc` calls by name."""

    def clock_start(self) -> None:
        """Begin to clock forward passes and sampling; once for a worker."""
        if not hasattr(self, "clock_s"):
            self.clock_s, self.clock_steps = 0.0, 0
            for name in ("execute_model", "sample_tokens"):
                setattr(self, name, self._clocked(getattr(self, name)))

    def clock_read(self) -> dict[str, float]:
        """Seconds of computing and calls so far, and the threads that torch computes with."""
        import torch

        return {"busy_s": self.clock_s, "calls": float(self.clock_steps), "threads": float(torch.get_num_threads())}

    def _clocked(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                self.clock_s += time.perf_counter() - started
                self.clock_steps += 1

        return run
