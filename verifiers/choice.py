r"""`choice`: which option of a multiple-choice question does a completion choose?

Invariant: a letter counts only where it is given as the answer: in a box, after "the answer is", or alone in the last
line that is not blank. Two letters that are given, in one place or in two, are unknown, and so is a letter beside the
text of another option: a guess is no answer. Letters are A to J, in any of the usual spellings:
`B`, `(B)`, `b)`, `B.`, `\text{(B)}`, `**B**`, full-width `Ｂ`, "option B", "B) its text". With the options' texts at
hand (in the metadata) an option's text alone counts as well. Only what follows the last `</think>` is read.
"""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Sequence

from pydantic import Field

from synthflow.contracts import Judgement, Question, Verifier, VerifierConfig
from synthflow.verifiers.answers.extract import after_thinking, boxes
from synthflow.verifiers.answers.text import clean
from synthflow.verifiers.exact import normalise
from synthflow.verifiers.metadata import fields

LETTERS = "ABCDEFGHIJ"
_TAIL = 4000  # characters from the end that are read; an answer stands at the end
_ANSWER = 500  # characters of a candidate
_MOST_OPTIONS = len(LETTERS)
_MOST_PLACES = 20

_UPRIGHT = re.compile(
    r"\\(?:f?boxed|fbox|text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname|rm)\s{0,3}\{([^{}]*)\}"
)
_BROKEN_BOX = re.compile(r"\\f?boxed\s{0,3}\{|\\fbox\s{0,3}\{")
_MARKUP = re.compile(r"\\[()\[\]]|\\[,;:! ]|\\left|\\right|[$*_`]")
_MARKER = re.compile(
    r"\b(?:answer|choice|option)\s{0,3}(?:\b(?:is|(?:would|must|should) be)\b\s{0,3}[:：]?|[:：=])\s{0,3}"
    r"|\banswer\s{1,3}(?=\(?[A-Ja-j]\)?\s{0,3}(?:[.!]|$))"
    r"|答案(?:是|为|選|选)?\s{0,3}[:：]?\s{0,3}|(?:^|\n)\s{0,3}####\s{0,3}",
    re.IGNORECASE,
)
_NAMED = re.compile(
    r"^(?:the\s{1,3})?(?:correct\s{1,3})?(?:option|choice|answer|letter)\s{1,3}(?=\(?[A-J]\b)", re.IGNORECASE
)
# A letter in brackets or with a bracket, point or colon behind it may be followed by the option's text.
_LABELLED = re.compile(
    r"^(?:[(\[{]\s{0,2}([A-Ja-j])\s{0,2}[)\]}]|([A-Ja-j])\s{0,2}[)\]]|([A-J])(?:\s{0,2}[.:、]|\s{1,3}[-–—]\s))\s{0,3}(.*)$",
    re.DOTALL,
)
_ALONE = re.compile(r"^[(\[{]?\s{0,2}([A-Ja-j])\s{0,2}[)\]}]?$")
_SPELLED_LETTER = re.compile(r"(?<![\w'’])[(\[]?([A-J])[)\]]?(?![\w'’])")
_SENTENCE = re.compile(r"[.!。](?:\s|$)|\n")
# Further options in the text behind a label: "5 B) 6", "5 (B) 6", "5 B. 6".
_LABELS = re.compile(r"[(\[]\s?([A-J])\s?[)\]]|(?<![\w'’])([A-J])\s?\)|(?<=\s)([A-J])[.:](?=\s+\S)")
_DOUBT = re.compile(r"\b(?:wait|actually|hmm|second thought)\b", re.IGNORECASE)
_WORDS = frozenset(("a", "i"))  # alone and in lower case: an article or a pronoun of a sentence that breaks off


class ChoiceConfig(VerifierConfig):
    """Configuration of `verify.choice`."""

    options_key: str = Field(
        "options", description="field of the problem's metadata that holds the options' texts: a list, or by letter"
    )


class ChoiceVerifier(Verifier):
    """The letter of a multiple-choice answer. Unknown reasons: empty, parse_failure, ambiguous, gold_unparsable."""

    name = "choice"
    version = "1"
    Config = ChoiceConfig

    def judge(self, questions: Sequence[Question]) -> list[Judgement]:
        return [self._one(question) for question in questions]

    def _one(self, question: Question) -> Judgement:
        started = time.perf_counter()
        options = options_of(question.metadata, self.config.options_key)
        gold = letters_in(question.answer or "", options)
        if len(gold) != 1:
            return Judgement.unknown("gold_unparsable", f"the gold answer is no letter of {LETTERS} and no option")
        if not question.completion.strip():
            return Judgement.unknown("empty")
        found = [(letters_in(place, options), place) for place in places(question.completion)]
        # What is given last must be a choice; an earlier box may hold anything.
        chosen = frozenset[str]().union(*(letters for letters, _ in found)) if found and found[-1][0] else frozenset()
        shown = clean(" | ".join(place[:100] for _, place in found))[:200]
        took = time.perf_counter() - started
        if not chosen:
            return Judgement.unknown("parse_failure", shown or "no choice found", took)
        if len(chosen) > 1:
            return Judgement.unknown("ambiguous", f"{' and '.join(sorted(chosen))}: {shown}", took)
        (letter,) = chosen
        same = chosen == gold
        return Judgement("correct" if same else "wrong", float(same), None, letter, took)


def options_of(metadata: str, key: str) -> dict[str, str]:
    """Normalised texts of the options by letter; empty where the metadata holds none that can be read."""
    held = fields(metadata).get(key)
    if isinstance(held, dict) and isinstance(held.get("text"), list) and isinstance(held.get("label"), list):
        held = dict(zip(held["label"], held["text"], strict=False))  # as ARC has it
    if isinstance(held, list):
        held = dict(zip(LETTERS, held, strict=False))
    if not isinstance(held, dict) or len(held) > _MOST_OPTIONS:
        return {}
    texts = {str(label).strip().upper(): _plain(str(text)) for label, text in held.items()}
    # "A) four" in a list says its letter twice.
    return {label: normalise(_without_label(text, label)) for label, text in texts.items() if label in set(LETTERS)}


def places(completion: str) -> list[str]:
    """Where an answer is given: boxes, what follows a marker, and a last line that is a letter or stands alone."""
    text = after_thinking(completion)[-_TAIL:]
    found = [box[:_ANSWER] for box in reversed(boxes(text))]
    if not found and _BROKEN_BOX.search(text):
        return []
    text = unicodedata.normalize("NFKC", _plain(text)).rstrip()
    last_line = text.rpartition("\n")[2].strip()
    marked = [text[match.end() :].lstrip(" \t\n:：=")[:_ANSWER].partition("\n")[0] for match in _MARKER.finditer(text)]
    marked = ["" if place.strip(" .!") in _WORDS else place for place in marked]
    if found:
        # A marker may stand before the box it announces, or say something else.
        return [*(place for place in marked[-_MOST_PLACES:] if letters_in(place, {})), *found]
    found = marked[-_MOST_PLACES:]
    if _ALONE.match(last_line.rstrip(".")) and last_line.strip(" .") not in _WORDS:
        return [*found, last_line]
    # A last line that labels a text may be the last of the options, told again.
    return found if found or not last_line or _LABELLED.match(last_line) else [last_line[:_ANSWER]]


def letters_in(place: str, options: dict[str, str]) -> frozenset[str]:
    """Letters that the text of one place gives as its answer; none if it gives none."""
    text = unicodedata.normalize("NFKC", _plain(place)).strip()
    text = _NAMED.sub("", text.strip(" \"'“”")).strip()
    bare = text.rstrip(" .!,;:。\"'”").strip()
    alone = _ALONE.match(bare)
    if alone:
        return frozenset(alone.group(1).upper())
    if _DOUBT.search(text):
        return frozenset()
    said = normalise(text)
    by_text = {letter for letter, option in options.items() if option and option == said}
    labelled = _LABELLED.match(text)
    if labelled:
        letter = next(group for group in labelled.groups()[:3] if group).upper()
        return _with_text(letter, labelled.group(4), options) | by_text
    if by_text:
        return frozenset(by_text)
    sentence = _SENTENCE.split(text, maxsplit=1)[0]
    first = re.match(r"^[(\[]?([A-J])[)\]]?(?=\s{0,3}(?:$|,|because\b|since\b|as\b|and\b|or\b|but\b))", sentence)
    return frozenset(_SPELLED_LETTER.findall(sentence)) if first else frozenset()


def _with_text(letter: str, rest: str, options: dict[str, str]) -> frozenset[str]:
    """The letter before an option's text, and every other option that the text is or labels."""
    others = {o for o, option in options.items() if option and o != letter and option == normalise(rest)}
    labels = [letter for found in _LABELS.findall(rest) for letter in found if letter]
    joined = re.findall(r"^(?:and|or|,|/|&)\s{0,3}[(\[]?([A-Ja-j])[)\]]?(?!\w)", rest.strip(), re.IGNORECASE)
    return frozenset({letter, *others, *(found.upper() for found in (*labels, *joined))})


def _plain(text: str) -> str:
    """Without what only sets text: `\\text{…}`, dollar signs, asterisks."""
    for _ in range(3):
        text = _UPRIGHT.sub(r"\1", text)
    return _MARKUP.sub("", text)


def _without_label(text: str, label: str) -> str:
    labelled = _LABELLED.match(text.strip())
    if labelled and next(group for group in labelled.groups()[:3] if group).upper() == label:
        return labelled.group(4)
    return text
