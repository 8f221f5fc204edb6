"""What stages will still ask for: the plan's guess, replaced by what units of work ask for as soon as they say it.

Invariant: an estimate of requests never falls below what was asked already, and is exact once every unit has ended.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from synthflow.contracts import Estimate

NO_GUESS = Estimate()


@dataclass
class Demand:
    """Requests of one stage in this attempt.

    Attributes:
        units: units of work that this attempt owes.
        share: part of the stage's units that these are; the plan guesses for all of them.
        guess: the plan's.
        asked: by unit, what it has asked for so far; `ended` are units that will ask for nothing more.
    """

    units: int
    share: float = 1.0
    guess: Estimate = NO_GUESS
    asked: dict[str, int] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)

    def requests(self) -> float:
        """Of all units that this attempt owes."""
        ended = [self.asked.get(unit, 0) for unit in self.ended]
        begun = [n for unit, n in self.asked.items() if unit not in self.ended]
        per_unit = self._per_unit(ended, begun)
        unseen = max(0, self.units - len(ended) - len(begun))
        return sum(ended) + sum(max(n, per_unit) for n in begun) + unseen * per_unit

    def left(self, answered: float) -> float:
        """Requests to come, where `answered` are those that have their answer. What ended units asked is answered."""
        of_ended = sum(self.asked.get(unit, 0) for unit in self.ended)
        return max(0.0, self.requests() - max(of_ended, answered))

    def _per_unit(self, ended: list[int], begun: list[int]) -> float:
        """What a unit asks for: the mean of those that ended; before, of those at work if the plan only guessed."""
        if ended:
            return sum(ended) / len(ended)
        if begun and (self.guess.most_requests is not None or not self.guess.requests):
            return sum(begun) / len(begun)
        return self.guess.requests * self.share / self.units if self.units else 0.0


def tokens_per_request(guess: Estimate, known: Iterable[tuple[Estimate, float]]) -> float | None:
    """Tokens of a request of a stage that has no answer yet, from the means of stages that have.

    The plan's guesses are bounds: how far the means of others stay below theirs is taken for this one as well.
    """
    shares = [mean * g.requests / g.tokens for g, mean in known if g.tokens and g.requests]
    if not shares or not guess.requests:
        return None
    return guess.tokens / guess.requests * sum(shares) / len(shares)
