"""Diversity within a group of rollouts: distinct elements, entropy, self-similarity, Vendi score.

Invariant: a group's numbers depend on its own rollouts only. Similarity is the Jaccard index of two texts' sets of
word n-grams (our default: it needs no model, and is a positive semi-definite kernel, see Bouchard et al. 2013, as
the Vendi score requires). It is taken over at most SAMPLE rollouts of a group, the first by rollout_id, which is a
hash: a random sample, and the same one everywhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

SAMPLE = 8
"""Rollouts of a group whose texts are compared with each other."""

DIGITS = 9
"""Decimals kept of numbers from eigenvalues, which LAPACK builds compute slightly differently."""

_BITS = ((np.arange(1 << SAMPLE)[:, None] >> np.arange(SAMPLE)) & 1).astype(np.float64)
_BOTH = (_BITS[:, :, None] * _BITS[:, None, :]).reshape(1 << SAMPLE, SAMPLE * SAMPLE)


def distinct_and_entropy(groups: I64, elements: I64) -> tuple[I64, F64, F64]:
    """Groups present, distinct elements of each, and the entropy of their shares in nats (plug-in estimate).

    Args:
        groups: code of each element's group.
        elements: anything that is equal for equal elements.
    """
    if not len(groups):
        return np.empty(0, np.int64), np.empty(0), np.empty(0)
    names, codes = np.unique(elements, return_inverse=True)
    cells, counts = np.unique(groups * len(names) + codes, return_counts=True)
    present, local, distinct = np.unique(cells // len(names), return_inverse=True, return_counts=True)
    totals = np.bincount(local, weights=counts)
    # Largest shares first, so that the sum does not depend on what elements are called.
    order = np.lexsort((-counts, local))
    shares = counts[order] / totals[local[order]]
    entropy = np.bincount(local[order], weights=-shares * np.log(shares))
    return present, distinct.astype(np.float64), np.round(np.maximum(entropy, 0.0), DIGITS)


def jaccard_kernels(groups: I64, holders: I64, members: I64) -> F64:
    """Pairwise Jaccard indices of the sampled rollouts of each group.

    A text without words is like any other such text (1) and unlike all others (0).

    Args:
        groups: code of the group of each of its grams, from 0.
        holders: the rollouts that hold the gram, as a set of bits by their place in the group's sample, below SAMPLE.
        members: sampled rollouts of each group, at most SAMPLE.

    Returns:
        Array [len(members), SAMPLE, SAMPLE]; rows and columns beyond a group's members are zero.
    """
    n_groups = len(members)
    # A gram is the set of rollouts that hold it: at most 255 sets a group, whatever the number of grams.
    held = np.bincount((groups << SAMPLE) + holders, minlength=n_groups << SAMPLE).astype(np.float64)
    shared = (held.reshape(n_groups, 1 << SAMPLE) @ _BOTH).reshape(n_groups, SAMPLE, SAMPLE)
    own = np.diagonal(shared, axis1=1, axis2=2)
    either = own[:, :, None] + own[:, None, :] - shared
    member = np.arange(SAMPLE) < members[:, None]
    kernel = np.where(either > 0, shared / np.maximum(either, 1.0), 1.0)
    return kernel * (member[:, :, None] & member[:, None, :])


def self_similarity(kernels: F64, members: I64) -> F64:
    """Mean similarity of two different rollouts of each group; NaN for fewer than two."""
    off_diagonal = np.triu(kernels, k=1).reshape(len(kernels), -1).sum(axis=1)
    pairs = members * (members - 1) / 2
    return np.where(pairs > 0, np.round(off_diagonal / np.maximum(pairs, 1), DIGITS), np.nan)


def vendi(kernels: F64, members: I64) -> F64:
    """Vendi score of each group: exp of the Shannon entropy of the eigenvalues of K / n.

    Friedman & Dieng 2023, definition 3.1: the effective number of different rollouts, from 1 (all alike) to n
    (nothing in common). NaN for a group without members.
    """
    # Padding rows are zero, so they add eigenvalues of zero, which have no entropy.
    scaled = kernels / np.maximum(members, 1)[:, None, None]
    values = np.clip(np.linalg.eigvalsh(scaled), 0.0, None)
    logs = np.log(np.where(values > 0, values, 1.0))
    score = np.exp(-(values * logs).sum(axis=1))
    return np.where(members > 0, np.round(score, DIGITS), np.nan)
