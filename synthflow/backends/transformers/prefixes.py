"""Keys and values of what prompts have in common: one slot a stem, whatever the number of rows that go on from it.

Invariant: slot s holds the keys and values of `stems[s]`, the prompt of each of its rows but for the last token;
slots 0..n-1 are those with a row. All of them are read as a grid of slots by places; so that few places are empty, a
slot takes at most `SHARERS` rows, and at most twice what a stem has on average.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from synthflow.backends.transformers.memory import GRAIN, Shapes, zeros
from synthflow.backends.transformers.prefill import Tokens, begins, prefill

SHARERS = 16
"""Rows of one slot at most."""


class Prefixes:
    """Stems of the live rows.

    Attributes:
        slot_of: the slot of every row, in the order of the rows.
        keys: per layer, (slots, heads, tokens, head size); `values` likewise.
    """

    def __init__(self, shapes: Shapes, dtype: torch.dtype) -> None:
        self._shapes, self._dtype = shapes, dtype
        self.stems: list[Tokens] = []
        self.slot_of: list[int] = []
        self.keys: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []
        self._slots = self._tokens = 0

    @property
    def longest(self) -> int:
        return max(map(len, self.stems), default=0)

    def enter(self, stems: Sequence[Tokens], model: Any) -> None:
        """Append rows; what no live stem holds already is computed by `model`."""
        used = len(self.stems)
        sharers = [0] * used
        for slot in self.slot_of:
            sharers[slot] += 1
        rows, distinct = len(self.slot_of) + len(stems), len({*self.stems, *stems})
        most = min(SHARERS, -(-2 * rows // distinct))
        for stem in stems:
            open_slots = (s for s, held in enumerate(self.stems) if sharers[s] < most and held == stem)
            slot = next(open_slots, len(self.stems))
            if slot == len(self.stems):
                self.stems.append(stem)
                sharers.append(0)
            sharers[slot] += 1
            self.slot_of.append(slot)
        self._reserve(used)
        self._fill(used, model)

    def _fill(self, used: int, model: Any) -> None:
        owed: dict[Tokens, list[int]] = {}
        for slot in range(used, len(self.stems)):
            stem = self.stems[slot]
            source = next((s for s in range(used) if begins(stem, self.stems[s])), None)
            if source is None:
                owed.setdefault(stem, []).append(slot)
            else:
                self._copy(source, slot, len(stem))
        for filled in prefill(model, owed, "cpu"):
            for mine, theirs in ((self.keys, "keys"), (self.values, "values")):
                for tensor, layer in zip(mine, filled.cache.layers, strict=True):
                    found = getattr(layer, theirs)[filled.row, :, filled.columns]
                    for slot in owed[filled.stem]:
                        tensor[slot, :, : len(filled.stem)] = found

    def _copy(self, source: int, target: int, length: int) -> None:
        for tensor in (*self.keys, *self.values):
            tensor[target, :, :length] = tensor[source, :, :length]

    def _reserve(self, used: int) -> None:
        """Room for all stems, keeping the first `used`; more than four times the tokens needed are given back."""
        tokens = -(-max(self.longest, 1) // GRAIN) * GRAIN
        if len(self.stems) <= self._slots and tokens <= self._tokens <= 4 * tokens:
            return
        slots = max(len(self.stems), 2 * used)
        kept = min(tokens, self._tokens)
        for tensors, at in ((self.keys, 1), (self.values, 2)):
            old = list(tensors)
            tensors.clear()
            for i, shape in enumerate(self._shapes):
                tensors.append(zeros((slots, shape[0], tokens, shape[at]), self._dtype, "cpu"))
                if used:
                    tensors[i][:used, :, :kept] = old[i][:used, :, :kept]
                    old[i] = tensors[i]
        self._slots, self._tokens = slots, tokens

    def leave(self, order: Sequence[int]) -> None:
        """Keep the rows of `order`, in this order; slots without a row are given to the last ones."""
        kept = [self.slot_of[row] for row in order]
        held = set(kept)
        moved = {slot: slot for slot in held}
        holes = [slot for slot in range(len(held)) if slot not in held]
        for hole, last in zip(holes, sorted((s for s in held if s >= len(held)), reverse=True), strict=True):
            self._copy(last, hole, len(self.stems[last]))
            self.stems[hole], moved[last] = self.stems[last], hole
        del self.stems[len(held) :]
        self.slot_of = [moved[slot] for slot in kept]

    def clear(self) -> None:
        """Forget all rows and give the memory back."""
        self.stems, self.slot_of = [], []
        self.keys, self.values = [], []
        self._slots = self._tokens = 0
