"""What `label.progress` sees of a step: hashed words and word pairs, and a few cheap facts. Our default.

Invariants: a step's features depend on its own rollout only, up to the end of the step, and on how many steps it has;
every feature is a whole number of sixteenths within a fixed bound, so that sums of their products are exact in float64
(below 2^53 sixteenths squared) and do not depend on the order in which rollouts are read.

Words are those of `measure.texts`, in lower case with every run of digits as one sign; words and pairs of them are
hashed into buckets with a sign (Weinberger et al. 2009, "Feature hashing for large scale multitask learning").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from synthflow.statistics.sketches import ngram_hashes
from synthflow.statistics.texts import words

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

FACTS = (
    "step", "is_first", "is_last", "position", "log_length", "numbers", "has_equation", "equation_holds",
    "equation_fails", "repeats", "mean_logprob", "lowest_logprob", "logprob_known",
)  # fmt: skip
"""The features that are no words, in their columns' order.

step: 1; position: index / steps; log_length: of characters, to base 2, rounded down; numbers: at most 8; has_equation:
an equals sign; equation_holds, equation_fails: of the first `a + b = c` (or -, *, / and their signs) in whole numbers;
repeats: its text stood in an earlier step; mean_logprob in [-4, 0] and lowest_logprob in [-16, 0] nats of its tokens.
"""

SIXTEENTH = 1 / 16
MAX_CHARS = 2000
"""Characters of a step whose words are read."""

MOST_OF_A_WORD, MOST_NUMBERS = 8, 8
_SIGN_BIT = 40
_EQUATION = (
    r"(?:^|[^\d\s.,+\-−*×·/÷=()])\s*(\d{1,9})\s*([+\-−*×·/÷])\s*(\d{1,9})\s*=\s*(\d{1,12})\s*"
    r"(?:[.,;:!?]?\s|[.,;:!?]?$|[^\d\s.,+\-−*×·/÷=()])"
)


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps of whole rollouts, one after the other.

    `text` and `rollout` (a code, ascending from 0) have one entry a step; `logprobs` has one list a step, empty where
    nothing is known of its tokens.
    """

    text: pl.Series
    rollout: I64
    logprobs: Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Features:
    """A sparse matrix as triplets, sorted by step and column; `n_columns` counts buckets and facts."""

    step: I64
    column: I64
    value: F64
    n_steps: int
    n_columns: int

    def times(self, weights: F64) -> F64:
        """Features times weights, one number a step. Adds in the order of the columns, so that bits do not depend on
        which other steps stand beside."""
        return np.bincount(self.step, self.value * weights[self.column], self.n_steps).astype(np.float64)

    def summed(self, rollout: I64, n_rollouts: int) -> F64:
        """Dense sums over the steps of each rollout: [rollouts, columns]."""
        flat = rollout[self.step] * self.n_columns + self.column
        total = np.bincount(flat, self.value, n_rollouts * self.n_columns)
        return total.reshape(n_rollouts, self.n_columns).astype(np.float64)


def features(steps: Steps, buckets: int) -> Features:
    """Features of steps; the facts' columns come after the `buckets` of words."""
    n = len(steps.text)
    step, column, value = _words(steps.text, buckets)
    facts = _facts(steps)
    at, which = np.nonzero(facts)
    step, column = np.concatenate([step, at]), np.concatenate([column, buckets + which])
    value = np.concatenate([value, facts[at, which]])
    order = np.lexsort((column, step))
    return Features(step[order], column[order], value[order], n, buckets + len(FACTS))


def _words(texts: pl.Series, buckets: int) -> tuple[I64, I64, F64]:
    shape = texts.str.slice(0, MAX_CHARS).str.to_lowercase().str.replace_all(r"\d+", "0")
    hashed, lengths = words(shape)
    found = [ngram_hashes(hashed, lengths, n) for n in (1, 2)]
    step = np.concatenate([f[0] for f in found]).astype(np.int64)
    grams = np.concatenate([f[1] for f in found])
    sign = np.where((grams >> _SIGN_BIT) & 1, 1.0, -1.0)
    # Which bucket and which sign come from other bits of one hash.
    flat, inverse = np.unique(step * buckets + grams % buckets, return_inverse=True)
    counts = np.clip(np.bincount(inverse, sign, len(flat)), -MOST_OF_A_WORD, MOST_OF_A_WORD)
    return flat // buckets, flat % buckets, counts.astype(np.float64)


def _facts(steps: Steps) -> F64:
    n = len(steps.text)
    sizes = np.bincount(steps.rollout) if n else np.empty(0, np.int64)
    index = np.arange(n) - (np.cumsum(sizes) - sizes)[steps.rollout] if n else np.empty(0, np.int64)
    size = sizes[steps.rollout] if n else np.empty(0, np.int64)
    frame = pl.DataFrame({"text": steps.text, "rollout": steps.rollout})
    text = pl.col("text")
    told = frame.select(
        text.str.len_chars().alias("chars"),
        text.str.count_matches(r"\d+").clip(0, MOST_NUMBERS).alias("numbers"),
        text.str.contains("=", literal=True).alias("equals"),
        text.str.strip_chars().is_first_distinct().over("rollout").not_().alias("repeats"),
    )
    holds, fails = _equations(steps.text)
    mean, lowest, known = _logprobs(steps.logprobs)
    columns = {
        "step": np.ones(n),
        "is_first": index == 0,
        "is_last": index == size - 1,
        "position": _sixteenths(index / np.maximum(size, 1)),
        "log_length": np.floor(np.log2(1.0 + told["chars"].to_numpy())),
        "numbers": told["numbers"].to_numpy(),
        "has_equation": told["equals"].to_numpy(),
        "equation_holds": holds,
        "equation_fails": fails,
        "repeats": told["repeats"].to_numpy(),
        "mean_logprob": mean,
        "lowest_logprob": lowest,
        "logprob_known": known,
    }
    return np.stack([np.asarray(columns[name], np.float64) for name in FACTS], axis=1)


def _equations(texts: pl.Series) -> tuple[F64, F64]:
    """Whether the first simple equation of each text holds, and whether it fails."""
    parts = texts.str.slice(0, MAX_CHARS).str.extract_groups(_EQUATION).struct.unnest()
    left, sign, right, said = (parts[name] for name in parts.columns)
    a, b, c = (s.cast(pl.Int64, strict=False).fill_null(0).to_numpy() for s in (left, right, said))
    op = sign.replace({"−": "-", "×": "*", "·": "*", "÷": "/"}).fill_null("").to_numpy()
    holds = np.select(
        [op == "+", op == "-", op == "*", op == "/"],
        [a + b == c, a - b == c, a * b == c, (b != 0) & (c * b == a)],
        False,
    )
    return (holds & (op != "")).astype(np.float64), (~holds & (op != "")).astype(np.float64)


def _logprobs(lists: Sequence[Sequence[float]]) -> tuple[F64, F64, F64]:
    """Mean and lowest log probability in sixteenths of a nat, and whether there is one. NaN counts as the lowest."""
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    flat = np.fromiter((v for values in lists for v in values), np.float64, int(lengths.sum()))
    flat = np.nan_to_num(np.clip(flat, -16.0, 0.0), nan=-16.0)
    step = np.repeat(np.arange(len(lists)), lengths)
    known = lengths > 0
    mean = np.bincount(step, flat, len(lists)) / np.maximum(lengths, 1)
    lowest = np.zeros(len(lists))
    np.minimum.at(lowest, step, flat)
    return _sixteenths(np.clip(mean, -4, 0)), _sixteenths(lowest), known.astype(np.float64)


def _sixteenths(values: F64) -> F64:
    """Rounded down to whole sixteenths."""
    return np.asarray(np.floor(values / SIXTEENTH) * SIXTEENTH, np.float64)
