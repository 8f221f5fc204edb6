"""How fast to ask one server: adaptive concurrency, and when it may be asked again after it failed.

Invariant: the number of requests open at a server never exceeds its limit, and nothing is sent before the end of a
pause that the server asked for. The limit shrinks once a round of tries, by half of the share that met overload
(Alizadeh et al. 2010, "Data Center TCP", with each round by itself), so that a server that is full halves it and one
that sheds a tenth costs a twentieth; a round in which nothing was answered halves it too. It doubles a round up to
where overload began, and then grows by one a round (slow start and congestion avoidance: RFC 5681). At a limit of
one, a server that still fails rests between single tries, ever longer. One answer ends that rest.
"""

from __future__ import annotations

import random
import time
from email.utils import parsedate_to_datetime

FIRST_LIMIT = 8
BASE_S, CAP_S, RETRY_AFTER_CAP_S = 0.5, 30.0, 120.0
PROBE_S = 2.0
"""Longest rest of a server that fails while there is no better one: what recovery waits for. Our default."""
SHORTEST_ROUND = 3
"""Tries in a round at least: one broken answer says nothing of a server."""
CALM_S = 5.0
"""After so long without overload, what was too much then is forgotten. Our default."""


class Pace:
    """Requests open at one server. Used from one event loop only.

    Attributes:
        limit: most requests that may be open.
        open: requests that are.
        streak: tries that failed since the last answer.
        answered: answers so far.
    """

    def __init__(self, url: str, most: int) -> None:
        self.url, self.most = url, most
        self.limit = float(min(FIRST_LIMIT, most))
        self.open = self.streak = self.answered = 0
        self._threshold = float(most)
        self._good = self.limit
        self._shrunk_at = self._overloaded_at = 0.0
        self._tries = self._answers = self._overloads = 0  # of this round
        self._asked_until = self._resting_until = 0.0
        self._rests = 0

    @property
    def load(self) -> float:
        """Open requests over the limit: the server with the least is asked next."""
        return (self.open + 1) / self.limit

    @property
    def healthy(self) -> bool:
        """Its last try was answered, and it asked for no pause."""
        return self.answered > 0 and self.streak == 0 and self.opens_at <= time.monotonic()

    @property
    def opens_at(self) -> float:
        """When it may be asked again, on the monotonic clock."""
        return max(self._asked_until, self._resting_until)

    @property
    def has_slot(self) -> bool:
        return self.open < max(1, int(self.limit))

    def succeeded(self, since: float) -> None:
        """An answer to a request that began at `since`: grow."""
        now = time.monotonic()
        self.streak = self._rests = 0
        self._resting_until = 0.0
        self.answered += 1
        if now - self._overloaded_at >= CALM_S:
            self._threshold = float(self.most)
        self.limit = min(float(self.most), self.limit + (1.0 if self.limit < self._threshold else 1 / self.limit))
        self._good = self.limit
        self._answers += 1
        self._tried(since, CAP_S)

    def failed(self, since: float, *, overload: bool = False, asked: float | None = None, rest: float = CAP_S) -> None:
        """A failure of a request that began at `since`.

        Args:
            overload: the server says that it has too much to do.
            asked: seconds for which the server asks to be left alone.
            rest: longest rest that it is given, seconds.
        """
        now = time.monotonic()
        self.streak += 1
        if asked is not None:
            self._asked_until = max(self._asked_until, now + asked + random.uniform(0, 0.1 * asked))
        if overload:
            self._overloaded_at = now
            self._overloads += since >= self._shrunk_at
        self._tried(since, rest)

    def _tried(self, since: float, rest: float) -> None:
        """Count a try; at the end of a round, shrink if need be. What was sent before the last time tells nothing."""
        if since < self._shrunk_at:
            return
        self._tries += 1
        probing = self._rests > 0
        if self._tries < max(SHORTEST_ROUND, int(self.limit)) and not probing:
            return
        full, silent = self._overloads / self._tries, self._answers == 0
        self._tries = self._answers = self._overloads = 0
        if full == 0 and not silent:
            return
        self._shrunk_at = time.monotonic()
        if full > 0:
            self._threshold = max(1.0, self._good * (1 - full / 2))
        if silent and self.limit < 2:
            self._resting_until = self._shrunk_at + pause(self._rests, rest)
            self._rests += 1
        self.limit = max(1.0, self.limit * (0.5 if silent else 1 - full / 2))


def retry_after(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for (a number or an HTTP date), at most two minutes."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), RETRY_AFTER_CAP_S) if seconds == seconds else None


def pause(attempt: int, cap: float | None = None) -> float:
    """Seconds of exponential back-off before another try, with jitter; `CAP_S` at most, or `cap`."""
    back_off = min(CAP_S if cap is None else cap, BASE_S * 2.0 ** min(attempt, 64))
    return random.uniform(back_off / 2, back_off)
