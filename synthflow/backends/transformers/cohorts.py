"""Keys and values of what rows have sampled: rows that entered together grow together.

Invariant: column c of a cohort is the c-th token after the stem of each of its rows, so that nothing is padded and
nothing masked. The rows of the batch are those of the cohorts, one cohort after the other.
"""

from __future__ import annotations

import torch

from synthflow.backends.transformers.memory import GRAIN, Shapes, compacted


class Cohort:
    """Rows that entered at the same step.

    Attributes:
        rows: how many are left.
        length: columns written.
        keys: per layer, (rows * heads, tokens, head size); `values` likewise.
    """

    def __init__(self, shapes: Shapes, rows: int, limit: int, dtype: torch.dtype) -> None:
        self.rows, self.length = rows, 0
        self._heads = [heads for heads, _, _ in shapes]
        self._limit, self._capacity = limit, min(GRAIN, limit)
        self.keys = [torch.empty((rows * heads, self._capacity, size), dtype=dtype) for heads, size, _ in shapes]
        self.values = [torch.empty((rows * heads, self._capacity, size), dtype=dtype) for heads, _, size in shapes]

    def open_column(self) -> None:
        """Make room for the next token of every row."""
        if self.length == self._capacity:
            self._capacity = min(self._capacity + max(GRAIN, self._capacity // 4), self._limit)
            for tensors in (self.keys, self.values):
                for i, (old, heads) in enumerate(zip(tensors, self._heads, strict=True)):
                    tensors[i] = old.new_empty((self.rows * heads, self._capacity, old.shape[2]))
                    tensors[i][:, : self.length] = old[: self.rows * heads, : self.length]
        self.length += 1

    def leave(self, gone: set[int]) -> list[int]:
        """Drop some rows; the last ones take their places. Says which rows stay, in their new order."""
        order, holes, sources = compacted(self.rows, gone)
        if holes:
            for tensors in (self.keys, self.values):
                for tensor, heads in zip(tensors, self._heads, strict=True):
                    rows = tensor.unflatten(0, (-1, heads))
                    rows[holes, :, : self.length] = rows[sources, :, : self.length]
        self.rows = len(order)
        return order
