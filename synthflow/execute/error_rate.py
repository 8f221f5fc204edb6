"""How many requests have no answer: the bound that `execution.max_error_rate` sets, for a task and for a whole stage.

Invariant: one problem is never the machine's fault, however often it is asked: a task stops early only when more than
this share of its problems, and of its requests so far, had no answer. A stage that has sampled all it wants is measured
by its requests alone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from synthflow.contracts import UNANSWERED, SampleRequest, SampleResult

MIN_ERRORS = 20
"""Fewer requests without an answer than this never stop a task early, whatever their share: our default."""


def too_many(unanswered: int, total: int, most: float) -> bool:
    """Whether so many of all requests of a stage have no answer: more than `most` of them and not a few, or all."""
    return unanswered > most * total and (unanswered >= MIN_ERRORS or unanswered == total)


class ErrorRate:
    """Requests of one task that failed or were refused, over those that ended. Thread-safe.

    Readings of given tokens count only where they fail: that a server tells none is no fault of it.
    """

    def __init__(self, requests: Sequence[SampleRequest], most: float, answered: int = 0) -> None:
        self._most, self._answered = most, answered
        self._problems = len({r.problem_id for r in requests})
        self._without: dict[str, str] = {}  # rollout_id -> problem_id
        self._refused: dict[str, str] = {}  # rollout_id -> the server's words
        self._last = ""
        self._lock = threading.Lock()

    def ended(self, results: Iterable[tuple[SampleRequest, SampleResult]]) -> None:
        """Requests have results."""
        with self._lock:
            for request, result in results:
                if result.finish_reason not in UNANSWERED or request.score is not None:
                    self._without.pop(request.rollout_id, None)
                    self._answered += 1
                else:
                    self._without[request.rollout_id] = request.problem_id
                    self._refused[request.rollout_id] = result.reason or result.finish_reason

    def failed(self, request: SampleRequest, words: str) -> None:
        """A try at a request failed."""
        with self._lock:
            self._without[request.rollout_id] = request.problem_id
            self._last = words

    @property
    def exceeded(self) -> bool:
        """Whether no more should be tried."""
        with self._lock:
            n = len(self._without)
            if n < MIN_ERRORS or n <= self._most * (n + self._answered):
                return False
            return len(set(self._without.values())) > max(1, self._most * self._problems)

    def words(self) -> str:
        """How many had no answer, and why: the first refusal, or else the last failure."""
        with self._lock:
            refused, n = self._refused, len(self._without)
            said = f"the first said: {next(iter(refused.values()))}" if refused else f"the last said: {self._last}"
            what = "were refused" if len(refused) == n else "were refused or failed" if refused else "failed"
            return f"{n} of {n + self._answered} requests {what}, more than max_error_rate {self._most:g}; {said}"
