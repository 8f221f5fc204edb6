"""Keys and values of prompts, from transformers' own forward pass over all of their tokens but the last.

Invariant: what is computed once serves every prompt that begins alike: of prompts of which one begins another only
the longest is computed, since under causal attention keys and values depend on nothing that follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import DynamicCache

Tokens = tuple[int, ...]
PREFILL_TOKENS = 4096
"""Padded tokens of one pass."""


@dataclass(frozen=True, slots=True)
class Filled:
    """Where a stem's keys and values stand: columns of one row of a cache."""

    stem: Tokens
    cache: DynamicCache
    row: int
    columns: slice


def begins(stem: Tokens, other: Tokens) -> bool:
    """Whether `other` begins with `stem`, or is it."""
    return other[: len(stem)] == stem


def prefill(model: Any, stems: Iterable[Tokens], device: str) -> Iterator[Filled]:
    """Keys and values of every stem that has a token, each once."""
    wholes: list[Tokens] = []
    of: dict[Tokens, list[Tokens]] = {}
    for stem in sorted({s for s in stems if s}, reverse=True):  # what begins another stem comes right after it
        if not wholes or not begins(stem, wholes[-1]):
            wholes.append(stem)
        of.setdefault(wholes[-1], []).append(stem)
    for group in _groups(sorted(wholes, key=len)):
        width, cache = len(group[-1]), _computed(model, group, device)
        for row, whole in enumerate(group):
            start = width - len(whole)
            for stem in of[whole]:
                yield Filled(stem, cache, row, slice(start, start + len(stem)))


def _groups(wholes: list[Tokens]) -> Iterator[list[Tokens]]:
    group: list[Tokens] = []
    for whole in wholes:
        if group and len(whole) * (len(group) + 1) > PREFILL_TOKENS:
            yield group
            group = []
        group.append(whole)
    if group:
        yield group


def _computed(model: Any, group: list[Tokens], device: str) -> DynamicCache:
    width = len(group[-1])
    ids = torch.zeros((len(group), width), dtype=torch.int64)
    mask = torch.zeros((len(group), width), dtype=torch.int64)
    for i, whole in enumerate(group):  # padded on the left
        ids[i, width - len(whole) :] = torch.tensor(whole)
        mask[i, width - len(whole) :] = 1
    cache = DynamicCache()
    model(
        input_ids=ids.to(device),
        attention_mask=None if len(group[0]) == width else mask.to(device),
        position_ids=(mask.cumsum(dim=-1) - 1).clamp(min=0).to(device),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    return cache
