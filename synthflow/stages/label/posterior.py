"""First error by noisy search: each continuation is one noisy answer to the question on which side of it the error is.

Our default; in the line of probabilistic bisection (Horstein 1963; Waeber, Frazier and Henderson 2013), with the
response's chances unknown (`error_model`). OmegaPRM's bisection takes every probe at its word, so one lucky recovery
or one unlucky streak loses the error for good. Here nothing is ever settled: the next continuation goes to the prefix
with the most expected information about the error's place per token, late prefixes being cheap, until one place is as
likely as asked for, or the budget ends, or no continuation tells enough for its price.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from synthflow.stages.label.error_model import PROMPT_WEIGHT, Prediction, information, predict
from synthflow.stages.label.searchers import Counting, FirstError, Floats, Target

OVERHEAD = 0.1
"""What a continuation costs besides its tokens, as a share of the whole rollout's (our default): the prompt is read
again, and without it the last prefixes would seem to cost nothing."""


class PosteriorSearch(Counting):
    """A posterior over the place of the first error, and the next prefixes by expected information per token.

    Args:
        target: the rollout, whose verdict is wrong.
        n_max: most continuations of one prefix.
        token_budget: most tokens for the rollout; None is no limit.
        confidence: probability of one step at which the search is over.
        least_information: nats about the place that tokens worth one whole rollout must be expected to tell; below it
            the search is over. What the hardest rollouts still would tell is dear, and the same tokens tell more
            elsewhere: a price for all rollouts beats the same budget for each.
        batch: continuations asked for at once. Above 1, each after the first is chosen as if those before it had come
            out as is likelier (our default), so that they spread.
    """

    def __init__(
        self,
        target: Target,
        n_max: int = 32,
        token_budget: int | None = None,
        *,
        confidence: float = 0.9,
        least_information: float = 0.005,
        batch: int = 1,
    ) -> None:
        super().__init__(target, n_max, token_budget)
        self.confidence, self.least_information, self.batch = confidence, least_information, batch
        self._known: Prediction | None = None

    def tell(self, prefix: int, successes: int, judged: int, unknown: int, tokens: int) -> None:
        super().tell(prefix, successes, judged, unknown, tokens)
        self._known = None

    def ask(self) -> Mapping[int, int]:
        successes, judged = self._counts()
        asked: dict[int, int] = {}
        prediction = self.prediction()
        for _ in range(self.batch):
            if prediction.chances[:-1].max() >= self.confidence:
                break
            best = self._best(prediction, asked)
            if best is None:
                break
            asked[best] = asked.get(best, 0) + 1
            if sum(asked.values()) < self.batch:
                judged[best] += 1
                successes[best] += float(prediction.chances @ prediction.success[:, best] > 0.5)
                prediction = predict(successes, judged, self.target.prior)
        return self.affordable(asked.items())

    def first_error(self) -> FirstError:
        chances = self.prediction().chances[:-1]
        best = int(chances.argmax())
        return FirstError(best if chances[best] >= self.confidence else None, chances)

    def prediction(self) -> Prediction:
        """The posterior of the error's place after all that was told."""
        if self._known is None:
            self._known = predict(*self._counts(), self.target.prior)
        return self._known

    def _counts(self) -> tuple[Floats, Floats]:
        successes, judged = self.successes.astype(np.float64), self.judged.astype(np.float64)
        right, all_ = self.target.prompt
        successes[0] += PROMPT_WEIGHT * right
        judged[0] += PROMPT_WEIGHT * all_
        return successes, judged

    def _best(self, prediction: Prediction, asked: Mapping[int, int]) -> int | None:
        left = np.inf if self.token_budget is None else self.token_budget - self.spent
        left -= sum(count * self.cost(j) for j, count in asked.items())
        free = [j for j in self.target.open if self.room(j) > asked.get(j, 0) and self.cost(j) <= left]
        if not free:
            return None
        # In whole rollouts, so that neither long nor short ones are dearer.
        cost = np.array([self.cost(j) for j in free]) / self.cost(0) + OVERHEAD
        worth = information(prediction)[free] / cost
        return free[int(worth.argmax())] if worth.max() >= self.least_information else None
