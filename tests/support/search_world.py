"""Wrong rollouts with a known first error, as chances of their prefixes: for the rules that search it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Game:
    """`chance[j]`: of a continuation of prefix j (the first j steps). Draws of one game are its own."""

    steps: int
    error: int
    chance: np.ndarray
    rng: np.random.Generator

    @classmethod
    def drawn(cls, steps: int, seed: int, recovery: float = 0.03, slope: float = 0.0) -> Game:
        """`slope`: how far the chance's logit moves over the rollout before the error."""
        rng = np.random.default_rng(seed)
        error, level = int(rng.integers(steps)), rng.beta(2, 2)
        place = np.arange(steps + 1) / steps
        alive = 1 / (1 + np.exp(-(np.log(level / (1 - level)) + slope * place)))
        return cls(steps, error, np.where(np.arange(steps + 1) <= error, alive, recovery), rng)


def play(searcher: Any, game: Game) -> np.ndarray:
    """Continuations by prefix until nothing is asked; each costs one token."""
    asked = np.zeros(game.steps + 1, int)
    for _ in range(10_000):
        wants = searcher.ask()
        if not wants:
            return asked
        for j, count in wants.items():
            searcher.tell(j, int(game.rng.binomial(count, game.chance[j])), count, 0, count)
            asked[j] += count
    raise AssertionError("it does not end")


def exact(game: Game, n: int) -> bool:
    """Whether n continuations of every prefix and hard labels name the error: the first step without a success."""
    lost = [j for j in range(1, game.steps) if not game.rng.binomial(n, game.chance[j])]
    return (min(lost) if lost else game.steps) - 1 == game.error
