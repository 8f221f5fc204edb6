"""Where the next continuations of a rollout's prefixes go: sequential rules without any sampling in them.

A rollout of T steps has T + 1 prefixes: prefix j holds its first j steps, so 0 is the prompt and T the whole. A rule is
asked which prefixes to continue now and how often (`ask`), is told what came (`tell`), and is asked again, until it
asks for nothing. It may be told of more than it asked for: prefixes are shared between rollouts.

Invariants: a rule draws nothing at random, so it asks the same after it was told the same; it ends, whatever it is
told, since a prefix is never asked for more than `n_max` continuations, unknown ones among them; with a token budget
it asks for nothing whose expected cost would exceed what is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from synthflow.statistics.intervals import wilson

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Target:
    """What a rule knows of its rollout.

    Attributes:
        remaining: for each of the T + 1 prefixes, tokens from its end to the rollout's: what a continuation will cost.
        open: the prefixes that can be continued, ascending.
        prompt: correct and judged rollouts of the group; (0, 0) where nothing is known.
        prior: how likely each of the T steps is the first error before anything is sampled, up to a factor; None where
            nothing is known.
    """

    remaining: tuple[int, ...]
    open: tuple[int, ...]
    prompt: tuple[int, int] = (0, 0)
    prior: tuple[float, ...] | None = None

    @property
    def steps(self) -> int:
        return len(self.remaining) - 1


@dataclass(frozen=True, slots=True)
class FirstError:
    """The first wrong step, where a rule searches for it.

    Attributes:
        index: of the step, from 0; None where it is undecided.
        chances: for each step the probability that it is the first error, summing to at most 1; None where the rule
            gives none.
    """

    index: int | None
    chances: Floats | None = None


class Searcher(Protocol):
    """A sequential rule for one rollout."""

    def ask(self) -> Mapping[int, int]:
        """How many more continuations of which prefixes now; empty when done."""
        ...

    def tell(self, prefix: int, successes: int, judged: int, unknown: int, tokens: int) -> None:
        """What came: correct ones among the judged, those without a verdict, and the tokens that all of them cost."""
        ...

    def first_error(self) -> FirstError | None:
        """What is known now; None from a rule that only estimates values."""
        ...


class Counting:
    """The counts that all rules keep, and what they may still spend.

    Attributes:
        successes, judged, asked: by prefix; asked counts unknown ones too.
        spent: tokens so far.
    """

    def __init__(self, target: Target, n_max: int, token_budget: int | None = None) -> None:
        self.target, self.n_max, self.token_budget = target, n_max, token_budget
        size = target.steps + 1
        self.successes = np.zeros(size, np.int64)
        self.judged = np.zeros(size, np.int64)
        self.asked = np.zeros(size, np.int64)
        self.spent = 0
        self._expected = 0.0

    def tell(self, prefix: int, successes: int, judged: int, unknown: int, tokens: int) -> None:
        """Raises ValueError: for counts that cannot be, or a prefix that cannot be continued."""
        if not 0 <= successes <= judged or unknown < 0 or tokens < 0 or prefix not in self.target.open:
            raise ValueError(f"prefix {prefix}: {successes} of {judged} judged, {unknown} unknown, {tokens} tokens")
        self.successes[prefix] += successes
        self.judged[prefix] += judged
        self.asked[prefix] += judged + unknown
        if tokens:
            self.spent += tokens
            self._expected += (judged + unknown) * self._length(prefix)

    def first_error(self) -> FirstError | None:
        return None

    def room(self, prefix: int) -> int:
        """Continuations that this prefix may still be asked for."""
        return max(self.n_max - int(self.asked[prefix]), 0)

    def cost(self, prefix: int) -> float:
        """Tokens that one continuation is expected to cost: as many as the rollout itself went on, times how much
        longer or shorter the continuations so far were, shrunk towards 1 by one whole rollout (our default)."""
        whole = self._length(0)
        return self._length(prefix) * (self.spent + whole) / (self._expected + whole)

    def affordable(self, wanted: Iterable[tuple[int, int]]) -> dict[int, int]:
        """As much of `wanted` (prefix, count), in its order, as the token budget is expected to pay for."""
        left = np.inf if self.token_budget is None else self.token_budget - self.spent
        asked: dict[int, int] = {}
        for prefix, count in wanted:
            cost = self.cost(prefix)
            count = min(count, self.room(prefix))
            if left < count * cost:
                count = int(left // cost)
            if count > 0:
                asked[prefix] = count
                left -= count * cost
        return asked

    def _length(self, prefix: int) -> int:
        return max(self.target.remaining[prefix], 1)


class Exhaustive(Counting):
    """The same number of continuations for every prefix (Math-Shepherd, Wang et al. 2024)."""

    def ask(self) -> Mapping[int, int]:
        return {j: self.room(j) for j in self.target.open if self.room(j)}


class Adaptive(Counting):
    """Continuations where the value is still undecided, in rounds (our default).

    A prefix is decided when at least `n_min` continuations are judged and its Wilson interval is narrow enough, or
    lies on one side of the threshold. Wilson's interval is .32 wide at 0 of 8, so that 0 of n and n of n are no
    certainty. Where a budget does not pay for all, the widest intervals come first.
    """

    def __init__(
        self,
        target: Target,
        n_max: int,
        token_budget: int | None = None,
        *,
        half_width: float | None = 0.15,
        threshold: float | None = None,
        n_min: int = 4,
        batch: int = 4,
    ) -> None:
        super().__init__(target, n_max, token_budget)
        self.half_width, self.threshold, self.n_min, self.batch = half_width, threshold, n_min, batch

    def ask(self) -> Mapping[int, int]:
        low, high = wilson(self.successes, self.judged)
        half = np.where(self.judged > 0, (high - low) / 2, np.inf)
        decided = np.zeros(len(half), bool)
        if self.half_width is not None:
            decided |= half <= self.half_width
        if self.threshold is not None:
            with np.errstate(invalid="ignore"):
                decided |= (low > self.threshold) | (high < self.threshold)
        decided &= self.judged >= self.n_min
        undecided = sorted((j for j in self.target.open if not decided[j]), key=lambda j: (-half[j], j))
        return self.affordable((j, max(self.batch, self.n_min - int(self.asked[j]))) for j in undecided)


class Bisection(Counting):
    """First error by halving (OmegaPRM, Luo et al. 2024): one success of `n_max` continuations keeps a prefix alive.

    The prompt counts as alive and the whole as dead. Prefixes that cannot be continued are those without tokens, which
    are the prompt. A probe goes out `batch` at a time and ends at its first success (our default; the paper's has
    a fixed number). The answer is a hard label: no chance is given with it.
    """

    def __init__(
        self, target: Target, n_max: int, token_budget: int | None = None, *, batch: int | None = None
    ) -> None:
        super().__init__(target, n_max, token_budget)
        self.batch = n_max if batch is None else batch

    def ask(self) -> Mapping[int, int]:
        _, _, probe = self._narrowed()
        return {} if probe is None else self.affordable([(probe, self.batch)])

    def first_error(self) -> FirstError:
        _, dead, probe = self._narrowed()
        between_is_judged = probe is None
        return FirstError(dead - 1 if between_is_judged and dead else None)

    def _narrowed(self) -> tuple[int, int, int | None]:
        """Last prefix known alive, first known dead, and the one to probe now; (0, 0, None) where none can tell."""
        alive, dead = 0, self.target.steps
        while True:
            between = [j for j in self.target.open if alive < j < dead]
            if not between:
                return alive, dead, None
            probe = min(between, key=lambda j: (abs(2 * j - alive - dead), j))
            if self.successes[probe]:
                alive = probe
            elif self.room(probe):
                return alive, dead, probe
            elif self.judged[probe]:
                dead = probe
            else:
                return 0, 0, None
