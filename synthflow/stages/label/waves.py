"""Continuations in waves: every rollout's rule is asked, what they want together is sampled, judged, and told to all.

Invariants: continuation i of a prefix is the same sample whoever asks for it and when, and those of a prefix are
numbered without gaps: so what one rule, or an earlier run, has sampled is never paid for by another. What a rule is
asked depends on the rollouts of its own problem only. Of several that ask for one prefix, the first in order pays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synthflow.contracts import Inputs, Services
from synthflow.contracts.stage_info import StageInfo
from synthflow.rollouts.continuations import Continuation, Tally, Wanted, judge, sample, tally
from synthflow.rollouts.prefixes import Prefix, PrefixCut, PrefixKey
from synthflow.rollouts.verdicts import Judged
from synthflow.stages.label.error_model import suspicion
from synthflow.stages.label.monte_carlo_config import SEARCHES, MonteCarloConfig
from synthflow.stages.label.reuse import Credits
from synthflow.stages.label.searchers import Searcher, Target


@dataclass(frozen=True, slots=True)
class Search:
    """One rollout, its rule, and the keys of the prefixes that the rule may ask for; `searcher` None samples nothing.

    A step without tokens ends with the same prefix as the one before it, and only the first of these stands here.
    """

    cut: PrefixCut
    keys: Mapping[int, PrefixKey]
    searcher: Searcher | None

    def wants(self, shortest_only: bool) -> dict[PrefixKey, int]:
        asked = {} if self.searcher is None else self.searcher.ask()
        if shortest_only and asked:
            asked = {min(asked): asked[min(asked)]}
        return {self.keys[j]: count for j, count in asked.items()}

    def tell(self, told: Mapping[PrefixKey, Tally], pays: set[PrefixKey]) -> None:
        if self.searcher is None:
            return
        for j, key in self.keys.items():
            if (t := told.get(key)) is not None:
                self.searcher.tell(j, t.successes, t.judged, t.unknown, t.tokens if key in pays else 0)


@dataclass(slots=True)
class Found:
    """All that was sampled, in the order of prefixes and indices, with its verdicts and the counts by prefix."""

    continuations: list[Continuation]
    judged: Judged
    counts: dict[PrefixKey, Tally]


def search_of(cut: PrefixCut, config: MonteCarloConfig) -> Search:
    """The rule for one rollout; none where the method searches for a first error and the rollout is not wrong."""
    row = cut.row
    keys: dict[int, PrefixKey] = {}
    for j, key in enumerate(cut.keys):
        if key is not None and key not in keys.values():
            keys[j] = key
    if config.method in SEARCHES and row["verdict"] != "wrong":
        return Search(cut, {}, None)
    whole = len(row["token_ids"])
    remaining = (whole, *(whole - owned.end for owned in cut.tokens))
    if config.force_stop is not None:
        remaining = (min(whole, config.max_tokens),) * len(remaining)  # what is left to say does not depend on it
    others = (row["n_correct"], row["n_correct"] + row["n_wrong"] - (row["verdict"] == "wrong"))
    return Search(cut, keys, config.searcher(Target(remaining, tuple(keys), others, _prior(cut, config))))


def _prior(cut: PrefixCut, config: MonteCarloConfig) -> tuple[float, ...] | None:
    """What the rollout's own log probabilities say of its steps; None where they are not asked for or not there."""
    if config.method != "posterior" or config.prior == "even" or cut.logprobs is None:
        return None
    nats = [-sum(np.array(step, np.float64)) for step in cut.logprobs]
    return None if np.isnan(nats).any() else tuple(suspicion(nats).tolist())


def run_waves(
    searches: Sequence[Search],
    prefixes: Mapping[PrefixKey, Prefix],
    config: MonteCarloConfig,
    policy_id: str,
    verify: StageInfo,
    inputs: Inputs,
    services: Services,
) -> Found:
    """Ask, sample, judge and tell until no rule asks for more.

    Args:
        searches: in the order of their rollouts' ids.
        prefixes: every prefix that has a key.

    Raises:
        InfrastructureError: if some continuations are still owed; what was sampled is journaled.
    """
    waves: list[tuple[list[Continuation], Judged]] = []
    counts: dict[PrefixKey, Tally] = {}
    sampled: dict[PrefixKey, int] = {}
    credits = Credits(prefixes) if config.reuse else None
    order = {key: place for place, (key, _) in enumerate(sorted(prefixes.items(), key=lambda item: item[1].order))}
    while True:
        # Reuse: shorter prefixes first, as longer ones may get continuations from them.
        wants = [search.wants(shortest_only=config.reuse) for search in searches]
        most: dict[PrefixKey, int] = {}
        pays: list[set[PrefixKey]] = []
        for asked in wants:
            pays.append(set(asked) - set(most))
            for key, count in asked.items():
                most[key] = max(most.get(key, 0), count)
        if waves and not most:
            break
        asked_for = sorted(most, key=order.__getitem__)
        wanted = [Wanted(key, prefixes[key], sampled.get(key, 0), most[key]) for key in asked_for]
        found = sample(wanted, config.policy, policy_id, config.params(), config.sampling_id(), services)
        judged = judge(found, verify, inputs, services)  # of nothing, too: it tells the scorer's version
        waves.append((found, judged))
        told = tally(found, judged.judgements)
        for key, count in most.items():
            sampled[key] = sampled.get(key, 0) + count
        if credits is not None:
            for key, credit in credits.of(found, judged.judgements).items():
                told[key] = told.get(key, Tally()) + credit
        for key, one in told.items():
            counts[key] = counts.get(key, Tally()) + one
        for search, paid in zip(searches, pays, strict=True):
            search.tell(told, paid)
    return _together(waves, counts, order)


def _together(
    waves: Sequence[tuple[list[Continuation], Judged]], counts: dict[PrefixKey, Tally], order: Mapping[PrefixKey, int]
) -> Found:
    rows = [row for found, told in waves for row in zip(found, told.texts, told.judgements, told.asked, strict=True)]
    rows.sort(key=lambda row: (order[row[0].key], row[0].index))
    judged = Judged([r[1] for r in rows], [r[2] for r in rows], [r[3] for r in rows], waves[0][1].scorer)
    return Found([row[0] for row in rows], judged, counts)
