"""Verifiers that ask a task in killable worker processes.

Invariant: the pool starts with the first item and ends with the verifier; its workers, time and memory are the
configuration's `workers`, `timeout_s` (of CPU, so that a verdict does not depend on what else the machine does; ten
times as much on the wall) and `memory_mb`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from synthflow.contracts import Judgement, Question, Verifier
from synthflow.verifiers.workers.pool import Outcome, WorkerPool

_PATIENCE = 10
"""Times its CPU seconds that an item may take on the wall: a machine of which others have nine tenths."""


class PooledVerifier(Verifier):
    """A verifier with a pool of workers that run `task` (`module:function`)."""

    task: ClassVar[str]

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self._pool: WorkerPool | None = None

    def map(self, items: Sequence[Any]) -> list[Outcome]:
        """What the workers say of each item, a JSON value.

        Raises:
            InfrastructureError: if no worker can start.
        """
        if not items:
            return []
        if self._pool is None:
            config = self.config
            self._pool = WorkerPool(
                self.task,
                workers=config.workers,
                timeout_s=_PATIENCE * config.timeout_s,
                cpu_s=config.timeout_s,
                memory_mb=config.memory_mb,
            )
        return self._pool.map(items)

    def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()


class ItemVerifier(PooledVerifier):
    """One item a question, or a judgement that needs none; one judgement an outcome."""

    @abstractmethod
    def item(self, question: Question) -> dict[str, Any] | Judgement:
        """What a worker is asked, or what is known without asking."""

    @abstractmethod
    def said(self, outcome: Outcome, item: dict[str, Any]) -> Judgement:
        """What the worker's outcome on an item means."""

    def judge(self, questions: Sequence[Question]) -> list[Judgement]:
        """One judgement a question.

        Raises:
            InfrastructureError: if no worker can start.
        """
        items = [self.item(question) for question in questions]
        outcomes = iter(self.map([item for item in items if not isinstance(item, Judgement)]))
        return [item if isinstance(item, Judgement) else self.said(next(outcomes), item) for item in items]
