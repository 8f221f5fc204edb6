"""The words of a text, and its shape.

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
_DIGITS, _BLANKS = r"\d+", r"\s+"

I64 = NDArray[np.int64]
_HASHED = {"text": pl.String, "hash": pl.Int64}


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
