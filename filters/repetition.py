"""`repetition`: degenerate, looping text, by Gopher's repetition rules (arXiv 2112.11446, table A1).

The rules are datatrove's `GopherRepetitionFilter`, used as a library; what is dropped is measured once more, so that
the reason carries the number and its limit. The limits are ours, since Gopher's are for web pages: a worked solution
repeats its formulas, and they drop more than half of what four models wrote about CHAMP's problems, 41 of 96 flawless
answers among them. What tells a loop is long n-grams: docs/filters.md has the measurements. Also ours: texts of fewer
than `min_words` white-space words are kept unmeasured, because in a short text any single n-gram is a large share
(Gopher's own corpus filter starts at 50 words); and of a text longer than `max_chars` the end is measured, where loops
are.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import polars as pl
from pydantic import Field

from synthflow.contracts import Filter, FilterConfig
from synthflow.filters.annotate import annotate

_LONGEST_WORD = 1000  # a longer run without white space is cut for the tokenizer, which is quadratic in places


class RepetitionConfig(FilterConfig):
    """Configuration of `filter.repetition`. Shares are of lines, paragraphs or characters; null switches a rule off."""

    dup_line_frac: float | None = Field(None, ge=0, le=1, description="most duplicate lines")
    dup_para_frac: float | None = Field(None, ge=0, le=1, description="most duplicate paragraphs")
    dup_line_char_frac: float | None = Field(None, ge=0, le=1, description="most characters in duplicate lines")
    dup_para_char_frac: float | None = Field(None, ge=0, le=1, description="most characters in duplicate paragraphs")
    top_n_grams: dict[int, float] = Field({}, description="n: most characters in the most frequent n-gram")
    dup_n_grams: dict[int, float] = Field({10: 0.4}, description="n: most characters in repeated n-grams")
    min_words: int = Field(50, ge=0, description="texts with fewer white-space words are kept unmeasured")
    max_chars: int = Field(2_000, ge=1000, description="of longer texts the last so many characters are measured")
    language: str = Field("eng", description="ISO 639-3 code for datatrove's word tokenizer; eng needs no download")


class RepetitionFilter(Filter):
    """Drops looping text. Reads: completion.

    Raises:
        ModuleNotFoundError: on the first row if datatrove or spaCy is missing (extra `datatrove`).
    """

    name = "repetition"
    version = "1"
    Config = RepetitionConfig
    needs_packages = {"datatrove": "synthflow[datatrove]", "spacy": "synthflow[datatrove]"}  # noqa: RUF012 - a constant

    @cached_property
    def _gopher(self) -> Any:
        from datatrove.pipeline.filters import GopherRepetitionFilter

        config = self.config
        return GopherRepetitionFilter(
            dup_line_frac=config.dup_line_frac,
            dup_para_frac=config.dup_para_frac,
            dup_line_char_frac=config.dup_line_char_frac,
            dup_para_char_frac=config.dup_para_char_frac,
            top_n_grams=tuple(sorted(config.top_n_grams.items())),
            dup_n_grams=tuple(sorted(config.dup_n_grams.items())),
            language=config.language,
        )

    def judge(self, rollouts: pl.DataFrame) -> pl.DataFrame:
        # The library judges one document at a time; every distinct text is measured once.
        texts = rollouts["completion"].unique()
        why = pl.Series([self._why(text) for text in texts], dtype=pl.String)
        said = pl.col("completion").replace_strict(texts, why, return_dtype=pl.String) if len(texts) else pl.lit("")
        return annotate(rollouts.select("rollout_id", "completion"), [said])

    def _why(self, text: str) -> str | None:
        if not text.strip():
            return "empty"
        tail = bounded(text, self.config.max_chars)
        if len(tail.split(None, self.config.min_words)) < self.config.min_words:
            return None
        from datatrove.data import Document

        outcome = self._gopher.filter(Document(text=tail, id=""))
        if outcome is True:
            return None
        _, rule = outcome
        measured, limit = self._measure(tail, rule)
        cut = "" if tail == text else f" of the last {len(tail)} characters"
        return f"{rule}: {measured:.3f}{cut}, above {limit:g}"

    def _measure(self, text: str, rule: str) -> tuple[float, float]:
        """The share behind a rule that was broken, and the rule's limit."""
        from datatrove.pipeline.filters import gopher_repetition_filter as gopher
        from datatrove.utils.text import split_into_words

        if rule.startswith("dup_"):
            splitter = self._gopher.paragraph_exp if "para" in rule else self._gopher._line_splitter
            parts = splitter.split(text.strip() if "para" in rule else text)
            repeated, characters = gopher.find_duplicates(parts)
            share = characters / len(text) if "char" in rule else repeated / len(parts)
            return share, getattr(self.config, rule)
        n = int(rule.split("_")[1])
        words = split_into_words(text, self.config.language)
        if rule.startswith("top"):
            return gopher.find_top_duplicate(gopher.get_n_grams(words, n)) / len(text), self.config.top_n_grams[n]
        return gopher.find_all_duplicate(words, n) / len(text), self.config.dup_n_grams[n]


def bounded(text: str, max_chars: int) -> str:
    """The end of a text, without NULs, with endless words cut into pieces."""
    tail = text[-max_chars:].replace("\x00", " ")
    if all(len(word) <= _LONGEST_WORD for word in tail.split()):
        return tail
    pieces = (
        word if len(word) <= _LONGEST_WORD else " ".join(word[i : i + 20] for i in range(0, len(word), 20))
        for word in tail.split(" ")
    )
    return " ".join(pieces)[-max_chars:]
