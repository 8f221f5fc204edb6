"""A continuation counts for the longer prefixes that it happens to begin with.

Of the continuations of a prefix, those that begin as a longer prefix of some rollout goes on are continuations of that
prefix too, drawn as if they had been asked for. This is unbiased: which of them are credited depends on the tokens up
to the longer prefix's end only, and given these, the rest and its verdict are distributed as a fresh continuation's.
(The longer prefix is part of a first rollout, sampled apart from them.) Two things differ. The rest has fewer tokens
left before its limit. And neighbouring values share samples, so that they are correlated: the error of an advantage,
which takes them as independent, is then on the safe side.

First rollouts are never credited: which of them are labelled depends on their verdicts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from synthflow.contracts import Judgement
from synthflow.rollouts.continuations import Continuation, Tally
from synthflow.rollouts.prefixes import Prefix, PrefixKey


class Credits:
    """The prefixes of a partition by what they are prefixes of."""

    def __init__(self, prefixes: Mapping[PrefixKey, Prefix]) -> None:
        self._by_prompt: dict[tuple[str, int, str], list[tuple[PrefixKey, Prefix]]] = {}
        for key, prefix in prefixes.items():
            self._by_prompt.setdefault(_prompt(key, prefix), []).append((key, prefix))

    def of(self, continuations: Sequence[Continuation], judgements: Iterable[Judgement]) -> dict[PrefixKey, Tally]:
        """What each longer prefix is credited with; without tokens, which are booked where they were asked for."""
        found: dict[PrefixKey, Tally] = {}
        for continuation, judgement in zip(continuations, judgements, strict=True):
            written = continuation.result.token_ids
            if not written:
                continue
            start = continuation.prefix.tokens
            at = len(start)
            for key, longer in self._by_prompt[_prompt(continuation.key, continuation.prefix)]:
                more = len(longer.tokens) - at
                if (
                    0 < more <= len(written)
                    and longer.tokens[at] == written[0]
                    and longer.tokens[at:] == written[:more]
                    and longer.tokens[:at] == start
                ):
                    found[key] = found.get(key, Tally()) + Tally.of(judgement)
        return found


def _prompt(key: PrefixKey, prefix: Prefix) -> tuple[str, int, str]:
    return key[0], key[1], prefix.prompt_hash
