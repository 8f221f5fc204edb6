"""How a first error is read off counts of continuations, and how a sequential rule is played against a pool.

Decision rules for exhaustive Monte Carlo, from successes and judged continuations of the T + 1 prefixes of a wrong
rollout (prefix 0 is the prompt with its group's counts; prefix T is the whole rollout, which is known to be wrong):

- `below t`: the first step whose value is below t (Math-Shepherd's soft label with a threshold); `no success`: its
  hard label; `below r of prompt`: below r times the value of the prompt;
- `largest drop`: the step that loses most value;
- `is_first_error`: what `label.monte_carlo` writes (where it is undecided, it counts as not found);
- `change point`: the maximum-likelihood split into a higher chance before and a lower one after;
- `recovery e`: chances before the error unknown (uniform), e after it; the most likely place;
- `posterior`: the most likely place under `labels.error_model`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from step_case import Case

from synthflow.stages.label.values import Evidence, step_columns

Counts = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Successes and judged, of T + 1 prefixes."""
Rule = Callable[[Counts], int | None]
Floats = NDArray[np.float64]


def values(counts: Counts) -> Floats:
    """Shares of successes; NaN where nothing was judged; 0 for the whole rollout."""
    successes, judged = (c.astype(np.float64) for c in counts)
    found = np.divide(successes, judged, out=np.full(len(judged), np.nan), where=judged > 0)
    found[-1] = 0.0
    return found


def below(counts: Counts, threshold: float = 0.0, share: float = 0.0) -> int | None:
    """First step after which the value is below `threshold` plus `share` of the prompt's value, or is 0."""
    found = values(counts)
    low = found[1:] < max(threshold + share * float(np.nan_to_num(found[0])), 1e-9)
    return int(np.flatnonzero(low)[0])  # the last one is: its value is 0


def largest_drop(counts: Counts) -> int | None:
    """The step with the lowest advantage; the earliest of equals. A value that is not known is that before it."""
    found = values(counts)
    for j in range(1, len(found)):
        found[j] = found[j - 1] if np.isnan(found[j]) else found[j]
    drops = np.diff(found)
    return None if np.isnan(drops).all() else int(np.nanargmin(drops))


def named_by_label(counts: Counts) -> int | None:
    """`is_first_error` of `label.monte_carlo`."""
    successes, judged = counts
    steps = [Evidence(int(k), int(n)) for k, n in zip(successes[1:-1], judged[1:-1], strict=True)]
    prompt = Evidence(int(successes[0]), int(judged[0]), "prompt")
    return step_columns(prompt, [*steps, Evidence(0, 1, "verdict")], "wrong").first_error


def _log_likelihood(successes: Floats, judged: Floats) -> Floats:
    """Of counts under their own share: k log(k/n) + (n - k) log(1 - k/n), with 0 log 0 = 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        p = successes / judged
        total = np.where(successes > 0, successes * np.log(p), 0.0)
        return np.asarray(total + np.where(judged > successes, (judged - successes) * np.log1p(-p), 0.0))


def change_point(counts: Counts) -> int | None:
    """Split k with the highest likelihood of one chance for prefixes 0..k and a lower one for k + 1..T - 1."""
    successes, judged = (c[:-1].astype(np.float64) for c in counts)
    k, n = np.cumsum(successes), np.cumsum(judged)
    rest_k, rest_n = k[-1] - k, n[-1] - n
    falls = (rest_n == 0) | (rest_k * n < k * rest_n)
    score = np.where(falls, _log_likelihood(k, n) + _log_likelihood(rest_k, rest_n), -np.inf)
    return int(np.argmax(score))


def recovery(counts: Counts, chance: float) -> int | None:
    """Place with the highest likelihood: any chance before (marginally 1 / (n + 1) for each count), `chance` after.

    The count of a dead prefix is binomial: C(n, k) chance^k (1 - chance)^(n - k).
    """
    from math import lgamma

    successes, judged = (c[1:-1].astype(np.float64) for c in counts)
    choose = np.array(
        [lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) for k, n in zip(successes, judged, strict=True)]
    )
    alive = -np.log(judged + 1)
    dead = choose + successes * np.log(chance) + (judged - successes) * np.log1p(-chance)
    before = np.concatenate([[0.0], np.cumsum(alive)])
    after = np.concatenate([np.cumsum(dead[::-1])[::-1], [0.0]])
    return int(np.argmax(before + after))


def most_likely(counts: Counts) -> int | None:
    """Most likely place under the model of the posterior search; None where that is `no such step`."""
    place = int(np.argmax(chances(counts)))
    return place if place < len(counts[0]) - 1 else None


def chances(counts: Counts) -> Floats:
    """Posterior of every step, and of none, under `labels.error_model`."""
    from synthflow.stages.label.error_model import predict

    return np.asarray(predict(*counts).chances, np.float64)


RULES: dict[str, Rule] = {
    "no success": below,
    **{f"below {t}": partial(below, threshold=t) for t in (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)},
    **{f"below {r} of prompt": partial(below, share=r) for r in (0.1, 0.2, 0.3, 0.5, 0.7)},
    "largest drop": largest_drop,
    "is_first_error": named_by_label,
    "change point": change_point,
    **{f"recovery {e}": partial(recovery, chance=e) for e in (0.01, 0.03, 0.06, 0.1)},
    "posterior": most_likely,
}


class Played(NamedTuple):
    """What a rule had when it stopped.

    Attributes:
        counts: by prefix, with the group's for prefix 0. spent: tokens. asked: continuations.
        index, chances: of the first error, as the rule says; None where it says nothing.
    """

    counts: Counts
    spent: int
    asked: int
    index: int | None
    chances: Floats | None


def orders(case: Case, seed: int) -> NDArray[np.int64]:
    """[T + 1, K] in which order the continuations of each prefix are drawn; seed 0 is the order of their index."""
    size, k = case.verdicts.shape
    if not seed:
        return np.tile(np.arange(k), (size, 1))
    return np.random.default_rng([seed, case.truth, size]).permuted(np.tile(np.arange(k), (size, 1)), axis=1)


def play(searcher: Any, case: Case, order: NDArray[np.int64]) -> Played:
    """Serve a searcher (`labels.searchers.Searcher`) from the pool until it asks for nothing.

    Raises:
        IndexError: if it asks for more than the pool holds.
    """
    successes = np.zeros(case.steps + 1, np.int64)
    judged, drawn = successes.copy(), successes.copy()
    successes[0], judged[0] = case.prompt
    spent = 0
    while wanted := searcher.ask():
        for prefix, count in wanted.items():
            start, stop = drawn[prefix], drawn[prefix] + count
            if stop > case.verdicts.shape[1]:
                raise IndexError(f"prefix {prefix}: {stop} continuations asked for, the pool holds fewer")
            rows = order[prefix, start:stop]
            verdicts, tokens = case.verdicts[prefix, rows], int(case.tokens[prefix, rows].sum())
            right, known = int((verdicts == 1).sum()), int((verdicts >= 0).sum())
            searcher.tell(prefix, right, known, count - known, tokens)
            successes[prefix] += right
            judged[prefix] += known
            drawn[prefix], spent = stop, spent + tokens
    said = searcher.first_error()
    index, given = (None, None) if said is None else (said.index, said.chances)
    return Played((successes, judged), spent, int(drawn.sum()), index, given)


def scores_of(played: Played, by: str) -> Floats:
    """A score for each step that is high where it may be the first error.

    Args:
        by: `advantage` (minus it), `posterior`, or `said`: the rule's own chances, or 1 for the step that it names.
    """
    steps = len(played.counts[0]) - 1
    if by == "advantage":
        found = values(played.counts)
        for j in range(1, len(found)):
            found[j] = found[j - 1] if np.isnan(found[j]) else found[j]
        return np.asarray(np.nan_to_num(-np.diff(found)), np.float64)
    if by == "posterior":
        return chances(played.counts)[:steps]
    if played.chances is not None:
        return np.asarray(played.chances[:steps], np.float64)
    return np.asarray(np.arange(steps) == (-1 if played.index is None else played.index), np.float64)


def tokens_for(accuracy: float, points: Mapping[float, tuple[float, float]]) -> float:
    """Tokens from which on a labeler has an accuracy, between its settings linearly; NaN where it does not keep it.

    Args:
        points: mean tokens and accuracy by setting.
    """
    path = sorted(points.values())
    short = [i for i, (_, reached) in enumerate(path) if reached < accuracy]
    if not path or (short and short[-1] == len(path) - 1):
        return float("nan")
    if not short:
        return path[0][0]
    (tokens, reached), (more, higher) = path[short[-1]], path[short[-1] + 1]
    return tokens + (accuracy - reached) / (higher - reached) * (more - tokens)
