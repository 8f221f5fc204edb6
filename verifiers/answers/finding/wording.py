r"""Gold answers that are words are looked for as words: "Yes", "No such values", "monotonically increasing".

Invariants: a phrase counts only in what a text concludes, announces or begins with, and never where a negation stands
before it; a text that says both yes and no says neither.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from synthflow.verifiers.answers.finding.conclusions import TAIL
from synthflow.verifiers.answers.finding.segments import sentences

_WORDY = re.compile(r"(?=.*[^\W\d_]{2})[^\W\d_]+(?:[ ,'’.-]{1,3}[^\W\d_]+)*[.!]?")
_FUNCTIONS = re.compile(
    r"(?:sin|cos|tan|log|ln|exp|sqrt|pi|infinity|oo|alpha|beta|gamma|theta|lambda)(?![a-z])", re.IGNORECASE
)
_UPRIGHT = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mbox|textnormal)\s?\{([^{}]*)\}")
_SAYS = re.compile(
    r"[\W_]*(?:(?:so|thus|therefore|hence|in\s+conclusion|finally|overall|well|to\s+conclude|conclusion)[,:\s*_]+)*(?:the\s+(?:final\s+)?answer\s+is[:,\s*_\"]+)?"
    r"(yes|no|true|false)(?=[\s*_\"]*(?:[,.;:!—–-]|$))",
    re.IGNORECASE,
)
_POSSIBLE = re.compile(r"\bit\s+is\s+(?:indeed\s+|always\s+|thus\s+|therefore\s+)?possible\b(?!\s+that)", re.IGNORECASE)
_IMPOSSIBLE = re.compile(
    r"\bit(?:\s+is|['’]s)\s+(?:thus\s+|therefore\s+|indeed\s+)?(?:not\s+possible|impossible)\b|\b(?:is|are)\s+not\s+possible\b"
    r"|\bthere\s+(?:is|are|exists?|can\s+be)\s+no\b(?!\s+(?:more|fewer|less|other|further|doubt|need)\b)|\b(?:does|do|did|can|could)(?:\s*n['’]t|\s+not)\s+exist\b|\bcannot\s+(?:exist|be)\b|\bno\s+such\b",
    re.IGNORECASE,
)
_NEGATED = re.compile(
    r"(?:\bnot|n['’]t|\bnever|\bcannot|\bwithout|\bneither|\bnor|\bno|\bnon)[\s-]+(?:[\w'’]+\s+){0,2}$", re.IGNORECASE
)
_HEDGED = re.compile(
    r"\b(?:if|whether|could|might|may|maybe|perhaps|possibly|suppose|assume|unless|unsure|guess)\b|\?\W*$",
    re.IGNORECASE,
)
_CONCLUDING = re.compile(
    r"[\W_]*(?:so|thus|therefore|hence|consequently|in\s+conclusion|finally)\b|.*\bwe\s+(?:can\s+)?conclude\b",
    re.IGNORECASE,
)
_NEGATIVE = re.compile(r"\b(?:(?:is|are|was|were|does|do)(?:n['’]t|\s+not)|cannot|can\s?not|can['’]t)\b", re.IGNORECASE)
_POSITIVE = re.compile(r"\b(?:is|are)\s+always\b|\bcan\s+be\b|\bthere\s+(?:does\s+|do\s+)?exists?\b", re.IGNORECASE)
_OPPOSITE = {"yes": "no", "no": "yes", "true": "no", "false": "yes"}
_NOTHING = re.compile(
    r"(?:there\s+are\s+)?no\s+(?:such\s+|possible\s+|positive\s+|real\s+|integer\s+|valid\s+)*([a-z]+)", re.IGNORECASE
)
_NO_THINGS = re.compile(
    r"\b(?:there\s+(?:are|is|exists?)|has|have|had|with)\s+no\s+((?:[a-z]+\s+){0,3}?)(solutions?|values?|integers?|numbers?|pairs?|roots?)\b",
    re.IGNORECASE,
)
_DOUBLY = re.compile(
    r"(?:\bnot|n['’]t)\s+(?:the\s+case|true|so|right|correct|clear|certain|known)\b.*\bthat\b"
    r"|\b(?:false|untrue|wrong|incorrect|absurd|nobody|den(?:y|ies|ied)|doubt\w*|refut\w*|disprov\w*|contradict\w*)\b.*\bthat\b"
    r"|\bthat\b.*\b(?:is|was)\s+(?:false|untrue|wrong|incorrect|absurd|not\s+(?:true|the\s+case|correct|right))\b",
    re.IGNORECASE,
)
_JUDGED = re.compile(
    r"[\W_]*(?:(?:so|thus|therefore|hence|in\s+conclusion|finally|overall|consequently)[,:\s*_]+)*(?:the|this|that|our)\s+(?:given\s+|original\s+|above\s+)?"
    r"(?:statement|claim|assertion|proposition|conjecture|sentence|equality|equation|inequality)\s+is\s+(?:thus\s+|therefore\s+|hence\s+|always\s+|indeed\s+|clearly\s+)?[*_\"]*(true|false)[\W_]*",
    re.IGNORECASE,
)
_FOR_A_CASE = re.compile(
    r"\s*(?:for|when|whenever|if|where|with|in|unless|except|other\s+than|besides|under|modulo|mod)\b(?!\s+(?:the|this|that)\s+(?:given\s+|original\s+|above\s+)?(?:equation|problem|system|inequality|question|integers|reals?)\b)"
)
_OTHERS = re.compile(r"\b(?:other|more|further|additional|fewer|less)\b")
_OR = re.compile(r"\b(?:or|nor|either)\s+(?:an?\s+|the\s+)?$")
_MOST_SENTENCES = 3


def is_wording(gold: str) -> bool:
    """Whether a gold answer is words and no mathematics."""
    bare = _UPRIGHT.sub(r"\1", gold).replace("$", "").strip()
    return _WORDY.fullmatch(bare) is not None and _FUNCTIONS.fullmatch(bare) is None


class Worded(NamedTuple):
    """What a text says in words; `plain` unless it is only implied, as "is not a square" implies no."""

    text: str
    plain: bool = True


def worded(text: str, gold: str) -> Worded | None:
    """What a text says in the words of the gold answer, or as yes or no; None where it says neither."""
    wanted = _folded(_UPRIGHT.sub(r"\1", gold))
    found = [sentence for sentence in sentences(text[-TAIL:]) if any(sign.isalpha() for sign in sentence)]
    if not found:
        return None
    if wanted in _OPPOSITE:
        return _yes_or_no(text, found)
    thing = _NOTHING.fullmatch(wanted)
    for sentence in reversed(found[-_MOST_SENTENCES:]):
        said = _folded(sentence)
        mentions = thing is not None and thing.group(1).rstrip("s") in said
        if _HEDGED.search(sentence):
            if mentions:
                return None
            continue
        at = said.rfind(wanted)
        if at >= 0 and _bounded(said, at, at + len(wanted)):
            if wanted.startswith("no ") and _restricted(said, at + len(wanted)):
                return None
            negated = not wanted.startswith("no ") and _NEGATED.search(said, max(0, at - 40), at) is not None
            joined = _OR.search(said, max(0, at - 20), at) is not None or said.startswith(" or ", at + len(wanted))
            return None if negated or joined or _DOUBLY.search(sentence) else Worded(gold)
        if _says_nothing(said, wanted):
            return Worded(gold)
        if mentions:
            return None  # the last that is said of it is another thing
    return None


def _restricted(said: str, end: int) -> bool:
    """Whether "there are no solutions" goes on with what restricts it to a case: "for z > 2", "in Case 3"."""
    return _FOR_A_CASE.match(said, end) is not None


def _yes_or_no(text: str, found: list[str]) -> Worded | None:
    """`yes` or `no`, as a text says it at its beginning and in its last sentence."""
    first = _SAYS.match(text[:200])
    last = next((match for sentence in reversed(found[-2:]) if (match := _SAYS.match(sentence))), None)
    said = {match.group(1).lower() for match in (first, last) if match is not None}
    polarity = _polarity(found[-1]) or _judged(found[-1])
    if polarity is not None:
        said.add(polarity)
    if said:
        return Worded(said.pop()) if len(said) == 1 else None
    return _implied(found[-1])


def _implied(sentence: str) -> Worded | None:
    if _HEDGED.search(sentence) or _DOUBLY.search(sentence) or not _CONCLUDING.match(sentence):
        return None
    if _NEGATIVE.search(sentence):
        return Worded("no", plain=False)
    return Worded("yes", plain=False) if _POSITIVE.search(sentence) else None


def _polarity(sentence: str) -> str | None:
    """`no` for "it is not possible" and "there are no", `yes` for "it is possible"; None for the rest."""
    if _HEDGED.search(sentence) or _DOUBLY.search(sentence):
        return None
    if _IMPOSSIBLE.search(sentence):
        return "no"
    return "yes" if _POSSIBLE.search(sentence) else None


def _judged(sentence: str) -> str | None:
    """`yes` for "the statement is true", `no` for "the claim is false"; None for what it says with a negation."""
    match = _JUDGED.fullmatch(sentence)
    return None if match is None else {"true": "yes", "false": "no"}[match.group(1).lower()]


def _folded(text: str) -> str:
    return " ".join(re.sub(r"[*_`$\"“”]|\\[()\[\]]", " ", text).casefold().replace("’", "'").split()).strip(" .,;:!")


def _bounded(text: str, start: int, end: int) -> bool:
    return not (text[start - 1 : start].isalnum() or text[end : end + 1].isalnum())


def _says_nothing(said: str, wanted: str) -> bool:
    """Whether both say that there is none of one thing: "there are no integer solutions to …"."""
    asked, given = _NOTHING.fullmatch(wanted), _NO_THINGS.search(said)
    if asked is None or given is None or _OTHERS.search(given.group(1)):
        return False
    if _restricted(said, given.end()):
        return False
    return asked.group(1).rstrip("s") == given.group(2).rstrip("s") or "such" in wanted
