"""How fast to ask a server: adaptive concurrency, and the pause before another try.

Invariant: the number of requests open at a server never exceeds its limit; the limit grows by one per limit's
worth of successes and halves on overload (additive increase, multiplicative decrease: Chiu and Jain 1989), once
for all requests that were open when the overload showed.
"""

from __future__ import annotations

import asyncio
import random
import time
from email.utils import parsedate_to_datetime
from types import TracebackType

FIRST_LIMIT = 8
BASE_S, CAP_S, RETRY_AFTER_CAP_S = 0.5, 30.0, 120.0


class Pace:
    """Requests open at one server. Used from one event loop only."""

    def __init__(self, url: str, most: int) -> None:
        self.url, self.most = url, most
        self.limit = float(min(FIRST_LIMIT, most))
        self.open = 0
        self._shrunk_at = 0.0
        self._freed = asyncio.Condition()

    @property
    def load(self) -> float:
        """Open requests over the limit: the server with the least is asked next."""
        return (self.open + 1) / self.limit

    async def __aenter__(self) -> float:
        """Wait for a slot; gives the time at which it was had."""
        async with self._freed:
            await self._freed.wait_for(lambda: self.open < max(1, int(self.limit)))
            self.open += 1
        return time.monotonic()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.open -= 1
        async with self._freed:
            self._freed.notify_all()

    def succeeded(self) -> None:
        """One answer: grow."""
        self.limit = min(float(self.most), self.limit + 1 / self.limit)

    def overloaded(self, since: float) -> None:
        """An overload met by a request that began at `since`: halve, if none has since."""
        if since >= self._shrunk_at:
            self.limit = max(1.0, self.limit / 2)
            self._shrunk_at = time.monotonic()


def retry_after(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for (a number or an HTTP date), at most two minutes."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), RETRY_AFTER_CAP_S) if seconds == seconds else None


def pause(attempt: int, asked: float | None) -> float:
    """Seconds to wait before another try: what the server asked for, or exponential back-off, with jitter."""
    back_off = min(CAP_S, BASE_S * 2.0**attempt)
    return asked + random.uniform(0, 0.1 * asked) if asked is not None else random.uniform(back_off / 2, back_off)
