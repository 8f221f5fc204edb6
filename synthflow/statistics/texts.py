"""The words of a text, and its shape.

Everything is a proxy that needs no model: cheap enough for every rollout, and the same for every tokenizer. Model
text is hostile, so only its first MAX_CHARS characters are measured and every pattern runs in linear time (Rust's
regex engine never backtracks).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from synthflow.statistics.sketches import text_hashes, word_hashes

MAX_CHARS = 100_000
"""Characters of a completion that are measured; an endless completion tells no more after these."""

WORD = r"\w+|[^\w\s]"
_DIGITS = r"\d+"
_BLANKS = r"[^\S ]\s*| \s+"  # runs of blanks that are more than a single space, which stays: most are one

I64 = NDArray[np.int64]


def shapes(texts: pl.Series) -> I64:
    """Hash of each text's shape: runs of digits become one sign, runs of blanks one space."""
    table = pl.DataFrame({"text": texts})
    shape = pl.col("text").str.replace_all(_DIGITS, "0").str.replace_all(_BLANKS, " ").str.strip_chars()
    different, codes = _coded(table.select(shape).to_series())
    return text_hashes(different)[codes]


def words(texts: pl.Series) -> tuple[I64, I64]:
    """Word hashes of all texts one after the other, and the number of words of each text.

    A word is a run of letters, digits and underscores, or any other sign that is not blank.
    """
    vocabulary, codes, lengths = word_codes(texts)
    return vocabulary[codes], lengths


def word_codes(texts: pl.Series) -> tuple[I64, I64, I64]:
    """Hash of each different word, the words of all texts as places among these, and the words of each text."""
    found = texts.str.extract_all(WORD)
    lengths = found.list.len().to_numpy().astype(np.int64)
    different, codes = _coded(found.explode(empty_as_null=False))
    return word_hashes(different), codes, lengths


def _coded(texts: pl.Series) -> tuple[list[str], I64]:
    """The different texts, and every text as a place among these."""
    coded: Any = texts.cast(pl.String).to_arrow().dictionary_encode()
    return coded.dictionary.to_pylist(), coded.indices.to_numpy().astype(np.int64)
