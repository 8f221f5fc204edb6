"""An asyncio loop on a thread of its own, for backends whose engine or client is asynchronous.

Invariant: a future that `submit` gave out always ends, also when the loop is closed under it: then in an
`InfrastructureError`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from synthflow.errors import InfrastructureError

T = TypeVar("T")


class LoopThread:
    """Runs coroutines that any thread submits.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._lock = threading.Lock()
        self._closed = False
        self._last: Coroutine[Any, Any, Any] | None = None
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.run_until_complete(self._finish())
        self._loop.close()

    async def _finish(self) -> None:
        pending = asyncio.all_tasks() - {asyncio.current_task()}
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        if self._last is not None:
            await asyncio.gather(self._last, return_exceptions=True)
        await self._loop.shutdown_asyncgens()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the loop. A coroutine cut off by `close` ends in InfrastructureError."""
        outcome: Future[T] = Future()

        def settle(task: Future[T]) -> None:
            try:
                outcome.set_result(task.result())
            except (CancelledError, asyncio.CancelledError):
                outcome.set_exception(InfrastructureError(f"{self._name} was closed"))
            except BaseException as error:
                outcome.set_exception(error)

        outcome.set_running_or_notify_cancel()
        with self._lock:
            if self._closed:
                work.close()
                outcome.set_exception(InfrastructureError(f"{self._name} is closed"))
                return outcome
            asyncio.run_coroutine_threadsafe(work, self._loop).add_done_callback(settle)
        return outcome

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and wait for it."""
        return self.submit(work).result()

    def close(self, last: Coroutine[Any, Any, Any] | None = None) -> None:
        """Cancel what is under way, run `last` (which frees what the others used), and stop the thread. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed, self._last = True, last
            self._loop.call_soon_threadsafe(self._loop.stop)
        if threading.current_thread() is not self._thread:
            self._thread.join()
