"""Joining a failed beginning and a correct ending in text and in tokens at once.

Invariant: a splice is made only where both cuts are exact: the tokens up to a cut spell the text up to it. So what is
joined is what was sampled, but for the reflection, which the policy's tokenizer reads as plain text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synthflow import ids
from synthflow.contracts import Renderer
from synthflow.rollouts.prefixes import prefix_id

POLICY, US = "policy", "synthflow"
"""Authors of spans: the policy, and what we put between."""


@dataclass(frozen=True, slots=True)
class Good:
    """A correct rollout."""

    row: Mapping[str, Any]
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Weld:
    """A splice: `steps` and `failed_tokens` are those of the failed rollout in it, the error included; `prefix_id` is
    theirs. `authors` are spans in code points, `mask` one boolean a token."""

    prefix_id: str
    steps: int
    failed_tokens: int
    text: str
    tokens: tuple[int, ...]
    authors: tuple[dict[str, Any], ...]
    mask: tuple[bool, ...]
    reflection: str
    good: Mapping[str, Any]


def splice(
    failed: Mapping[str, Any],
    error: Mapping[str, Any],
    goods: Sequence[Good],
    renderer: Renderer,
    reflections: Sequence[str],
    train_prefix: bool,
) -> list[Weld]:
    """Splices of a failed rollout with each correct one that shares the tokens before its first error.

    Args:
        failed: the failed rollout's row.
        error: its first error step: index, char_start, char_end, token_start, token_end.
        goods: correct rollouts of the same prompt, policy and round, in the order of their ids.

    Returns:
        One splice a correct rollout that goes on in another way, those in an order that ids and hashes decide. None
        where the error's cuts are not exact.
    """
    tokens = tuple(failed["token_ids"])
    start, end = error["token_start"], error["token_end"]
    while end > start and tokens[end - 1] in renderer.stop_token_ids:
        end -= 1
    head, bad = failed["completion"][: error["char_start"]], failed["completion"][: error["char_end"]]
    exact = renderer.decode(tokens[:start]) == head and renderer.decode(tokens[:end]) == bad
    if not exact or start == end:
        return []
    prefix = prefix_id(failed, tokens[:end])
    step = tokens[start:end]
    found = []
    for good, rest in _ways_on(goods, tokens[:start], step, head, renderer):
        chosen = _choice(reflections, prefix, good.row["rollout_id"])
        said = chosen if bad.endswith("\n") else "\n" + chosen
        words = tuple(renderer.encode(said))
        if renderer.decode((*tokens[:end], *words)) != bad + said:
            continue
        text = bad + said + good.row["completion"][len(head) :]
        if renderer.decode((*tokens[:end], *words, *rest)) != text:
            continue
        found.append(
            Weld(
                prefix,
                error["index"] + 1,
                end,
                text,
                (*tokens[:end], *words, *rest),
                (
                    {"author": POLICY, "start": 0, "end": len(bad)},
                    {"author": US, "start": len(bad), "end": len(bad + said)},
                    {"author": POLICY, "start": len(bad + said), "end": len(text)},
                ),
                (train_prefix,) * start + (False,) * len(step) + (True,) * (len(words) + len(rest)),
                said,
                good.row,
            )
        )
    return sorted(found, key=lambda one: ids.digest(f"{prefix}|{one.good['rollout_id']}"))


def _ways_on(
    goods: Sequence[Good], shared: tuple[int, ...], step: tuple[int, ...], head: str, renderer: Renderer
) -> Iterator[tuple[Good, tuple[int, ...]]]:
    """Correct rollouts that begin with the shared tokens and go on in another way, each once, with their rest."""
    seen: set[tuple[int, ...]] = set()
    for good in goods:
        rest = good.tokens[len(shared) :]
        begins = good.tokens[: len(shared)] == shared and good.row["completion"].startswith(head)
        if not begins or not rest or rest[: len(step)] == step or rest in seen:
            continue
        if renderer.decode(good.tokens) == good.row["completion"]:
            seen.add(rest)
            yield good, rest


def _choice(reflections: Sequence[str], prefix: str, good: str) -> str:
    return reflections[int(ids.digest(f"reflection:{prefix}|{good}")[:8], 16) % len(reflections)]
