"""Several servers of one policy as one: who is asked next, who waits, and when waiting is given up.

Invariants: a waiting request is bound to no server, so that a server that dies or slows keeps none waiting. Requests
are served in the order in which they came. A request that backs off is woken by the answers of others, two by each, so
that the flow doubles a round trip once a fault has ended. When every server has failed every request for
`patience_s`, all that wait fail at once with the last words; so does what is submitted within the next seconds;
after that single tries go out again.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any

from synthflow.backends.openai.rate_limit import CAP_S, PROBE_S, Pace, pause
from synthflow.errors import InfrastructureError

GIVE_UP_TRIES = 8
"""Fewer failures in a row than this never make the others give up: one bad request has no more tries than that."""
UNPROVEN_S = 20.0
"""Patience with servers that have not answered once: most likely a wrong address. Our default."""
TURNED_AWAY = 3
"""Problems of which every one was turned away (401, 404 and the like) before any was answered: most likely a wrong key,
address or name, and no problem's own fault. Our default."""
COOL_S = 5.0
"""Seconds after giving up in which requests fail without a try, so that a run with many of them ends. Our default."""
WOKEN = 2
"""Sleepers that an answer wakes: with two the flow doubles a round trip."""


class Fleet:
    """Servers of one policy. Used from one event loop only.

    Args:
        servers: at least one.
        patience_s: how long every server may fail every request before waiting requests give up, seconds.
    """

    def __init__(self, servers: Sequence[Pace], patience_s: float) -> None:
        self.servers = servers
        self.patience_s = patience_s
        self._waiting: deque[tuple[asyncio.Future[Pace], Pace | None]] = deque()
        self._asleep: dict[asyncio.Future[None], None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._streak = 0
        self._failing_since = 0.0
        self._cool_until = 0.0
        self._verdict = ""
        self._turned_away: set[str] = set()

    @property
    def proven(self) -> bool:
        """Whether any server has answered."""
        return any(server.answered for server in self.servers)

    def another_is_healthy(self, server: Pace) -> bool:
        return any(other.healthy for other in self.servers if other is not server)

    @asynccontextmanager
    async def slot(self, avoid: Pace | None = None) -> AsyncIterator[tuple[Pace, float]]:
        """Wait for a server: (server, time at which it was had). `avoid` is the one that has just failed.

        Raises:
            InfrastructureError: if waiting is given up.
        """
        server = await self._acquire(avoid)
        while server.opens_at > time.monotonic():  # closed while it was being handed over
            server.open -= 1
            server = await self._acquire(avoid, first=True)
        try:
            yield server, time.monotonic()
        finally:
            server.open -= 1
            self._serve()

    async def _acquire(self, avoid: Pace | None, first: bool = False) -> Pace:
        self._raise_if_given_up()
        future: asyncio.Future[Pace] = asyncio.get_running_loop().create_future()
        (self._waiting.appendleft if first else self._waiting.append)((future, avoid))
        self._serve()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                future.result().open -= 1
                self._serve()
            raise

    def _serve(self) -> None:
        """Hand free servers to those who wait, first come first served; come back when the next one opens."""
        now = time.monotonic()
        while self._waiting:
            future, avoid = self._waiting[0]
            if future.done():  # cancelled
                self._waiting.popleft()
                continue
            free = [s for s in self.servers if s.has_slot and s.opens_at <= now]
            if not free:
                self._come_back(now)
                return
            server = min(free, key=lambda s: (s.streak > 0, s is avoid, s.load))
            server.open += 1
            self._waiting.popleft()
            future.set_result(server)

    def _come_back(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        closed = [s.opens_at for s in self.servers if s.has_slot and s.opens_at > now]
        if closed:
            self._timer = asyncio.get_running_loop().call_later(min(closed) - now, self._serve)

    async def back_off(self, attempt: int) -> None:
        """Wait before the next try of a request that has failed, but not past the recovery of others.

        The wait doubles by the request's own tries, but for no more of them than all servers have failed in a row:
        while others are answered, the fault is the request's bad luck, and a long wait would help nobody.

        Raises:
            InfrastructureError: if waiting is given up.
        """
        self._raise_if_given_up()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(pause(min(attempt, max(self._streak - 1, 0))), _wake, future)
        self._asleep[future] = None
        try:
            await future
        finally:
            timer.cancel()
            self._asleep.pop(future, None)

    def succeeded(self, server: Pace, since: float) -> None:
        """A server has answered what was sent at `since`: grow, and wake who sleeps longest."""
        server.succeeded(since)
        self._streak = 0
        for future in list(islice(self._asleep, WOKEN)):
            del self._asleep[future]
            _wake(future)

    def failed(
        self, server: Pace, since: float, words: str, *, overload: bool = False, asked: float | None = None
    ) -> None:
        """A try has failed; `words` say how. Gives up for all that wait when patience has ended."""
        rest = CAP_S if self.another_is_healthy(server) else PROBE_S
        server.failed(since, overload=overload, asked=asked, rest=rest)
        now = time.monotonic()
        if self._streak == 0:
            self._failing_since = now
        self._streak += 1
        # A server that asks for a pause is alive: it is given three of them.
        patience = max(self.patience_s if self.proven else min(self.patience_s, UNPROVEN_S), 3 * (asked or 0.0))
        if self._streak >= GIVE_UP_TRIES and now - self._failing_since >= patience:
            self.give_up(
                f"every server failed for {now - self._failing_since:.0f} s, {self._streak} tries in a row; "
                f"the last: {words}"
            )

    def turned_away(self, problem: str, verdict: str) -> None:
        """A request about a problem was turned away for good. Gives up for all if nothing else ever happened."""
        self._turned_away.add(problem)
        if not self.proven and len(self._turned_away) >= TURNED_AWAY:
            self.give_up(verdict)

    def give_up(self, verdict: str) -> None:
        """Fail all that wait, and for a few seconds whatever comes."""
        self._verdict = verdict
        self._cool_until = time.monotonic() + COOL_S
        everyone: list[asyncio.Future[Any]] = [*(future for future, _ in self._waiting), *self._asleep]
        self._waiting.clear()
        for future in everyone:
            if not future.done():
                future.set_exception(InfrastructureError(verdict))

    def _raise_if_given_up(self) -> None:
        if time.monotonic() < self._cool_until:
            raise InfrastructureError(self._verdict)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
