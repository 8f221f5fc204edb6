"""Hashes for distinct counts, and sketches of sets too large to keep.

Invariants: a hash depends on the text alone, on every machine and with every version of NumPy or Polars: a word
is 62 bits of BLAKE2b, an n-gram a multilinear combination of its words' hashes modulo 2**64, finished with
SplitMix64's mixer (Steele, Lea & Flood 2014) so that its order is uniform. A sketch is the ascending list of the
smallest hashes of a set followed by a bound: every hash of the set below the bound is in the list. Sketches merge
by taking the smallest bound and the union below it (the theta sketch of Dasgupta et al. 2016, of which the k
minimum values of Bar-Yossef et al. 2002 are the case of one k).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

HASH_SPACE = 2**62
"""Hashes are integers in [0, HASH_SPACE); as a bound it says that nothing was left out."""

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
_ODD = (
    0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93,
    0xA0761D6478BD642F, 0xE7037ED1A0B428DB, 0x8EBC6AF09C88C6E3, 0x589965CC75374CC3,
)  # fmt: skip
MAX_NGRAM = len(_ODD)


def text_hashes(texts: Iterable[str]) -> I64:
    """62-bit hash of each text. Give distinct texts: this is a Python loop."""
    return np.array([_hash(text) for text in texts], dtype=np.int64)


def word_hashes(words: Iterable[str]) -> I64:
    """The same of words: those that are met again and again are looked up."""
    return np.array([_known_hash(word) for word in words], dtype=np.int64)


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 2


_known_hash = lru_cache(1 << 15)(_hash)


def _mixed(x: U64) -> U64:
    """SplitMix64's finaliser: flips each output bit with probability one half for any flipped input bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def ngram_hashes(words: I64, lengths: I64, n: int) -> tuple[I64, I64]:
    """Hashes of all n-grams of many texts.

    A text of fewer than n words, but at least one, is one gram: all of its words. An empty text has none.

    Args:
        words: word hashes of all texts, one text after the other.
        lengths: words of each text; their sum is len(words).
        n: words of a gram, 1 to MAX_NGRAM.

    Returns:
        The index of the text and the 62-bit hash of every gram, in order.
    """
    starts = np.cumsum(lengths) - lengths
    grams = np.where(lengths > 0, np.maximum(lengths - n + 1, 1), 0)
    before = np.cumsum(grams) - grams
    text = np.repeat(np.arange(len(lengths)), grams)
    # +1 tells an absent word from one whose hash is 0.
    padded = np.concatenate([words.astype(np.uint64) + np.uint64(1), np.zeros(n, np.uint64)])
    total = np.full(len(words), n, dtype=np.uint64)
    for place in range(n):
        total += padded[place : place + len(words)] * np.uint64(_ODD[place])
    total = total[np.repeat(starts - before, grams) + np.arange(len(text))]
    for place in range(1, n):  # of texts with fewer words, what follows belongs to others
        short = np.flatnonzero((lengths > 0) & (lengths <= place))
        total[before[short]] -= padded[starts[short] + place] * np.uint64(_ODD[place])
    return text, (_mixed(total) >> np.uint64(2)).astype(np.int64)


def sketch_of(hashes: Iterable[int], size: int) -> list[int]:
    """Sketch of a set of hashes: its `size` smallest, then the next one as the bound (or HASH_SPACE)."""
    ordered = sorted(set(hashes))
    return [*ordered[:size], ordered[size] if len(ordered) > size else HASH_SPACE]


def merge_sketches(sketches: Iterable[Sequence[int]], size: int | None = None) -> list[int]:
    """Sketch of the union; keeps at most `size` hashes if a size is given. The empty union is [HASH_SPACE]."""
    held = [s for s in sketches if len(s)]
    bound = min((s[-1] for s in held), default=HASH_SPACE)
    union = sorted({h for s in held for h in s[:-1] if h < bound})
    if size is not None and len(union) > size:
        return union[: size + 1]
    return [*union, bound]


def distinct_estimate(sketch: Sequence[int]) -> float:
    """Distinct elements of the sketched set: exact while nothing was left out, else hashes below the bound over
    the share of the hash space below it; unbiased, relative standard error about 1 / sqrt(hashes - 1)."""
    if not len(sketch) or sketch[-1] == HASH_SPACE:
        return float(max(len(sketch) - 1, 0))
    return (len(sketch) - 1) * HASH_SPACE / sketch[-1]
