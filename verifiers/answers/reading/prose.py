r"""Answers in sentences: `3 is the only possible value`, `X, or equivalently Y`, `100 (i.e., all values)`.

Invariant: the value that a sentence states is read, or nothing is; a sentence that denies or supposes something states
none. What a gold answer calls equivalent counts as gold too; an answer must agree with what it says of itself.
"""

from __future__ import annotations

import re

from synthflow.verifiers.answers.reading.phrases import Words
from synthflow.verifiers.answers.reading.readings import Amount, Read
from synthflow.verifiers.answers.reading.structure import read
from synthflow.verifiers.answers.reading.tokens import Unread

_ASIDE = re.compile(
    r"(?P<value>.*?\S) ?(?:[,;] ?|\( ?)(?P<joint>or,? equivalently,?|equivalently,?"
    r"|or an? equivalent form such as|i\.?e\.?,?|that is,?|"
    r"or about|or approximately|approximately|or simply|also written as|in other words,?|namely) ?(?P<other>.*?)\)?",
    re.IGNORECASE,
)
_PREDICATE = re.compile(
    r"(?P<value>\S.*?) (?:is|are) (?:the )?(?:only |unique |sole |smallest |largest |least |greatest |possible "
    r"|real |positive |integer "
    r"|maximum |minimum |such |correct |required |desired |final )*(?:values?|solutions?|answers?|integers?"
    r"|numbers?|roots?|ones?|"
    r"possibilit(?:y|ies)|pairs?|triples?|primes?|choices?)\b(?: (?:of|for|to|that|in|which)\b[^.]*)?\.?",
    re.IGNORECASE,
)
_COPULA = re.compile(
    r"(?:is|are|equals|be|becomes?) (?:also |therefore |exactly |simply |precisely )?(?:equal to ?|given by ?"
    r"|exactly |the number )?",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"\b(?:not|no|never|neither|nor|cannot|unless|if|suppose|assume|assuming|without|except|than|whether|n't)\b|n['’]t\b",
    re.IGNORECASE,
)
WORD = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]{2,}")


def read_gold(text: str) -> list[Read]:
    """The readings of a gold answer, each of which is the answer.

    Raises:
        Unread: if it states no value that is read wholly.
    """
    value, others = asides(text)
    found = [stated(value)]
    for other, exact in others:
        try:
            again = stated(other)
        except Unread:
            continue
        if exact and not isinstance(again.reading, Words):
            found.append(again)
    return found


def asides(text: str) -> tuple[str, list[tuple[str, bool]]]:
    """The value, and what is said of it besides: what, and whether as equal."""
    match_ = _ASIDE.fullmatch(text) if "e" in text else None
    if match_ is None:
        return text, []
    joint = match_["joint"].lower()
    value = match_["value"].rstrip(" ,;")
    other = (
        match_["other"].strip(" .,)")
        if match_["other"].count("(") != match_["other"].count(")") + 1
        else match_["other"].strip(" .,") + ")"
    )
    return value, [(other, "approx" not in joint and "about" not in joint)] if other else []


def stated(text: str) -> Read:
    """The reading of a text, or of the value that it states."""
    try:
        whole = read(text)
    except Unread as unread:
        return _from_sentence(text, unread)
    if isinstance(whole.reading, Words) and whole.reading.meaning is None and " " in text:
        try:
            return _from_sentence(text, Unread("words"))
        except Unread:
            return whole
    return whole


def _from_sentence(text: str, unread: Unread) -> Read:
    if not WORD.search(text) or _DENIED.search(text):
        raise unread
    if predicate := _PREDICATE.fullmatch(text):
        found = read(predicate["value"])
        if not isinstance(found.reading, Words):
            return found
        raise unread
    last = None
    for last in _COPULA.finditer(text):  # noqa: B007
        pass
    if last is None or not text[: last.start()].strip() or not text[last.start() - 1].isspace():
        raise unread
    subject = text[: last.start()].strip()
    if not re.match(
        r"(?:the|a|an|there|it|this|that|its|their|his|her|we|so|thus|hence|therefore|only|all|both|our)\b",
        subject,
        re.IGNORECASE,
    ):
        raise unread
    found = read(text[last.end() :])
    if isinstance(found.reading, Words) or (isinstance(found.reading, Amount) and found.reading.tree[0] == "sym"):
        raise unread
    return found
