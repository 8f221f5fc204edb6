"""What a run has done so far, for people and for files: one line a stage, and a snapshot that survives a crash."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthflow.stores.files import write_text
from synthflow.stores.manifest import Commit, Graph, Manifest

_SAVE_EVERY_S = 2.0


@dataclass
class StageProgress:
    """Counts of one stage. `units` are partitions (or 1 for a stage of whole scope)."""

    name: str
    use: str
    total_units: int
    done_units: int = 0
    expected_requests: int = 0
    counts: dict[str, float] = field(default_factory=dict)
    doing: str = ""
    first_at: float | None = None
    last_at: float | None = None

    @property
    def pass_rate(self) -> float | None:
        correct, wrong = self.counts.get("correct", 0), self.counts.get("wrong", 0)
        return correct / (correct + wrong) if correct + wrong else None

    @property
    def active_s(self) -> float:
        if self.first_at is None or self.last_at is None:
            return 0.0
        return max(1e-3, self.last_at - self.first_at)

    def rate(self, what: str) -> float | None:
        """`what` per second, since this stage's first sign of life."""
        so_far = self.counts.get(what, 0)
        return so_far / self.active_s if so_far and self.active_s > 0.5 else None

    def eta_s(self, started_done: int) -> float | None:
        """Seconds to go, by requests where they are known and else by units of work of this attempt."""
        if self.done_units >= self.total_units or self.first_at is None:
            return None
        spent = time.monotonic() - self.first_at
        sampled = self.counts.get("sampled", 0)
        if self.expected_requests and sampled:
            left = max(0, self.expected_requests - sampled - self.counts.get("from_journal", 0))
            return spent * left / sampled
        done = self.done_units - started_done
        return spent * (self.total_units - self.done_units) / done if done > 0 else None

    def to_json(self, started_done: int) -> dict[str, Any]:
        return {
            "stage": self.name,
            "use": self.use,
            "doing": self.doing,
            "units_done": self.done_units,
            "units_total": self.total_units,
            "expected_requests": self.expected_requests,
            "counts": {k: round(v, 3) for k, v in sorted(self.counts.items())},
            "pass_rate": self.pass_rate,
            "tokens_per_s": self.rate("tokens"),
            "rollouts_per_s": self.rate("sampled"),
            "eta_s": self.eta_s(started_done),
        }


class Tracker:
    """Adds up what workers report and what is committed. Thread-safe.

    Every `_SAVE_EVERY_S` it replaces `progress.json` in the attempt's log folder (what `synthflow status` reads, also
    after a crash) and appends the same to `metrics.jsonl`.
    """

    def __init__(self, graph: Graph, manifest: Manifest, logs: Path, expected: Mapping[str, int]) -> None:
        self.stages: dict[str, StageProgress] = {}
        self.started_done: dict[str, int] = {}
        for name, record in graph.stages.items():
            units = graph.units(name)
            done = sum(manifest.find(name, unit, graph) is not None for unit in units)
            self.stages[name] = StageProgress(name, record.use, len(units), done, int(expected.get(name, 0)))
            self.started_done[name] = done
        self.started_at = time.monotonic()
        self.state = "running"
        self.doing = ""
        self._logs = logs
        self._lock = threading.Lock()
        self._saved_at = 0.0

    def counted(self, counts: Mapping[str, Any]) -> None:
        """A worker's report: `stage` and numbers by name."""
        stage = self.stages.get(str(counts.get("stage")))
        if stage is None:
            return
        with self._lock:
            stage.doing = str(counts.get("doing", stage.doing))
            for name, value in counts.items():
                if isinstance(value, int | float) and name != "units":  # Dask adds the worker's address
                    stage.counts[name] = stage.counts.get(name, 0) + value
            if len(stage.counts):
                self._touch(stage)
        self.save()

    def committed(self, commit: Commit) -> None:
        with self._lock:
            stage = self.stages[commit.stage]
            stage.done_units += 1
            self._touch(stage)
        self.save()

    def _touch(self, stage: StageProgress) -> None:
        stage.last_at = time.monotonic()
        if stage.first_at is None:
            # A first report covers work since the run (or the stage before it) began.
            stage.first_at = stage.last_at - 0.5

    def snapshot(self) -> dict[str, Any]:
        with self._lock:
            return {
                "state": self.state,
                "doing": self.doing,
                "at": time.time(),
                "elapsed_s": round(time.monotonic() - self.started_at, 3),
                "stages": [s.to_json(self.started_done[s.name]) for s in self.stages.values()],
            }

    def save(self, *, force: bool = False) -> None:
        """Save a snapshot, at most every two seconds. Progress is a courtesy: a full disk does not stop a run here."""
        now = time.monotonic()
        if not force and now - self._saved_at < _SAVE_EVERY_S:
            return
        self._saved_at = now
        text = json.dumps(self.snapshot())
        with suppress(OSError):
            write_text(self._logs / "progress.json", text)
            with (self._logs / "metrics.jsonl").open("a", encoding="utf-8") as handle:
                handle.write(text + "\n")

    def finish(self, state: str) -> None:
        self.state = state
        self.save(force=True)
