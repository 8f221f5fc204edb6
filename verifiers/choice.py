r"""`choice`: which option of a multiple-choice question does a completion choose?

Invariants: a letter counts only where it is given as the answer (`choice_places`) and its place is read as a whole
(`choice_letters`). What is given last counts: what contradicts it in its own line, beside a box, or is given after it
and is no letter makes it unknown, and so does a word that takes it back. Several letters are one answer where the gold
answer has several, and none where it has one. Only what follows the thought is read. The options' texts count as their
letters where the metadata or the prompt has them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import replace

from pydantic import Field

from synthflow.contracts import Candidate, Explanation, Judgement, Question, Verifier, VerifierConfig
from synthflow.verifiers.answers.finding.extract import after_thinking
from synthflow.verifiers.answers.finding.turns import Turn, first_turn
from synthflow.verifiers.answers.reading.text import clean
from synthflow.verifiers.choice_letters import Choice, Options, choice_in, known, plain
from synthflow.verifiers.choice_options import options_of
from synthflow.verifiers.choice_places import Place, places
from synthflow.verifiers.choice_words import LATIN, RETRACTED, UNCLEAR, USUAL

_RETRACTED = re.compile(RETRACTED, re.MULTILINE)
_CALLED_WRONG = re.compile(r"\W{0,5}(?:is|was|would be)\s(?:wrong|incorrect|false|not)\b", re.IGNORECASE)
_GUESSES = ("called_right", "concluded")
_NO_GOLD = "the gold answer is no letter and no option"
_NEAR = 60  # characters between a letter and a box that holds its text


class ChoiceConfig(VerifierConfig):
    """Configuration of `verify.choice`."""

    options_key: str = Field(
        "options", description="field of the problem's metadata that holds the options' texts: a list, or by letter"
    )
    cut_run_on: bool = Field(True, description="cut a completion where it runs on into another question or turn")


class ChoiceVerifier(Verifier):
    """The letters of a multiple-choice answer.

    Unknown reasons: empty, parse_failure, ambiguous, guessed, gold_unparsable.
    """

    name = "choice"
    version = "2"
    Config = ChoiceConfig

    def judge(self, questions: Sequence[Question]) -> list[Judgement]:
        return [self._one(question) for question in questions]

    def _one(self, question: Question) -> Judgement:
        started = time.perf_counter()
        gold, options = self._gold(question)
        if not gold.letters or gold.either:
            return Judgement.unknown("gold_unparsable", _NO_GOLD)
        if not question.completion.strip():
            return Judgement.unknown("empty")
        turn, text, found = self._places(question, gold, options)
        place, why = given(found, text)
        took = time.perf_counter() - started
        if place is None:
            return Judgement.unknown("parse_failure", clean(why)[:200], took)
        judgement = _compared(gold, place, why, took)
        if turn.cut and judgement.verdict != "unknown":
            judgement = replace(judgement, detail=f"{judgement.detail} (cut at {turn.cut})")
        return judgement.found(clean(place.text)[:200], place.rule)

    def _gold(self, question: Question) -> tuple[Choice, Options]:
        options = options_of(question, self.config.options_key)
        return gold_choice(question.answer or "", options), options

    def _places(self, question: Question, gold: Choice, options: Options) -> tuple[Turn, str, list[Place]]:
        turn = first_turn(question.completion) if self.config.cut_run_on else Turn(question.completion, "")
        return (turn, *places(after_thinking(turn.text), options, furthest(gold)))

    def gold_faults(self, questions: Sequence[Question]) -> list[str | None]:
        golds = (self._gold(question)[0] for question in questions)
        return [None if gold.letters and not gold.either else _NO_GOLD for gold in golds]

    def explain(self, question: Question) -> Explanation:
        judgement = self._one(question)
        gold, options = self._gold(question)
        readings = [("options", "; ".join(f"{letter}) {text}" for letter, text in options.items()))] if options else []
        readings.append(("gold", f"the choice {' and '.join(gold.letters)}" if gold.letters else "no choice"))
        if not gold.letters or not question.completion.strip():
            return Explanation(judgement, (), tuple(readings))
        _, text, found = self._places(question, gold, options)
        chosen, _ = given(found, text)
        if judgement.extracted is not None and chosen is not None:
            either = " or " if chosen.choice.either else " and "
            readings.append(("answer", f"the choice {either.join(chosen.choice.letters)}"))
        rest = [
            place for place in reversed(found) if (place.start, place.rule) != (chosen and (chosen.start, chosen.rule))
        ]
        told = [*([chosen] if chosen is not None else []), *rest]
        return Explanation(judgement, tuple(map(_candidate, told)), tuple(readings))


def _compared(gold: Choice, place: Place, why: str, took: float) -> Judgement:
    """The verdict on what one place gives; `why` is what speaks against it."""
    letters, shown = place.choice.letters, clean(place.text[:100])
    said = "".join(letters)
    if why or place.choice.either or (len(letters) > 1 and len(gold.letters) == 1):
        return Judgement.unknown("ambiguous", f"{' and '.join(letters)}: {why or shown}"[:200], took)
    same = _same(gold.letters, letters)
    if same is None:
        return Judgement.unknown("parse_failure", f"{said} beside {''.join(gold.letters)}", took)
    if not same and place.rule in _GUESSES and not place.firm:  # perhaps a remark on one of the options
        return Judgement.unknown("guessed", f"{said} is {place.rule}: {shown}", took)
    return Judgement("correct" if same else "wrong", float(same), None, said, took)


def _candidate(place: Place) -> Candidate:
    letters = " and ".join(place.choice.letters)
    note = f"gives {letters}" if letters else "gives no letter"
    if place.rule == "denied":
        note = "says what the answer is not"
    return Candidate(place.rule, clean(place.text)[:200], place.rule not in _GUESSES or place.firm, note)


def gold_choice(answer: str, options: Options) -> Choice:
    """The letters of a gold answer; a lone letter of any place is one."""
    text = plain(answer).strip()
    lone = re.fullmatch(r"[(\[]?\s?([A-Za-z])\s?[)\].:]{0,2}", text)
    if lone is not None and known(lone.group(1), len(LATIN)) is not None:
        return Choice((lone.group(1).upper(),), False, len(text))
    return choice_in(text, options)


def furthest(gold: Choice) -> int:
    """How many letters may be options: those up to the gold answer's at least."""
    return max(USUAL, *(LATIN.find(letter) + 1 for letter in gold.letters))


def given(found: Sequence[Place], text: str) -> tuple[Place | None, str]:
    """The place that counts, and what speaks against it; or None, and why there is none."""
    readable = [place for place in found if place.choice.letters and place.rule != "denied"]
    if not readable:
        return None, f"no choice in: {found[-1].text}" if found else "no choice found"
    last = _joined(readable, text)
    behind = text[last.end :]
    if _RETRACTED.search(behind.lower()) or _CALLED_WRONG.match(behind):
        return None, f"it is taken back: {last.text}"
    for place in found:
        if place.start >= last.end and _takes_back(place, last, text):
            return None, f"what is given last is no choice: {place.text}"
    for place in readable:
        if place.start < last.start and _contradicts(place, last, text):
            return last, f"{place.text} | {last.text}"
    return last, ""


def _takes_back(place: Place, last: Place, text: str) -> bool:
    """Whether a later place, which gives no letter, speaks of the answer: a box, "Answer: see above", "is not B"."""
    if place.rule == "denied":
        return not place.choice.letters or bool(set(place.choice.letters) & set(last.choice.letters))
    behind = text[last.end : place.start]
    is_its_text = last.rule != "box" and place.rule == "box" and len(behind) < _NEAR and "\n" not in behind
    return place.firm and not is_its_text


def _contradicts(place: Place, last: Place, text: str) -> bool:
    """Whether an earlier place gives another letter, and nothing between them takes it back."""
    if set(place.choice.letters) <= set(last.choice.letters) or place.rule == "picked":
        return False
    between = text[place.end : last.start]
    if _RETRACTED.search(between.lower()) or _CALLED_WRONG.match(between):
        return False
    is_boxed = place.rule in ("box", "tag") and last.rule not in ("box", "tag")
    return is_boxed or last.rule == "last_line" or "\n" not in between


def _joined(readable: Sequence[Place], text: str) -> Place:
    """The last place, with the boxes before it that "and" or a comma joins to it."""
    last = readable[-1]
    for place in reversed(readable[:-1]):
        between = text[place.end : last.start].strip(" $,;&")
        if not (place.rule == last.rule == "box") or len(between) > 3 or between not in ("", "and", "or"):
            break
        letters = tuple(dict.fromkeys((*place.choice.letters, *last.choice.letters)))
        choice = Choice(letters, between == "or" or place.choice.either or last.choice.either)
        last = Place(place.start, last.end, "box", f"{place.text}, {last.text}", choice)
    return last


def _same(gold: Sequence[str], said: Sequence[str]) -> bool | None:
    """Whether both are the same letters; None where a letter may stand for two. An order that is not that of the
    alphabet is part of a gold answer."""
    if set(gold) != set(said):
        either = {letter for each in said for letter in UNCLEAR.get(each, each)}
        wanted = {letter for each in gold for letter in UNCLEAR.get(each, each)}
        unclear = any(each in UNCLEAR for each in (*gold, *said))
        return None if unclear and either & wanted else False
    return True if list(gold) == sorted(gold) or list(gold) == list(said) else None
