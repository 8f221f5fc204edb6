"""How fast an engine answered, from what the journal says of every rollout.

Invariant: an engine's time is the time in which at least one request was open (the union of the requests' intervals),
whatever waited, started or was verified in between; so pilots of different days add up, and idle time costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 20
"""Equal pieces of the busy time, whose tokens are drawn again for the range of the speed: our default."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A journaled rollout: when it came (Unix time), how long its request was open, and its tokens."""

    at: float
    elapsed_s: float
    tokens: int


@dataclass(frozen=True)
class Speed:
    """`tokens` sampled in `busy_s` seconds; `binned` are the tokens of equal pieces of that time."""

    busy_s: float
    tokens: int
    binned: NDArray[np.float64]

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.busy_s

    def replicates(self, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Drawn tokens per second, by drawing pieces of the busy time again; at least one token. Shape (size,)."""
        drawn = rng.choice(self.binned, size=(size, len(self.binned))).sum(axis=1)
        per_s: NDArray[np.float64] = np.maximum(drawn, 1.0) / self.busy_s
        return per_s


def speed_of(answers: Sequence[Answer]) -> Speed | None:
    """None where no time or no token was measured, as of a replayed run."""
    tokens = sum(a.tokens for a in answers)
    timed = [a for a in answers if a.elapsed_s > 0]
    if not tokens or not timed:
        return None
    starts, ends = _union(timed)
    lengths = ends - starts
    before = np.concatenate([[0.0], np.cumsum(lengths)])
    busy = float(before[-1])
    at = np.array([a.at for a in answers])
    # Where a moment lies on a clock that runs only while the engine is busy.
    index = np.clip(np.searchsorted(starts, at, side="right") - 1, 0, len(starts) - 1)
    clock = before[index] + np.clip(at - starts[index], 0.0, lengths[index])
    weights = np.array([a.tokens for a in answers], dtype=np.float64)
    binned, _ = np.histogram(clock, bins=BINS, range=(0.0, busy), weights=weights)
    return Speed(busy, tokens, binned)


def within(answers: Sequence[Answer], times: Sequence[tuple[float, float]]) -> list[Answer]:
    """The answers that came in one of some spans of Unix time, both ends included.

    For a pilot: what a real run sampled of the same problems came amid other requests, so those alone tell no speed.
    """
    return [a for a in answers if any(start <= a.at <= end for start, end in times)]


def _union(answers: Sequence[Answer]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Starts and ends of the disjoint intervals in which some request was open."""
    spans = sorted((a.at - a.elapsed_s, a.at) for a in answers)
    merged: list[list[float]] = []
    for start, end in spans:
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    array = np.array(merged)
    return array[:, 0], array[:, 1]
