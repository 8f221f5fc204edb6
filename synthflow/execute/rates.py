"""How fast a stage samples now, rather than since it began.

Invariant: a rate is what was reported after the window's first report, divided by the time since that report, so that
work done before the window never counts and silence lowers the rate. The window is 60 s, and longer where fewer than
20 reports fell into it, because long completions finish seldom: our defaults.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

WINDOW_S = 60.0
LEAST_REPORTS = 20
_SHORTEST_S = 0.5


@dataclass
class RecentRate:
    """Rollouts and tokens a second over a sliding window. Not thread-safe: its owner holds a lock."""

    window_s: float = WINDOW_S
    least: int = LEAST_REPORTS
    _reports: deque[tuple[float, float, float]] = field(default_factory=deque)

    def add(self, now: float, rollouts: float, tokens: float) -> None:
        """One report. `now` is monotonic and in seconds."""
        self._reports.append((now, rollouts, tokens))
        while len(self._reports) > self.least and self._reports[0][0] < now - self.window_s:
            self._reports.popleft()

    def per_s(self, now: float) -> tuple[float, float] | None:
        """(rollouts a second, tokens a second); None while there is too little to tell."""
        if len(self._reports) < 2:
            return None
        spent = now - self._reports[0][0]
        if spent < _SHORTEST_S:
            return None
        # The first report covers work of before the window began.
        rollouts = sum(r for _, r, _ in self._reports) - self._reports[0][1]
        tokens = sum(t for _, _, t in self._reports) - self._reports[0][2]
        return rollouts / spent, tokens / spent
