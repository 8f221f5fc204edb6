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
    """The n-grams of some texts, as codes in the order of their hashes; texts are given as `word_codes` does."""

    def __init__(self, vocabulary: I64, words: I64, lengths: I64, n: int) -> None:
        if n == 1:  # one for each word that there is
            self.text = np.repeat(np.arange(len(lengths)), lengths)
            of_words = ngram_hashes(vocabulary, np.ones(len(vocabulary), np.int64), 1)[1]
            self.hashes, codes = np.unique(of_words, return_inverse=True)
            self.codes = codes[words]
        else:
            self.text, hashes = ngram_hashes(vocabulary[words], lengths, n)
            self.hashes, self.codes = np.unique(hashes, return_inverse=True)
        self.seen = np.bincount(self.text, minlength=len(lengths)).astype(np.float64)

    def distinct(self, owner: I64, mask: Mask) -> tuple[I64, I64]:
        """Owner and code of each gram that the texts of `mask` hold, once an owner; sorted by both.

        Args:
            owner: whom each text belongs to, such as its group.
        """
        kept = mask[self.text]
        base = max(1, len(self.hashes))
        keys = np.sort(owner[self.text[kept]] * base + self.codes[kept])
        keys = keys[np.diff(keys, prepend=-1) != 0]
        return keys // base, keys % base


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
        return {n: Grams(*found, n) for n in sorted({1, 2, self.ngram})}


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
        """Group and code of each different n-gram, sorted by both, by n."""
        return {n: grams.distinct(self.chunk.group, self.mask) for n, grams in self.chunk.grams.items()}

    @cached_property
    def kernels(self) -> tuple[F64, I64]:
        """Similarities of the first SAMPLE rollouts of each of `groups`, and how many these are."""
        chunk, rows = self.chunk, np.flatnonzero(self.mask)
        slot = np.full(len(self.mask), SAMPLE)
        slot[rows] = np.arange(len(rows)) - np.repeat(self.starts, self.sizes)
        place = np.zeros(len(self.mask), dtype=np.int64)
        place[rows] = np.repeat(np.arange(len(self.sizes)), self.sizes)
        text, code = chunk.grams[chunk.ngram].distinct(np.arange(len(self.mask)), slot < SAMPLE)
        members = np.minimum(self.sizes, SAMPLE)
        return jaccard_kernels(place[text], slot[text], code, members), members
