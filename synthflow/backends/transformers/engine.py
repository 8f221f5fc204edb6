"""The engine thread: takes requests from a queue and keeps the batch full.

Invariant: every future that was submitted ends: in a result, or in an `InfrastructureError` that carries the
cause (`EngineFailed` where a forward pass failed: any of its rows may be to blame). A failure costs the rows in
flight and nothing else: the loop goes on with the next requests. Rows enter when enough of the batch is free, so
that a prefill serves several of them. Given tokens to score are read between the steps, one pass at a time, and fail
for themselves alone.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

import torch

from synthflow.backends.admission import Admitted
from synthflow.backends.transformers.batch import Batch, Row, open_row
from synthflow.backends.transformers.scoring import Scoring, take
from synthflow.contracts import SampleResult
from synthflow.errors import EngineFailed, InfrastructureError

if TYPE_CHECKING:
    from synthflow.backends.renderer import PolicyRenderer

REFILL = 8
"""Rows enter once a batch_size-th / REFILL of the batch is free."""


class Engine:
    """Runs one batch on one thread.

    Args:
        make_batch: loads the model; called on the engine's thread.
        threads: PyTorch's intra-op threads.
    """

    def __init__(self, make_batch: Callable[[], Batch], renderer: PolicyRenderer, size: int, threads: int) -> None:
        self._make_batch, self._renderer, self._size, self._threads = make_batch, renderer, size, threads
        self._queue: deque[Row] = deque()
        self._unread: deque[Scoring] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="synthflow-engine", daemon=True)
        self.busy_s, self.tokens, self.finished = 0.0, 0, 0

    def start(self) -> None:
        """Load the model; returns when it is ready.

        Raises:
            Exception: whatever loading raised.
        """
        self._thread.start()
        self._ready.result()

    def submit(self, requests: Sequence[Admitted]) -> list[Future[SampleResult]]:
        """Queue requests. Thread-safe."""
        made = [
            open_row(r, Future(), self._renderer) if r.request.score is None else Scoring(r, Future()) for r in requests
        ]
        with self._wake:
            if self._closing:
                raise InfrastructureError("the transformers engine is closed")
            self._queue.extend(m for m in made if isinstance(m, Row))
            self._unread.extend(m for m in made if isinstance(m, Scoring))
            self._wake.notify()
        return [m.future for m in made]

    def close(self) -> None:
        """Stop the thread; what is unfinished is owed."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive() and not self._closing

    def _run(self) -> None:
        torch.set_num_threads(self._threads)
        with torch.inference_mode():
            try:
                batch = self._make_batch()
            except BaseException as error:
                self._ready.set_exception(error)
                return
            self._ready.set_result(None)
            self._loop(batch)
            self._fail([r.future for r in batch.clear()], InfrastructureError("the transformers engine was closed"))
        with self._wake:
            waiting = [row.future for row in self._queue] + [reading.future for reading in self._unread]
            self._queue.clear()
            self._unread.clear()
        self._fail(waiting, InfrastructureError("the transformers engine was closed"))

    def _loop(self, batch: Batch) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closing or self._queue or self._unread or batch.rows)
                if self._closing:
                    return
                unread = take(self._unread, self._size)
            started, fresh, before = time.monotonic(), [], len(batch.rows)
            if unread:
                self._read(batch, unread)
            try:
                fresh = self._take(batch)
                if fresh:
                    batch.enter(fresh)
                    before, fresh = len(batch.rows), []
                if batch.rows:
                    self.tokens += batch.step()
                    self.finished += before - len(batch.rows)
            except Exception as error:
                cause = EngineFailed(f"the transformers engine failed: {type(error).__name__}: {error}")
                cause.__cause__ = error
                rows = dict.fromkeys(r.future for r in (*batch.clear(), *fresh))
                self._fail(list(rows), cause)
            self.busy_s += time.monotonic() - started

    def _read(self, batch: Batch, unread: list[Scoring]) -> None:
        try:
            batch.read(unread)
            self.finished += len(unread)
        except Exception as error:
            cause = EngineFailed(f"the transformers engine failed: {type(error).__name__}: {error}")
            cause.__cause__ = error
            self._fail([r.future for r in unread], cause)

    def _take(self, batch: Batch) -> list[Row]:
        free = self._size - len(batch.rows)
        if batch.rows and free < max(1, self._size // REFILL):
            return []
        taken: list[Row] = []
        with self._wake:
            while self._queue and len(taken) < free:
                if not batch.room_for(self._queue[0], taken):
                    break
                row = self._queue.popleft()
                if row.future.set_running_or_notify_cancel():
                    taken.append(row)
        return taken

    @staticmethod
    def _fail(futures: Sequence[Future[SampleResult]], cause: InfrastructureError) -> None:
        for future in futures:
            if not future.done():
                future.set_exception(cause)
