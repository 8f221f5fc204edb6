"""`exact`: is the final answer the gold answer, letter by letter after the stated normalisation?

Invariants: a pure function of text, without parsing or numbers: `1/2` is not `0.5` and `1` is not `12`. Choose `math`
where equal values count. Extraction `boxed` takes the last balanced box, `last_line` the last line that is not blank,
`all` the whole completion; all look at what follows the thought only. A line or a text that is no bare answer where the
gold answer is one, or that holds the gold answer among other words, was not read as an answer: it is unknown, as are
several boxes that are one answer and differ.
"""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from synthflow.contracts import Judgement, Question, Verifier, VerifierConfig
from synthflow.verifiers.answers.finding.extract import after_thinking, boxes, find
from synthflow.verifiers.answers.finding.turns import first_turn
from synthflow.verifiers.answers.finding.whole import bare_answer
from synthflow.verifiers.answers.reading.text import clean

_DETAIL = 200
_BARE = 8  # words of a gold answer that is no prose


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


def _shown(text: str) -> str:
    return clean(text[: 2 * _DETAIL])[:_DETAIL]


def stands_among_words(gold: str, answer: str) -> bool:
    """Whether a text holds the gold answer, and words besides; both as `normalise` has them."""
    at = answer.find(gold) if gold else -1
    while at >= 0:
        end = at + len(gold)
        inside_a_word = (answer[:at][-1:].isalnum() and gold[0].isalnum()) or (
            answer[end:][:1].isalnum() and gold[-1].isalnum()
        )
        if not inside_a_word:
            return any(sign.isalnum() for sign in answer[:at] + answer[end:])
        at = answer.find(gold, at + 1)
    return False


class ExactVerifier(Verifier):
    """Text equality.

    Unknown reasons: empty, parse_failure (no answer found), text_differs, gold_unparsable (no gold answer).
    """

    name = "exact"
    version = "2"
    Config = ExactConfig

    def judge(self, questions: Sequence[Question]) -> list[Judgement]:
        return [self._one(question) for question in questions]

    def _one(self, question: Question) -> Judgement:
        started = time.perf_counter()
        (fault,) = self.gold_faults([question])
        if fault is not None or question.answer is None:
            return Judgement.unknown("gold_unparsable", fault)
        if not question.completion.strip():
            return Judgement.unknown("empty")
        written, is_one = self._extract(question.completion)
        if not written:
            return Judgement.unknown("parse_failure", "no answer found", time.perf_counter() - started)
        answer, gold = written, question.answer
        if self.config.normalise == "text":
            answer, gold = normalise(answer), normalise(gold)
        took = time.perf_counter() - started
        detail, unread = _shown(answer), None
        if answer != gold:
            unread = self._unread(question.answer, written) if is_one else "several boxes"
        if unread is not None:
            judgement = Judgement.unknown("text_differs", f"{detail} ({unread})", took)
        else:
            judgement = Judgement("correct" if answer == gold else "wrong", float(answer == gold), None, detail, took)
        return judgement.found(_shown(written), self.config.extract)

    def _unread(self, gold: str, written: str) -> str | None:
        """Why a text that differs was not read as an answer, or None."""
        if self.config.extract == "boxed":
            return None
        if stands_among_words(normalise(gold), normalise(written)):
            return "the gold answer among words"
        is_bare = "\n" not in gold.strip() and len(gold.split()) <= _BARE
        return "no bare answer" if is_bare and bare_answer(written, gold) is None else None

    def gold_faults(self, questions: Sequence[Question]) -> list[str | None]:
        return [None if (q.answer or "").strip() else "the problem has no gold answer" for q in questions]

    def _extract(self, completion: str) -> tuple[str, bool]:
        """The answer as written, and whether it stands in one place."""
        text = after_thinking(first_turn(completion).text)
        if self.config.extract == "boxed":
            last = boxes(text, 1)
            found = find(completion, "boxed").text
            return found, not last or found == last[0]
        if self.config.extract == "last_line":
            return text.rstrip().rpartition("\n")[2].strip(), True
        return (text if self.config.normalise == "none" else text.strip()), True
