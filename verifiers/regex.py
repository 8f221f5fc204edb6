"""`regex`: does a regular expression match the answer?

Invariant: the engine is RE2, whose time is linear in the text whatever the pattern, so that no answer can hang it; what
RE2 does not know (look-around, back-references) is refused with its reason. The pattern of the spec is compiled when
the spec is read; one that comes with the problem, as its gold answer, is `gold_unparsable` if it is none. Of an answer
that a rule found which only guesses, no match is unknown (`guessed`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import re2
from pydantic import Field, field_validator

from synthflow.contracts import Judgement, Question, Verifier, VerifierConfig
from synthflow.verifiers.answers.finding.extract import Extracted, after_thinking, find
from synthflow.verifiers.answers.reading.text import clean

MAX_PATTERN = 2000
MAX_TEXT = 200_000
_MAX_MEMORY = 1 << 20  # bytes of one compiled pattern: bounds its states, and with them the time per character


class RegexConfig(VerifierConfig):
    """Configuration of `verify.regex`."""

    pattern: str | None = Field(None, description="RE2 syntax; null: the gold answer of each problem is the pattern")
    match: Literal["fullmatch", "search"] = Field("fullmatch", description="all of the text, or anywhere in it")
    text: Literal["answer", "after_thinking", "completion"] = Field(
        "answer", description="the extracted answer, what follows the last </think>, or the whole completion"
    )
    ignore_case: bool = Field(False, description="letters match in either case")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        if value is not None:
            found = compiled(value, False)
            if isinstance(found, str):
                raise ValueError(f"a regular expression in RE2 syntax: {found}")
        return value


@lru_cache(maxsize=4096)
def compiled(pattern: str, ignore_case: bool) -> Any | str:
    """The compiled pattern, or what is wrong with it."""
    if len(pattern) > MAX_PATTERN:
        return f"longer than {MAX_PATTERN} characters"
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    options.case_sensitive = not ignore_case
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeEncodeError) as error:
        said = error.args[0] if error.args else ""
        return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(error)


class RegexVerifier(Verifier):
    """A regular expression, matched in linear time.

    Unknown reasons: empty, parse_failure, guessed, no_gold, gold_unparsable, too_large.
    """

    name = "regex"
    version = "2"
    Config = RegexConfig
    needs_answer = False

    def judge(self, questions: Sequence[Question]) -> list[Judgement]:
        return [self._one(question) for question in questions]

    def _one(self, question: Question) -> Judgement:
        started = time.perf_counter()
        config = self.config
        pattern = config.pattern if config.pattern is not None else question.answer
        if pattern is None:
            return Judgement.unknown("no_gold", "neither the spec nor the problem has a pattern")
        machine = compiled(pattern, config.ignore_case)
        if isinstance(machine, str):
            return Judgement.unknown("gold_unparsable", machine)
        if not question.completion.strip():
            return Judgement.unknown("empty")
        told = self._text(question.completion)
        if not told.text:
            return Judgement.unknown("parse_failure", told.note)
        if len(told.text) > MAX_TEXT:
            return Judgement.unknown("too_large", f"more than {MAX_TEXT} characters")
        whole = told.text.encode("utf-8", "replace").decode()
        found = machine.fullmatch(whole) if config.match == "fullmatch" else machine.search(whole)
        detail = clean((found.group(0) if found and config.match == "search" else whole)[:400])[:200]
        took = time.perf_counter() - started
        if found:
            judgement = Judgement("correct", 1.0, None, detail, took)
        elif told.sure:
            judgement = Judgement("wrong", 0.0, None, detail, took)
        else:
            why = f"{detail} does not match, but the rule {told.rule} may have missed the answer"
            judgement = Judgement.unknown("guessed", why, took)
        return judgement.found(clean(whole[:400])[:200], told.rule)

    def gold_faults(self, questions: Sequence[Question]) -> list[str | None]:
        if self.config.pattern is not None:
            return [None] * len(questions)
        machines = (compiled(question.answer or "", self.config.ignore_case) for question in questions)
        return [machine if isinstance(machine, str) else None for machine in machines]

    def _text(self, completion: str) -> Extracted:
        if self.config.text == "answer":
            return find(completion)
        text = after_thinking(completion).strip() if self.config.text == "after_thinking" else completion
        return Extracted(text, self.config.text, True, "" if text else "no text after the thought")
