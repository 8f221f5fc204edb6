r"""`math`: is the final answer of a completion mathematically equal to the gold answer?

Invariants: one judgement a question, in order; whatever could hang runs in a killable worker, so a timeout, a crash or
a memory limit is `unknown`, never `wrong`; the answer is found in one place (`extract`); `detail` is the answer that
was judged. The order is cheap to dear: same text, exact fractions (`rationals`), size limits (`limits`), exact forms
(`quick`), and only then what reads both sides, in a worker (`compare`). Pairs of gold and answer that cost more than
comparing two numbers are remembered, because rollouts repeat answers.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from pydantic import Field

from synthflow.contracts import Explanation, Judgement, Question, VerifierConfig
from synthflow.verifiers.answers.comparing import exact_math as quick
from synthflow.verifiers.answers.comparing import rationals
from synthflow.verifiers.answers.comparing.limits import too_large
from synthflow.verifiers.answers.finding.extract import Extracted, Extraction, find, gold_answer
from synthflow.verifiers.answers.reading.measures import read_unit
from synthflow.verifiers.answers.reading.prose import read_gold
from synthflow.verifiers.answers.reading.text import canonical, clean
from synthflow.verifiers.answers.reading.tokens import Unread
from synthflow.verifiers.math_explained import explained
from synthflow.verifiers.workers.pool import Outcome
from synthflow.verifiers.workers.pooled import PooledVerifier

_MEMO = 20_000  # pairs; answers to one problem come close together
_DETAIL = 200
_REFUSED_BEFORE_READING = 20_000
_OTHER_NUMBER = re.compile(r"^\([A-H]\)|\d[eE][-+]?\d|^-?0[xob]|\dj|\([a-zA-Z]{3}|\\pi\(\d")
_LETTERS_BEHIND = re.compile(r"[^a-zA-Z]*[\d})] ?([a-zA-Z][a-zA-Z0-9/*^{} +-]{0,30})")
_PERCENT_ENDS = frozenset("%t}")

Pair = tuple[str, str]


class MathConfig(VerifierConfig):
    """Configuration of `verify.math`."""

    extract: Extraction = Field("any", description="any: all rules; boxed: the box alone; whole: all that was said")
    bare: bool = Field(True, description="read a completion of one short line without prose whole")
    cut_run_on: bool = Field(True, description="cut a completion where it runs on into another question or turn")
    timeout_s: float = Field(
        1.5, gt=0, le=600, description="CPU seconds a comparison may take; ten times as much on the wall"
    )
    memory_mb: int = Field(1024, ge=384, le=65536, description="address space of a worker process, in MiB")
    workers: int = Field(1, ge=1, le=256, description="worker processes")


class MathVerifier(PooledVerifier):
    """Math-Verify on SymPy behind exact shortcuts, hard limits and killable workers.

    Unknown reasons: empty, parse_failure, guessed, gold_unparsable, too_large, text_differs, undecided, timeout,
    memory, verifier_error.
    """

    name = "math"
    version = "3"
    Config = MathConfig
    task = "synthflow.verifiers.answers.comparing.compare:compare"

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self._memo: OrderedDict[Pair, Judgement] = OrderedDict()

    def full_version(self) -> str:
        return self.version + "".join(f"+{name} {version(name)}" for name in ("math-verify", "sympy"))

    def judge(self, questions: Sequence[Question]) -> list[Judgement]:
        """One judgement a question.

        Raises:
            InfrastructureError: if no worker can start; nothing is said about the questions then.
        """
        judged: list[Judgement | None] = [None] * len(questions)
        found: dict[int, Extracted] = {}
        owed: dict[Pair, list[int]] = {}
        for at, question in enumerate(questions):
            started = time.perf_counter()
            asked = self._pair(question)
            if isinstance(asked, Judgement):
                judged[at] = asked
                continue
            found[at], pair = asked
            equal = rationals.decide(*pair)
            if equal is not None:  # costs no more than to remember it
                judged[at] = settled(equal, shown(pair[1]), started, found[at])
                continue
            known = self._remembered(pair)
            if known is None:
                known = decide_cheaply(*pair, started)
                if known is None:
                    owed.setdefault(pair, []).append(at)
                    continue
                self._remember(pair, known)
            judged[at] = as_found(known, found[at])
        for pair, judgement in zip(owed, self._ask(list(owed)), strict=True):
            self._remember(pair, judgement)
            for place in owed[pair]:
                judged[place] = as_found(judgement, found[place])
        return [judgement for judgement in judged if judgement is not None]

    def explain(self, question: Question) -> Explanation:
        (judgement,) = self.judge([question])
        gold = gold_answer(question.answer or "")
        return explained(judgement, question.completion, gold, self._found(question.completion, gold))

    def gold_faults(self, questions: Sequence[Question]) -> list[str | None]:
        return [gold_fault(question.answer or "") for question in questions]

    def _found(self, completion: str, gold: str) -> Extracted:
        config = self.config
        return find(completion, config.extract, gold, bare=config.bare, cut=config.cut_run_on)

    def _pair(self, question: Question) -> tuple[Extracted, Pair] | Judgement:
        if question.answer is None or not question.answer.strip():
            return Judgement.unknown("gold_unparsable", "the problem has no gold answer")
        if not question.completion.strip():
            return Judgement.unknown("empty")
        gold, canonical_gold = _gold(question.answer)
        found = self._found(question.completion, gold)
        if not found.text:
            return Judgement.unknown("parse_failure", found.note)
        if len(found.text) >= _REFUSED_BEFORE_READING:
            return Judgement.unknown("too_large", shown(found.text))
        return found, (canonical_gold, canonical(found.text))

    def _ask(self, pairs: Sequence[Pair]) -> list[Judgement]:
        outcomes = self.map([list(pair) for pair in pairs])
        return [_judgement(answer, outcome) for (_, answer), outcome in zip(pairs, outcomes, strict=True)]

    def _remembered(self, pair: Pair) -> Judgement | None:
        known = self._memo.get(pair)
        if known is not None:
            self._memo.move_to_end(pair)
        return known

    def _remember(self, pair: Pair, judgement: Judgement) -> None:
        if judgement.reason == "verifier_error":
            return  # a machine's failure says nothing about the pair
        self._memo[pair] = judgement
        if len(self._memo) > _MEMO:
            self._memo.popitem(last=False)


@lru_cache(64)
def _gold(answer: str) -> tuple[str, str]:
    """A gold answer as it stands and in canonical form: those of one problem come together."""
    gold = gold_answer(answer)
    return gold, canonical(gold[:_REFUSED_BEFORE_READING])


def as_found(judgement: Judgement, found: Extracted) -> Judgement:
    """The verdict on an answer that this rule found: one that guesses calls nothing wrong."""
    if judgement.verdict == "wrong" and not found.sure:
        told = f"{judgement.detail} differs, but the rule {found.rule} may have missed the answer"
        judgement = Judgement.unknown("guessed", told, judgement.elapsed_s)
    elif found.note:
        judgement = replace(judgement, detail=f"{judgement.detail} ({found.note})")
    return judgement.found(found.text, found.rule)


def settled(equal: bool, detail: str, started: float, found: Extracted) -> Judgement:
    """What exact arithmetic says of an answer that was found: in one step where nothing more is told, as for most."""
    if found.note or not (equal or found.sure):
        return as_found(_decided(equal, detail, started), found)
    return _decided(equal, detail, started, found.text, found.rule)


def gold_fault(answer: str) -> str | None:
    """Why a gold answer cannot be read, or None."""
    gold = canonical(gold_answer(answer)[:_REFUSED_BEFORE_READING])
    if not gold:
        return "the gold answer is empty"
    try:
        limit = too_large(gold)
        if limit is None and rationals.parse(gold) is None:
            read_gold(gold)
        return limit
    except Unread as unread:
        return f"not read: {unread}"


def decide_cheaply(gold: str, answer: str, started: float) -> Judgement | None:
    """What two canonical answers settle without algebra, or None; `started` is when the clock was at zero."""
    detail = shown(answer)
    if not gold:
        return Judgement.unknown("gold_unparsable", "the gold answer is empty")
    if not answer:
        return Judgement.unknown("parse_failure", "no answer found")
    if gold == answer:
        return _decided(True, detail, started)
    exact = rationals.decide(gold, answer)
    if exact is None and (gold[-1] in _PERCENT_ENDS or answer[-1] in _PERCENT_ENDS):
        exact = rationals.decide_percent(gold, answer)
    if exact is not None:
        return _decided(exact, detail, started)
    for text, whose in ((gold, "gold answer"), (answer, "answer")):
        limit = too_large(text)
        if limit:
            return Judgement.unknown("too_large", f"{detail} ({whose}: {limit})")
    exact = decide_exactly(gold, answer)
    return None if exact is None else _decided(exact, detail, started)


def decide_exactly(gold: str, answer: str) -> bool | None:
    """What exact arithmetic says about two canonical answers, or None; what may be a word or a unit is none of its."""
    exact = rationals.decide(gold, answer)
    if exact is not None or _may_be_words(gold) or _may_be_words(answer):
        return exact
    equal = quick.decide(gold, answer)
    return None if equal is False and (_may_be_measured(gold) or _may_be_measured(answer)) else equal


def _may_be_words(text: str) -> bool:
    """Whether a text is a run of letters, or holds a number in another spelling: `cat`, `1e-5`, `2 (two)`, `(B) 12`."""
    return (text.isalpha() and len(text) > 2) or _OTHER_NUMBER.search(text) is not None


def _may_be_measured(text: str) -> bool:
    """Whether a number may have a unit behind it: `5m`, `3 s^2`."""
    match = _LETTERS_BEHIND.fullmatch(text)
    return match is not None and read_unit(match.group(1)) is not None


def _decided(
    equal: bool, detail: str, started: float, extracted: str | None = None, rule: str | None = None
) -> Judgement:
    elapsed_s = time.perf_counter() - started
    if equal:
        return Judgement("correct", 1.0, None, detail, elapsed_s, (), extracted, rule)
    return Judgement("wrong", 0.0, None, detail, elapsed_s, (), extracted, rule)


def _judgement(answer: str, outcome: Outcome) -> Judgement:
    detail = shown(answer)
    if outcome.reason is not None:
        words = clean(outcome.detail or "")
        told = f"{detail} ({words})" if words else detail
        return Judgement.unknown(outcome.reason, told, outcome.elapsed_s)
    if "reason" in outcome.value:
        told = outcome.value.get("detail")
        return Judgement.unknown(outcome.value["reason"], f"{detail} ({told})" if told else detail, outcome.elapsed_s)
    equal, note = outcome.value["equal"], outcome.value.get("note")
    told = f"{detail} ({note})" if note else detail
    return Judgement("correct" if equal else "wrong", float(equal), None, told, outcome.elapsed_s)


def shown(answer: str) -> str:
    """An answer as `detail` shows it: clean text of at most 200 characters."""
    return clean(answer[: _DETAIL * 2])[:_DETAIL]
