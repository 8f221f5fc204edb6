"""Keys and values of the live rows, in slots that rows enter and leave without moving the others.

Invariant: slot i holds the keys and values of live row i at the columns of its own positions, so rows of
different lengths share a batch without padding on the left; the live rows are always slots 0..n-1. A row that
ends is overwritten by the last one. Memory is reserved for what rows may grow to, never beyond the budget.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache

from synthflow.backends.transformers.memory import GRAIN, Shapes, rows_that_fit, token_bytes, zeros
from synthflow.backends.transformers.prefill import Filled


class SlotLayer(CacheLayerMixin):  # type: ignore[misc]
    """One layer: keys and values of shape (slots, heads, tokens, head size)."""

    is_sliding = False

    def __init__(self, heads: int, key_size: int, value_size: int) -> None:
        super().__init__()
        self.keys: Any
        self.values: Any
        self.heads, self.sizes = heads, (key_size, value_size)
        self.n, self.length = 0, 0
        self.index: tuple[torch.Tensor, torch.Tensor] | None = None

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        return

    def allocate(self, slots: int, tokens: int, live: int, used: int, dtype: torch.dtype, device: str) -> None:
        """New buffers that take over `used` tokens of the first `live` rows."""
        old = (self.keys, self.values)
        fresh = [zeros((slots, self.heads, tokens, size), dtype, device) for size in self.sizes]
        if live:
            for new, before in zip(fresh, old, strict=True):
                new[:live, :, :used] = before[:live, :, :used]
        self.keys, self.values = fresh
        self.is_initialized = True

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any) -> Any:
        """Write one token a row at the row's position; give back all that the rows attend to."""
        assert self.index is not None
        rows, at = self.index
        self.keys[rows, :, at] = key_states[:, :, 0]
        self.values[rows, :, at] = value_states[:, :, 0]
        return self.keys[: self.n, :, : self.length], self.values[: self.n, :, : self.length]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length, 0

    def get_seq_length(self) -> int:
        return max(self.length - 1, 0)

    def get_max_length(self) -> int:
        return -1


class Slots:
    """The slots of all layers.

    Args:
        shapes: as `probe` finds them.
        budget: bytes that keys and values may take.
        most: slots at most.
    """

    def __init__(self, shapes: Shapes, budget: float, most: int, dtype: torch.dtype, device: str) -> None:
        self.cache = Cache(layers=[SlotLayer(*s) for s in shapes])
        self.tokens = 0
        self._slots = 0
        self._bytes = token_bytes(shapes, dtype)
        self._budget, self._most, self._dtype, self._device = budget, most, dtype, device

    def room(self, need: int) -> int:
        """How many rows fit if the longest may grow to `need` tokens; one always does."""
        return rows_that_fit(need, self._bytes, self._budget, self._most)

    def reserve(self, rows: int, need: int, live: int, used: int) -> None:
        """Make `rows` slots of `need` tokens or more, keeping `used` tokens of the `live` first.

        Slots more than twice as large as needed are given back, so that one long row costs no room for ever.
        """
        tokens, slots = -(-need // GRAIN) * GRAIN, self.room(need)
        if tokens <= self.tokens <= 2 * tokens and rows <= self._slots:
            return
        for layer in self.cache.layers:
            layer.allocate(slots, tokens, live, used, self._dtype, self._device)
        self.tokens, self._slots = tokens, slots

    def point(self, positions: torch.Tensor, length: int) -> None:
        """The next forward pass writes row i at `positions[i]` and reads the first `length` columns."""
        index = (torch.arange(len(positions), device=positions.device), positions)
        for layer in self.cache.layers:
            layer.n, layer.length, layer.index = len(positions), length, index

    def move(self, sources: list[int], targets: list[int], length: int) -> None:
        """Copy the first `length` columns of some rows over others."""
        if sources:
            for layer in self.cache.layers:
                layer.keys[targets, :, :length] = layer.keys[sources, :, :length]
                layer.values[targets, :, :length] = layer.values[sources, :, :length]

    def fill(self, filled: Filled, targets: list[int]) -> None:
        """Copy a prefilled stem into every target slot."""
        length = len(filled.stem)
        for layer, found in zip(self.cache.layers, filled.cache.layers, strict=True):
            layer.keys[targets, :, :length] = found.keys[filled.row, None, :, filled.columns]
            layer.values[targets, :, :length] = found.values[filled.row, None, :, filled.columns]

    def free(self) -> None:
        """Give the memory back."""
        for layer in self.cache.layers:
            layer.keys = layer.values = None
        self.tokens = self._slots = 0


def probe(model: PreTrainedModel, token: int, device: str) -> Shapes:
    """Shapes of a model's keys and values, from a forward pass over one token.

    Raises:
        ValueError: if some layer keeps anything but keys and values of all tokens.
    """
    cache = DynamicCache()
    model(input_ids=torch.tensor([[token]], device=device), past_key_values=cache, use_cache=True)
    shapes = []
    for layer in cache.layers:
        if getattr(layer, "keys", None) is None or layer.keys.dim() != 4 or layer.keys.shape[2] != 1:
            raise ValueError("a layer keeps something else than keys and values")
        shapes.append((layer.keys.shape[1], layer.keys.shape[3], layer.values.shape[3]))
    if not shapes:
        raise ValueError("the model keeps no keys and values")
    return shapes
