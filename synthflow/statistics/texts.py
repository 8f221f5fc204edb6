"""What is measured on the text of a completion: words, shapes, lines, operations, depth.

Everything is a proxy that needs no model: cheap enough for every rollout, and the same for every tokenizer. Model
text is hostile, so only its first MAX_CHARS characters are measured and every pattern runs in linear time (Rust's
regex engine never backtracks).
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from synthflow.statistics.sketches import text_hashes

MAX_CHARS = 100_000
"""Characters of a completion that are measured; an endless completion tells no more after these."""

WORD = r"\w+|[^\w\s]"
_DIGITS, _BLANKS, _LINE = r"\d+", r"\s+", r"\S[^\n]*"
_OPERATION = (
    r"[+×÷·±]|(?:[\d)\]}]|\b[A-Za-z])\s*[-−*/^]|\\(?:times|div|cdot|pm|[dt]?frac|sqrt|sum|prod|int|[dt]?binom)\b"
)
_EQUATION = r"[=≈≠≤≥]|\\(?:approx|neq?|leq?|geq?|equiv)\b"
_BRACKET = r"[()\[\]{}]"

I64 = NDArray[np.int64]
_HASHED = {"text": pl.String, "hash": pl.Int64}


def sizes(texts: pl.Series) -> pl.DataFrame:
    """Columns n_lines (not blank), operations, equations and depth (deepest bracket), one row a text."""
    text = pl.col("text")
    counted = pl.DataFrame({"text": texts}).select(
        text.str.count_matches(_LINE).cast(pl.Float64).alias("n_lines"),
        text.str.count_matches(_OPERATION).cast(pl.Float64).alias("operations"),
        text.str.count_matches(_EQUATION).cast(pl.Float64).alias("equations"),
    )
    return counted.with_columns(pl.Series("depth", _depths(texts)))


def _depths(texts: pl.Series) -> NDArray[np.float64]:
    brackets = texts.str.extract_all(_BRACKET)
    lengths = brackets.list.len().to_numpy().astype(np.int64)
    deepest = np.zeros(len(texts))
    if not lengths.sum():
        return deepest
    opened = brackets.explode(empty_as_null=False).is_in(["(", "[", "{"]).to_numpy()
    running = np.cumsum(np.where(opened, 1, -1))
    starts = np.cumsum(lengths) - lengths
    some = lengths > 0
    before = np.where(starts[some] > 0, running[starts[some] - 1], 0)
    deepest[some] = np.maximum.reduceat(running, starts[some]) - before
    return np.maximum(deepest, 0.0)


def shapes(texts: pl.Series) -> I64:
    """Hash of each text's shape: runs of digits become one sign, runs of blanks one space."""
    shape = texts.str.replace_all(_DIGITS, "0").str.replace_all(_BLANKS, " ").str.strip_chars()
    return _hashed(shape)


def words(texts: pl.Series) -> tuple[I64, I64]:
    """Word hashes of all texts one after the other, and the number of words of each text.

    A word is a run of letters, digits and underscores, or any other sign that is not blank.
    """
    found = texts.str.extract_all(WORD)
    lengths = found.list.len().to_numpy().astype(np.int64)
    return _hashed(found.explode(empty_as_null=False)), lengths


def _hashed(texts: pl.Series) -> I64:
    """Hash of every text, computed once a distinct text."""
    distinct = texts.unique().sort()
    table = pl.DataFrame({"text": distinct, "hash": text_hashes(distinct.to_list())}, schema=_HASHED)
    joined = pl.DataFrame({"text": texts}).join(table, on="text", how="left", maintain_order="left")
    return joined["hash"].to_numpy()
