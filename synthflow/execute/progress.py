"""What a run has done so far, for people and for files: one line a stage, and a snapshot that survives a crash."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthflow.contracts import Estimate
from synthflow.execute.eta import Demand, tokens_per_request
from synthflow.execute.rates import RecentRate
from synthflow.stores.files import write_text
from synthflow.stores.graph import Graph
from synthflow.stores.manifest import Commit, Manifest

_SAVE_EVERY_S = 2.0
_ENOUGH = 16
"""Answers from which a stage's own mean tells more than the plan's guess: those that come first are short."""
_TAIL = 0.4
"""How long releases and the catalog take after the last sample, in times of what came before the first: both are
processes that start and libraries that load. Between 0.3 and 0.5 in five recipes: our default."""


@dataclass
class StageProgress:
    """Counts of one stage in this attempt. `units` are partitions (or 1 for a stage of whole scope).

    `answered_before` are the expected requests of units that earlier attempts finished.
    """

    name: str
    use: str
    total_units: int
    done_units: int = 0
    expected_requests: int = 0
    answered_before: float = 0.0
    samples: bool = False
    counts: dict[str, float] = field(default_factory=dict)
    doing: str = ""
    first_at: float | None = None
    last_at: float | None = None
    recent: RecentRate = field(default_factory=RecentRate)
    demand: Demand = field(default_factory=lambda: Demand(0))

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

    @property
    def mean_tokens(self) -> float | None:
        """Tokens of a rollout, over those sampled in this attempt."""
        sampled = self.counts.get("sampled", 0)
        return self.counts.get("tokens", 0) / sampled if sampled else None

    @property
    def answered(self) -> float:
        """Requests that have their answer, from an engine or the journal."""
        return sum(self.counts.get(name, 0) for name in ("sampled", "scored", "from_journal"))

    @property
    def requests_left(self) -> float | None:
        """Requests still to be answered, where their number is known beforehand."""
        if not self.expected_requests:
            return None
        answered = self.counts.get("sampled", 0) + self.counts.get("from_journal", 0)
        return max(0.0, self.expected_requests - self.answered_before - answered)

    def tokens_left(self, others: Sequence[StageProgress]) -> float:
        """Tokens still to be sampled, guessed from `others` while this stage has too few answers to tell."""
        if self.finished:
            return 0.0
        left = self.requests_left
        if left is None:
            left = self.demand.left(self.answered)
        mean = self.mean_tokens
        if mean is None or self.counts["sampled"] < min(_ENOUGH, left):
            known = [(s.demand.guess, s.mean_tokens) for s in others if s.mean_tokens]
            mean = tokens_per_request(self.demand.guess, known) or mean
        return left * (mean or 0.0)

    @property
    def finished(self) -> bool:
        return self.done_units >= self.total_units

    def recent_rates(self, now: float) -> tuple[float | None, float | None]:
        """(rollouts, tokens) a second over the sliding window; none of a stage that is done."""
        return (None, None) if self.finished else (self.recent.per_s(now) or (None, None))

    def eta_s(self, started_done: int, now: float | None = None) -> float | None:
        """Seconds to go.

        Where the number of requests is known: requests left, times the mean tokens of a rollout so far, over the
        tokens per second of the sliding window. Elsewhere by units of work of this attempt.
        """
        if self.finished or self.first_at is None:
            return None
        now = time.monotonic() if now is None else now
        spent = now - self.first_at
        left, mean = self.requests_left, self.mean_tokens
        if left is not None and mean is not None:
            per_s = self.recent_rates(now)[1] or self.rate("tokens")
            if mean and per_s:
                return left * mean / per_s
            return spent * left / self.counts["sampled"]
        done = self.done_units - started_done
        return spent * (self.total_units - self.done_units) / done if done > 0 else None

    def projected_tokens(self, started_done: int) -> float | None:
        """Tokens this attempt will have sampled when the stage is done; None while nobody can tell."""
        so_far, left, mean = self.counts.get("tokens", 0), self.requests_left, self.mean_tokens
        if self.finished:
            return so_far
        if left is not None and mean is not None:
            return so_far + left * mean
        done = self.done_units - started_done
        return so_far * (self.total_units - started_done) / done if done > 0 else None

    def to_json(self, started_done: int, now: float | None = None, price: float | None = None) -> dict[str, Any]:
        """A snapshot. `price` is per million tokens; without one the costs are null."""
        now = time.monotonic() if now is None else now
        rollouts_per_s, tokens_per_s = self.recent_rates(now)
        projected = self.projected_tokens(started_done)
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
            "recent_tokens_per_s": tokens_per_s,
            "recent_rollouts_per_s": rollouts_per_s,
            "mean_tokens": self.mean_tokens,
            "requests_left": self.requests_left,
            "samples": self.samples or bool(self.counts.get("sampled")),
            "cost": cost(self.counts.get("tokens", 0), price),
            "cost_projected": cost(projected, price),
            "eta_s": self.eta_s(started_done, now),
        }


def cost(tokens: float | None, price: float | None) -> float | None:
    """Of sampled tokens, at a price per million of them; None where either is unknown."""
    return None if tokens is None or price is None else tokens / 1e6 * price


class Tracker:
    """Adds up what workers report and what is committed. Thread-safe.

    Every `_SAVE_EVERY_S` it replaces `progress.json` in the attempt's log folder (what `synthflow status` reads, also
    after a crash) and appends the same to `metrics.jsonl`.
    """

    def __init__(
        self,
        graph: Graph,
        manifest: Manifest,
        logs: Path,
        expected: Mapping[str, int],
        price_per_million_tokens: float | None = None,
        sampling: Collection[str] = (),
        guesses: Mapping[str, Estimate] | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """
        Args:
            expected: requests of the stages that know theirs exactly.
            sampling: stages that ask a policy.
            guesses: the plan's, by stage.
            stopping: whether the run was asked to stop.
        """
        self.stages: dict[str, StageProgress] = {}
        self.started_done: dict[str, int] = {}
        for name, record in graph.stages.items():
            units = graph.units(name)
            done = sum(manifest.find(name, unit, graph) is not None for unit in units)
            requests = int(expected.get(name, 0))
            before = requests * done / len(units) if units else 0.0
            samples = name in sampling or requests > 0
            progress = StageProgress(name, record.use, len(units), done, requests, before, samples)
            if samples:
                share = 1 - done / len(units) if units else 0.0
                progress.demand = Demand(len(units) - done, share, (guesses or {}).get(name, Estimate()))
            self.stages[name] = progress
            self.started_done[name] = done
        self.started_at = time.monotonic()
        self.state = "running"
        self.doing = ""
        self._recent, self._stopping = RecentRate(), stopping
        self._sampled_at: float | None = None
        self._tokens_since = 0.0
        self._price = price_per_million_tokens
        self._logs = logs
        self._lock = threading.Lock()
        self._saved_at = 0.0

    def counted(self, counts: Mapping[str, Any]) -> None:
        """A worker's report: `stage` and numbers by name."""
        stage = self.stages.get(str(counts.get("stage")))
        if stage is None:
            return
        if "unit" in counts:  # a unit says for what it has asked; judges count what they ask by the same word
            with self._lock:
                stage.demand.asked[str(counts["unit"])] = int(counts["asked"])
            return
        with self._lock:
            stage.doing = str(counts.get("doing", stage.doing))
            for name, value in counts.items():
                if isinstance(value, int | float) and name != "units":  # Dask adds the worker's address
                    stage.counts[name] = stage.counts.get(name, 0) + value
            if len(stage.counts):
                self._touch(stage)
            if counts.get("sampled"):
                if self._sampled_at is None:
                    self._sampled_at = time.monotonic()
                else:
                    self._tokens_since += counts.get("tokens", 0)
                for rate in (stage.recent, self._recent):
                    rate.add(time.monotonic(), counts["sampled"], counts.get("tokens", 0))
        self.save()

    def committed(self, commit: Commit) -> None:
        with self._lock:
            stage = self.stages[commit.stage]
            stage.done_units += 1
            stage.demand.ended.add(commit.unit)
            self._touch(stage)
        self.save()

    def _touch(self, stage: StageProgress) -> None:
        stage.last_at = time.monotonic()
        if stage.first_at is None:
            # A first report covers work since the run (or the stage before it) began.
            stage.first_at = stage.last_at - 0.5

    def snapshot(self) -> dict[str, Any]:
        """State of the run: `stages`, and `total` over them. Times are seconds, `at` is a Unix time."""
        with self._lock:
            now = time.monotonic()
            stages = [s.to_json(self.started_done[s.name], now, self._price) for s in self.stages.values()]
            return {
                "state": self.state,
                "doing": self._finishing() or self.doing,
                "at": time.time(),
                "elapsed_s": round(now - self.started_at, 3),
                "stages": stages,
                "total": _total(stages) | {"eta_s": self._eta_s(now, stages)},
            }

    def _finishing(self) -> str:
        """What a run that was asked to stop still waits for."""
        if not self._stopping() or self.state != "running":
            return ""
        counts = [stage.counts for stage in self.stages.values()]
        in_flight = sum(c.get("handed_in", 0) - c.get("handed_back", 0) for c in counts)
        return f"finishing {max(0, in_flight):,.0f} requests in flight"

    def _eta_s(self, now: float, stages: Sequence[Mapping[str, Any]]) -> float | None:
        """Seconds to go for the run.

        The engines serve all stages, so the tokens left over all of them count, at the rate of all together: between
        the recent one and that since the first answer, because a batch that fills answers late. Then comes what follows
        the last sample. Where nobody counts tokens, it is that of the stage which takes longest, of those that know
        theirs.
        """
        sampling = [stage for stage in self.stages.values() if stage.samples]
        left = sum(stage.tokens_left([s for s in sampling if s is not stage]) for stage in sampling)
        recent = self._recent.per_s(now)
        if left and recent is not None and recent[1] and self._sampled_at is not None:
            since_first = self._tokens_since / (now - self._sampled_at)
            return 2 * left / (recent[1] + since_first) + _TAIL * (self._sampled_at - self.started_at)
        return max((s["eta_s"] for s in stages if s["eta_s"] is not None), default=None)

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


def _total(stages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Over all stages, of this attempt."""

    def count(name: str) -> float:
        return float(sum(s["counts"].get(name, 0) for s in stages))

    def known(name: str) -> list[float]:
        return [s[name] for s in stages if s[name] is not None]

    projected = [s["cost_projected"] for s in stages if s["samples"]]
    return {
        "rollouts": count("sampled"),
        "from_journal": count("from_journal"),
        "tokens": count("tokens"),
        "retries": count("retries"),
        "tokens_per_s": sum(known("recent_tokens_per_s")) or None,
        "rollouts_per_s": sum(known("recent_rollouts_per_s")) or None,
        "cost": sum(known("cost")) if known("cost") else None,
        "cost_projected": None if not projected or None in projected else sum(projected),
    }
