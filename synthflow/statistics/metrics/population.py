"""What group metrics are computed from: the rollouts that one stage retains, and what several metrics ask of them.

Invariants: a chunk holds whole groups, whose rollouts stand next to each other; its texts are hashed once, whatever
the number of stages that retain them; nothing is computed that no metric asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from synthflow.statistics.accumulate import group_sums, runs
from synthflow.statistics.diversity import SAMPLE, distinct_and_entropy, jaccard_kernels
from synthflow.statistics.sketches import ngram_hashes
from synthflow.statistics.texts import shapes, word_codes

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Grams:
    """The n-grams of some texts, sorted by group and hash; texts are given as `word_codes` does.

    Attributes:
        text, group, hashes: of each gram, repetitions included.
        seen: grams of each text.
    """

    def __init__(self, vocabulary: I64, words: I64, lengths: I64, n: int, group: I64) -> None:
        text, hashes = ngram_hashes(vocabulary[words], lengths, n)
        self.seen = np.bincount(text, minlength=len(lengths)).astype(np.float64)
        codes, starts, counts = runs(group[text])
        # Group by group: many times faster than to sort them all, and texts of a group stand together.
        orders = [at + np.argsort(hashes[at : at + some]) for at, some in zip(starts, counts, strict=True)]
        order = np.concatenate([np.empty(0, np.int64), *orders])
        self.text, self.hashes, self.group = text[order], hashes[order], np.repeat(codes, counts)

    def distinct(self, mask: Mask) -> tuple[I64, I64]:
        """Group and hash of each gram that the texts of `mask` hold, once a group; sorted by both."""
        kept = slice(None) if mask.all() else mask[self.text]
        group, hashes = self.group[kept], self.hashes[kept]
        once = _changes(group, hashes)
        return group[once], hashes[once]

    def holders(self, place: I64) -> tuple[I64, I64]:
        """Group of each gram, and the set of the texts that hold it, text i of the set as bit `place[i]`.

        Args:
            place: of each text; below 0 it is left out.
        """
        kept = place[self.text] >= 0
        group, hashes, text = self.group[kept], self.hashes[kept], self.text[kept]
        starts = np.flatnonzero(_changes(group, hashes))
        if not len(starts):
            return group, group
        sets: I64 = np.bitwise_or.reduceat(np.left_shift(1, place[text]), starts)
        return group[starts], sets


def _changes(group: I64, hashes: I64) -> Mask:
    """Where a row differs from the one before it."""
    changed = np.ones(len(group), dtype=bool)
    changed[1:] = (hashes[1:] != hashes[:-1]) | (group[1:] != group[:-1])
    return changed


class Chunk:
    """Rollouts of whole groups.

    Attributes:
        rollouts: columns text and answer.
        group: code of each rollout's group, ascending.
        observed: values of the rollout metrics, by name.
        ngram: words of an n-gram of the similarity of texts.
    """

    def __init__(self, rollouts: pl.DataFrame, group: I64, observed: Mapping[str, F64], ngram: int) -> None:
        self.rollouts = rollouts
        self.group = group
        self.observed = observed
        self.ngram = ngram

    @cached_property
    def answers(self) -> I64:
        """Code of each rollout's answer, below 0 where it has none."""
        codes = self.rollouts["answer"].rank("dense").cast(pl.Int64).fill_null(-1)
        return codes.to_numpy()

    @cached_property
    def shapes(self) -> I64:
        """Hash of each text's shape."""
        return shapes(self.rollouts["text"])

    @cached_property
    def grams(self) -> Mapping[int, Grams]:
        """N-grams of all texts for n = 1, 2 and `ngram`."""
        found = word_codes(self.rollouts["text"])
        return {n: Grams(*found, n, self.group) for n in sorted({1, 2, self.ngram})}


class Population:
    """The rollouts of a chunk that a stage retains, at least one.

    Attributes:
        chunk: with those that it does not retain.
        mask: which of the chunk it retains.
        group: code of each retained rollout's group, ascending.
        groups: these codes, each once.
        starts, sizes: where each of `groups` begins among the retained rollouts, and how many it has.
    """

    def __init__(self, chunk: Chunk, mask: Mask) -> None:
        self.chunk = chunk
        self.mask = mask
        self.group = chunk.group[mask]
        self.groups, self.starts, self.sizes = runs(self.group)

    def observed(self, metric: str) -> F64:
        """Values of a rollout metric, NaN where there is none."""
        return self.chunk.observed[metric][self.mask]

    def group_sums(self, values: F64) -> F64:
        """Sums of one value a retained rollout, by group code."""
        return group_sums(self.group, values, int(self.group[-1]) + 1)

    @cached_property
    def answers(self) -> tuple[I64, F64, F64]:
        """Groups with an answer, how many different ones they have, and the entropy of their shares."""
        said = self.chunk.answers[self.mask]
        return distinct_and_entropy(self.group[said >= 0], said[said >= 0])

    @cached_property
    def shapes(self) -> tuple[I64, I64]:
        """Group and hash of each different shape, sorted by both."""
        cells = np.stack([self.group, self.chunk.shapes[self.mask]])
        cells = cells[:, np.lexsort(cells[::-1])]
        group, shape = cells[:, np.append(True, (np.diff(cells) != 0).any(axis=0))]
        return group, shape

    @cached_property
    def grams(self) -> Mapping[int, tuple[I64, I64]]:
        """Group and hash of each different n-gram, sorted by both, by n."""
        return {n: grams.distinct(self.mask) for n, grams in self.chunk.grams.items()}

    @cached_property
    def kernels(self) -> tuple[F64, I64]:
        """Similarities of the first SAMPLE rollouts of each of `groups`, and how many these are."""
        place = np.full(len(self.mask), -1)
        among = np.arange(len(self.group)) - np.repeat(self.starts, self.sizes)
        place[self.mask] = np.where(among < SAMPLE, among, -1)
        group, sets = self.chunk.grams[self.chunk.ngram].holders(place)
        members = np.minimum(self.sizes, SAMPLE)
        return jaccard_kernels(np.searchsorted(self.groups, group), sets, members), members
