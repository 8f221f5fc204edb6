"""Memory of keys and values: how much there is to take, and how rows move together in it."""

from __future__ import annotations

import math

import numpy as np
import torch

GRAIN = 32
"""Tokens that room is made for at once."""

Shapes = list[tuple[int, int, int]]
"""Per layer: heads, size of a key, size of a value."""


def zeros(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> torch.Tensor:
    """Zeros that, on a CPU, take memory only where they are written: NumPy leaves untouched pages to the kernel."""
    if device != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    raw = np.zeros(math.prod(shape) * dtype.itemsize, dtype=np.uint8)
    return torch.from_numpy(raw).view(dtype).view(shape)


def token_bytes(shapes: Shapes, dtype: torch.dtype) -> int:
    """What the keys and values of one token take."""
    return int(dtype.itemsize) * sum(heads * (key + value) for heads, key, value in shapes)


def rows_that_fit(tokens: int, per_token: int, budget: float, most: int) -> int:
    """How many rows of so many tokens the budget holds; one always does."""
    grown = -(-tokens // GRAIN) * GRAIN
    return max(1, min(most, int(budget // (grown * per_token))))


def compacted(rows: int, gone: set[int]) -> tuple[list[int], list[int], list[int]]:
    """What is left of rows when the last ones take the places of those that go: (old row by new place; the places
    taken; by which rows)."""
    left = rows - len(gone)
    holes = [row for row in range(left) if row in gone]
    sources = [row for row in range(left, rows) if row not in gone]
    order = list(range(left))
    for hole, source in zip(holes, sources, strict=True):
        order[hole] = source
    return order, holes, sources
