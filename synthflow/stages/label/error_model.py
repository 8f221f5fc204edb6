"""How likely counts of continuations are under each place of the first error: the model behind the posterior search.

Our default throughout; no paper gives it. Of a wrong rollout of T steps, exactly one of T + 1 things holds: its first
error is step e (0 to T - 1), or there is no such step and its chances decline evenly from the prompt's to nothing
(`none`, T). Prefix j holds the first j steps; given e it is alive where j <= e and dead where j > e.

- Every step is as likely to be the first error as another before anything is sampled, unless a prior says otherwise.
- Alive prefixes have chances around a curve over the rollout, whose logit moves from a level by a slope: correct steps
  bring a solution nearer to its end, and small slips may take some of it away. Level and slope are unknown, on a grid.
- Dead prefixes have chances around a recovery chance, unknown, from a few values up to .16, and in all likelihood well
  below the curve's level. The least of them is next to nothing, which a policy that never looks back has.
- Around them: a prefix's own chance is Beta distributed, tight or loose about its curve, so its count is beta-binomial
  and no number of continuations of one prefix says all about its neighbours.

The group's pass rate enters as counts of prefix 0, discounted: it is alive whatever e is.

Invariants: a posterior sums to 1 and is finite for any counts; it depends on the counts only, not on their order;
nothing is drawn at random.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

LEVELS = np.array([0.08, 0.17, 0.28, 0.4, 0.5, 0.6, 0.72, 0.83, 0.92])
SLOPES = np.array([-1.0, 0.0, 1.5])
SLOPE_WEIGHTS = np.array([0.25, 0.5, 0.25])
TIGHTNESS = np.array([8.0, 100.0])
"""Concentrations of the Beta around the curve."""
RECOVERY = np.array([0.002, 0.01, 0.03, 0.08, 0.16])
RECOVERY_WEIGHTS = np.array([0.3, 0.25, 0.25, 0.12, 0.08])
RECOVERY_TIGHTNESS = 25.0
NONE_WEIGHT = 0.05
"""Prior probability that no single step is the first error."""
PROMPT_WEIGHT = 1.0
"""What a rollout of the group says about prefix 0, against a continuation."""
_HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)


class Grid(NamedTuple):
    """The nuisance parameters of a rollout of T steps: M curves, D recovery chances.

    Attributes:
        alive, none: of every prefix under every curve; dead: after the error.
        weights: [M, D] joint prior, summing to 1.
    """

    alive: Urns
    none: Urns
    dead: Urns
    weights: Floats


@lru_cache(maxsize=128)
def grid(steps: int) -> Grid:
    """The grid for rollouts of so many steps."""
    level, slope, tight = (a.ravel() for a in np.meshgrid(LEVELS, SLOPES, TIGHTNESS, indexing="ij"))
    place = np.linspace(0.0, 1.0, steps + 1)[:, None]
    alive = 1 / (1 + np.exp(-(np.log(level / (1 - level)) + slope * place)))
    none = np.clip(level * (1 - place), 0.01, None)
    # The level is Beta(2, 2), and the recovery chance well below it.
    weights = (level * (1 - level))[:, None] * SLOPE_WEIGHTS[np.searchsorted(SLOPES, slope)][:, None]
    weights = weights * RECOVERY_WEIGHTS * np.where(level[:, None] / 2 >= RECOVERY, 1.0, 1e-3)
    recovery = np.broadcast_to(RECOVERY, (steps + 1, len(RECOVERY)))
    flat = np.full(len(RECOVERY), RECOVERY_TIGHTNESS)
    return Grid(
        Urns.of(alive, tight), Urns.of(none, tight), Urns.of(recovery, flat), np.asarray(weights / weights.sum())
    )


class Prediction(NamedTuple):
    """
    Attributes:
        chances: [T + 1] posterior of the first error's place; the last is `none`.
        success: [T + 1 places, T + 1 prefixes] chance that the next continuation of a prefix is correct, given the
            place.
    """

    chances: Floats
    success: Floats


def predict(successes: ArrayLike, judged: ArrayLike, prior: ArrayLike | None = None) -> Prediction:
    """Posterior and predictive chances from counts by prefix, prefix 0 first; T is one less than their number.

    Args:
        prior: [T] how likely each step is the first error before anything is sampled, up to a factor; None: all alike.

    Raises:
        ValueError: for counts or a prior that cannot be, or no step.
    """
    k, n = np.asarray(successes, np.float64), np.asarray(judged, np.float64)
    if k.ndim != 1 or k.shape != n.shape or len(k) < 2 or (k < 0).any() or (k > n).any():
        raise ValueError("counts of T + 1 prefixes are needed, successes between 0 and judged")
    steps = len(k) - 1
    weights = np.ones(steps) if prior is None else np.asarray(prior, np.float64)
    if weights.shape != (steps,) or not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError("the prior has one positive number for each step")
    g = grid(steps)
    alive, alive_next = g.alive.likelihood(k, n)
    dead, dead_next = g.dead.likelihood(k, n)
    none, none_next = g.none.likelihood(k, n)

    # [e]: prefixes 0..e are alive, e+1..T dead.
    lived = np.cumsum(alive, axis=0)[:-1]
    died = np.cumsum(dead[::-1], axis=0)[::-1][1:]
    lived_top, died_top = lived.max(axis=1), died.max(axis=1)
    by_curve, by_recovery = np.exp(lived - lived_top[:, None]), np.exp(died - died_top[:, None])
    curves = by_curve * (by_recovery @ g.weights.T)
    recoveries = by_recovery * (by_curve @ g.weights)
    mass = curves.sum(axis=1)

    even = none.sum(axis=0)
    even_top = even.max()
    evenly = np.exp(even - even_top) * g.weights.sum(axis=1)

    tiny = np.finfo(np.float64).tiny
    evidence = np.append(np.log(mass + tiny) + lived_top + died_top, np.log(evenly.sum() + tiny) + even_top)
    evidence += np.log(np.append((1 - NONE_WEIGHT) * weights / weights.sum(), NONE_WEIGHT))
    chances = np.exp(evidence - evidence.max())

    place, prefix = np.arange(steps)[:, None], np.arange(steps + 1)
    given_alive = curves @ alive_next.T / (mass + tiny)[:, None]
    given_dead = recoveries @ dead_next.T / (mass + tiny)[:, None]
    success = np.vstack([np.where(prefix <= place, given_alive, given_dead), none_next @ evenly / evenly.sum()])
    return Prediction(chances / chances.sum(), np.clip(success, 0.0, 1.0))


class Urns(NamedTuple):
    """Beta(mean·t, (1-mean)·t) for [T + 1 prefixes, M], and what Polya's likelihood needs of it that never changes."""

    a: Floats
    b: Floats
    tightness: Floats
    log_norm: Floats

    @classmethod
    def of(cls, mean: Floats, tightness: Floats) -> Urns:
        a = mean * tightness
        b = tightness - a
        return cls(a, b, tightness, _log_gamma(tightness) - _log_gamma(a) - _log_gamma(b))

    def likelihood(self, k: Floats, n: Floats) -> tuple[Floats, Floats]:
        """Log likelihood [T + 1, M] of an ordered record with such counts, and the next one's chance of success."""
        total = np.zeros_like(self.a)
        seen = np.flatnonzero(n)
        if len(seen):
            k_, n_ = k[seen, None], n[seen, None]
            won, lost = self.a[seen] + k_, self.b[seen] + (n_ - k_)
            total[seen] = self.log_norm[seen] + _log_gamma(won) + _log_gamma(lost) - _log_gamma(self.tightness + n_)
        return total, (self.a + k[:, None]) / (self.tightness + n[:, None])


def _log_gamma(x: Floats) -> Floats:
    """log Γ(x) for x > 0: Stirling's series at x + 8, minus log(x ... (x + 7)); exact to 1e-10."""
    shifted = x + 8.0
    product = x.copy() if isinstance(x, np.ndarray) else np.asarray(x, np.float64)
    for i in range(1, 8):
        product = product * (x + i)
    inverse = 1.0 / shifted
    series = inverse * (1 / 12 - inverse**2 * (1 / 360 - inverse**2 / 1260))
    return np.asarray((shifted - 0.5) * np.log(shifted) - shifted + _HALF_LOG_2PI + series - np.log(product))


def suspicion(surprisal: ArrayLike) -> Floats:
    """The prior of `predict` from how unlikely each step's tokens were to the policy itself: nats + .2 (our default).

    A slip is either a token that the policy held unlikely, or one where it was not sure: both cost nats. The constant
    keeps steps that were sure possible. Wording costs nats too, so it is a hint, which some continuations outweigh.

    Args:
        surprisal: [T] minus the sum of the log probabilities of each step's tokens; not finite counts as 0.
    """
    nats = np.asarray(surprisal, np.float64)
    return np.asarray(np.where(np.isfinite(nats), np.maximum(nats, 0.0), 0.0) + 0.2, np.float64)


def information(prediction: Prediction) -> Floats:
    """Expected information about the place from one more continuation of each prefix, in nats: [T + 1].

    Mutual information of the place and the outcome: H(outcome) - E[H(outcome | place)].
    """
    marginal = prediction.chances @ prediction.success
    gain = _entropy(marginal) - prediction.chances @ _entropy(prediction.success)
    return np.asarray(np.maximum(gain, 0.0), np.float64)


def _entropy(p: Floats) -> Floats:
    q = np.clip(p, 1e-12, 1 - 1e-12)
    return np.asarray(-(q * np.log(q) + (1 - q) * np.log1p(-q)), np.float64)
