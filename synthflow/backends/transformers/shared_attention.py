"""Attention of one new token a row over a stem that rows share and over what each has sampled.

Invariant: a row attends to its stem's tokens and to its own, each once, with the weights of one softmax over both:
what full attention over the whole sequence gives, but for rounding. A stem's keys are read once for all of its rows,
as matrix products over a grid of stems by places; those of a row once for itself, a cohort at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from synthflow.backends.transformers.cohorts import Cohort
from synthflow.backends.transformers.prefixes import Prefixes

CACHED_BYTES = 3 << 18
"""What is read at once: it, and little else, fits into a core's second cache."""

GRID = 1 << 22
"""Scores of one grid at most, empty places and all: 16 MiB in float32."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Some heads of a cohort, and where their scores and weights stand in this step."""

    cohort: Cohort
    heads: slice
    scores: torch.Tensor
    weights: torch.Tensor

    def read(self, held: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        """Add a column to keys or values; give back all columns, (heads, tokens, size)."""
        part = _fetched(held[self.heads])[:, : self.cohort.length]
        part[:, -1] = new
        return part


@dataclass(frozen=True, slots=True)
class _Grid:
    """Some stems and their rows, every row at a place of its stem.

    Attributes:
        lines: heads of the stems, in the order of the slots.
        heads: the heads of rows that stand here; None for all.
        cells: where each of them stands, in a grid of lines by places.
    """

    lines: slice
    heads: torch.Tensor | None
    cells: torch.Tensor
    places: int

    def spread(self, rows: torch.Tensor) -> torch.Tensor:
        """(heads, group, x) of all rows to (lines, places * group, x); what an empty place holds is read by nobody."""
        mine = rows if self.heads is None else rows[self.heads]
        lines = self.lines.stop - self.lines.start
        grid = mine.new_empty((lines * self.places, *mine.shape[1:]))
        return grid.index_copy_(0, self.cells, mine).view(lines, -1, mine.shape[-1])

    def gather(self, grid: torch.Tensor, into: torch.Tensor) -> None:
        """The way back."""
        found = grid.view(-1, into.shape[1], grid.shape[-1]).index_select(0, self.cells)
        if self.heads is None:
            into.copy_(found)
        else:
            into[self.heads] = found


class SharedAttention:
    """Attention for one step after another, as long as the rows stay the same.

    Args:
        heads: heads of keys and values.
        group: heads of queries for each of them.
    """

    def __init__(self, prefixes: Prefixes, cohorts: Sequence[Cohort], heads: int, group: int) -> None:
        self._prefixes, self._cohorts = prefixes, cohorts
        self._heads, self._group, self._stem = heads, group, prefixes.longest
        self._grids = list(self._spread_out())
        self._absent = self._mask() if len(set(map(len, prefixes.stems))) > 1 else None
        self._parts: list[_Part] = []
        self._sizes: list[int] = []
        self._scores = self._weights = torch.empty(0)

    def _spread_out(self) -> Iterator[_Grid]:
        slots, taken, place = len(self._prefixes.stems), [0] * len(self._prefixes.stems), []
        for slot in self._prefixes.slot_of:
            place.append(taken[slot])
            taken[slot] += 1
        places, head = max(taken), torch.arange(self._heads)
        at, of = torch.tensor(place), torch.tensor(self._prefixes.slot_of)
        step = max(1, GRID // max(1, self._heads * places * self._group * self._stem))
        for start in range(0, slots, step):
            stop = min(start + step, slots)
            mine = ((of >= start) & (of < stop)).nonzero()
            cells = ((of[mine] - start) * self._heads + head) * places + at[mine]
            heads = None if stop - start == slots else (mine * self._heads + head).flatten()
            yield _Grid(slice(start * self._heads, stop * self._heads), heads, cells.flatten(), places)

    def _mask(self) -> torch.Tensor:
        lengths = torch.tensor([len(s) for s in self._prefixes.stems])
        absent = torch.arange(self._stem) >= lengths[:, None]
        mask = torch.zeros(absent.shape).masked_fill(absent, -torch.inf)
        return mask.repeat_interleave(self._heads, 0)[:, None]

    def begin(self, dtype: torch.dtype) -> None:
        """Every cohort has a new column."""
        rows = len(self._prefixes.slot_of) * self._heads
        columns = self._stem + max(c.length for c in self._cohorts)
        # What a shorter cohort does not have stays so in every layer.
        self._scores = torch.full((rows, self._group, columns), -torch.inf, dtype=dtype)
        self._weights = torch.empty_like(self._scores)
        self._parts, start = [], 0
        for cohort in self._cohorts:
            own = slice(self._stem, self._stem + cohort.length)
            for heads in _cut(cohort.keys[0], cohort.rows * self._heads):
                at = slice(start + heads.start, start + heads.stop)
                self._parts.append(_Part(cohort, heads, self._scores[at, :, own], self._weights[at, :, own]))
            start += cohort.rows * self._heads
        self._sizes = [p.heads.stop - p.heads.start for p in self._parts]

    def attend(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Write a token's keys and values, and attend.

        Args:
            query: (rows, heads * group, size), scaled.
            key: (rows, heads, size); `value` likewise.

        Returns:
            (rows, heads * group * size).
        """
        queries, keys, values = query.view(-1, self._group, query.shape[-1]), key.flatten(0, 1), value.flatten(0, 1)
        for grid in self._grids if self._stem else ():
            grid.gather(self._stem_scores(layer, grid, queries), self._scores[:, :, : self._stem])
        for part, asked, new in zip(self._parts, queries.split(self._sizes), keys.split(self._sizes), strict=True):
            part.scores.copy_(torch.bmm(asked, part.read(part.cohort.keys[layer], new).transpose(1, 2)))
        torch.softmax(self._scores, -1, out=self._weights)
        read = values.new_zeros((*queries.shape[:2], values.shape[-1]))
        for grid in self._grids if self._stem else ():
            grid.gather(self._stem_values(layer, grid), read)
        for part, into, new in zip(self._parts, read.split(self._sizes), values.split(self._sizes), strict=True):
            into.baddbmm_(part.weights, part.read(part.cohort.values[layer], new))
        return read.view(len(query), -1)

    def _stem_scores(self, layer: int, grid: _Grid, queries: torch.Tensor) -> torch.Tensor:
        spread, held = grid.spread(queries), self._prefixes.keys[layer].flatten(0, 1)[grid.lines]
        found = spread.new_empty((*spread.shape[:2], self._stem))
        for at in _cut(held, len(held)):
            torch.bmm(spread[at], _fetched(held[at])[:, : self._stem].transpose(1, 2), out=found[at])
        if self._absent is not None:
            found += self._absent[grid.lines]
        return found

    def _stem_values(self, layer: int, grid: _Grid) -> torch.Tensor:
        spread = grid.spread(self._weights[:, :, : self._stem])
        held = self._prefixes.values[layer].flatten(0, 1)[grid.lines]
        found = spread.new_empty((*spread.shape[:2], held.shape[-1]))
        for at in _cut(held, len(held)):
            torch.bmm(spread[at], _fetched(held[at])[:, : self._stem], out=found[at])
        return found


def _cut(held: torch.Tensor, heads: int) -> list[slice]:
    """The first `heads` of keys or values (heads, tokens, size), a part at a time."""
    step = max(1, CACHED_BYTES // (held.stride(0) * held.itemsize))
    return [slice(start, min(start + step, heads)) for start in range(0, heads, step)]


def _fetched(part: torch.Tensor) -> torch.Tensor:
    """The same, summed once for the order in which that reads it: the processor then fetches ahead what many small
    products would wait for one by one. It halves the time where a batch does not fit into the caches."""
    part.sum()
    return part
