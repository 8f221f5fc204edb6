"""`exact`: is the final answer the gold answer, letter by letter after the stated normalisation?

Invariant: a pure function of text, without parsing or numbers: `1/2` is not `0.5` and `1` is not `12`. Choose `math`
where equal values count. Extraction `boxed` takes the last balanced box, `last_line` the last line that is not blank,
`all` the whole completion; all look after the last `</think>` only.
"""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from synthflow.contracts import Judgement, Question, Verifier, VerifierConfig
from synthflow.verifiers.answers.extract import after_thinking, boxes
from synthflow.verifiers.answers.text import clean

_DETAIL = 200


class ExactConfig(VerifierConfig):
    """Configuration of `verify.exact`."""

    extract: Literal["boxed", "last_line", "all"] = Field("boxed", description="where the answer stands")
    normalise: Literal["none", "text"] = Field(
        "text",
        description="none: as written; text: Unicode NFKC, case folded, white space collapsed, outer quotes, "
        "dollar signs, asterisks and one final point dropped",
    )


def normalise(text: str) -> str:
    """The normalisation `text`; idempotent."""
    previous = None
    while previous != text:
        previous = text
        text = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
        text = text.strip("\"'`*$“”‘’ ")
        text = text[:-1].rstrip() if text.endswith(".") else text
    return text


class ExactVerifier(Verifier):
    """Text equality. Unknown reasons: empty, parse_failure (no answer found), gold_unparsable (no gold answer)."""

    name = "exact"
    version = "1"
    Config = ExactConfig

    def judge(self, questions: Sequence[Question]) -> list[Judgement]:
        return [self._one(question) for question in questions]

    def _one(self, question: Question) -> Judgement:
        started = time.perf_counter()
        if question.answer is None or not question.answer.strip():
            return Judgement.unknown("gold_unparsable", "the problem has no gold answer")
        if not question.completion.strip():
            return Judgement.unknown("empty")
        answer = self._extract(question.completion)
        if not answer:
            return Judgement.unknown("parse_failure", "no answer found", time.perf_counter() - started)
        gold = question.answer
        if self.config.normalise == "text":
            answer, gold = normalise(answer), normalise(gold)
        detail = clean(answer[: 2 * _DETAIL])[:_DETAIL]
        took = time.perf_counter() - started
        if answer == gold:
            return Judgement("correct", 1.0, None, detail, took)
        return Judgement("wrong", 0.0, None, detail, took)

    def _extract(self, completion: str) -> str:
        text = after_thinking(completion)
        if self.config.extract == "boxed":
            found = boxes(text)
            return found[0] if found else ""
        if self.config.extract == "last_line":
            return text.rstrip().rpartition("\n")[2].strip()
        return text if self.config.normalise == "none" else text.strip()
