"""How workers tell the driver what they have done: counts, at most twice a second, over Dask's own topics."""

from __future__ import annotations

import threading
import time
from collections import Counter

from synthflow.execute.tasks import PROGRESS

_EVERY_S = 0.5


class Reporter:
    """Adds up counts of one stage in this process and sends them on. Thread-safe."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._sent_at = time.monotonic()
        self._worker = _this_worker()

    def count(self, **counts: float) -> None:
        with self._lock:
            for name, value in counts.items():
                self._counts[name] += value  # type: ignore[assignment]
            if time.monotonic() - self._sent_at < _EVERY_S:
                return
        self.flush()

    def tell(self, doing: str) -> None:
        """Say what this stage is waiting for, such as a model that is loading; an empty text ends it."""
        if self._worker is not None:
            self._worker.log_event(PROGRESS, {"stage": self.stage, "doing": doing})  # type: ignore[attr-defined]

    def asks(self, unit: str, requests: int) -> None:
        """Tell how many requests a unit of this stage has asked for so far."""
        if self._worker is not None:
            self._worker.log_event(PROGRESS, {"stage": self.stage, "unit": unit, "asked": requests})  # type: ignore[attr-defined]

    def flush(self) -> None:
        with self._lock:
            counts, self._counts = dict(self._counts), Counter()
            self._sent_at = time.monotonic()
        if counts and self._worker is not None:
            self._worker.log_event(PROGRESS, {"stage": self.stage, **counts})  # type: ignore[attr-defined]


def _this_worker() -> object | None:
    from distributed import get_worker

    try:
        worker: object = get_worker()
    except ValueError:  # not on a worker: a test, or a call in the driver's own process
        return None
    return worker
