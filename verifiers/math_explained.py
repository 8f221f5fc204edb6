"""How a judgement of `math` came about: what each rule takes for the answer, and how both sides are read.

Invariant: nothing is decided here; the judgement is the verifier's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from synthflow.contracts import Candidate, Explanation, Judgement
from synthflow.verifiers.answers.comparing import rationals
from synthflow.verifiers.answers.comparing.verdicts import read_answer
from synthflow.verifiers.answers.finding.extract import Extracted, candidates
from synthflow.verifiers.answers.reading.prose import read_gold
from synthflow.verifiers.answers.reading.readings import Amount, Collection, Read
from synthflow.verifiers.answers.reading.text import canonical, clean
from synthflow.verifiers.answers.reading.tokens import Unread

_SHOWN = 200
_LONGEST = 2000  # characters of a text that is read here, where nothing would kill what hangs
_KINDS = {
    "Amount": "an expression", "Based": "digits in a base", "Bound": "a bound", "Cases": "a function by cases",
    "Clock": "a time of day", "Collection": "a collection", "Congruence": "a congruence", "Date": "a day",
    "Family": "a family of values", "Interval": "an interval", "Matrix": "a matrix", "Ratio": "a ratio",
    "Region": "a set of real numbers", "Relation": "a relation", "Words": "words",
}  # fmt: skip


def explained(judgement: Judgement, completion: str, gold: str, chosen: Extracted) -> Explanation:
    """The explanation of a judgement.

    Args:
        gold: the gold answer alone, without what stands around it.
        chosen: what was found in the completion under the verifier's own configuration.
    """
    readings = [("gold", _told(gold, read_gold))] if gold.strip() else []
    if chosen.text:
        readings.append(("answer", _told(chosen.text, lambda text: [read_answer(text)])))
    return Explanation(judgement, tuple(_different([chosen, *candidates(completion, gold)])), tuple(readings))


def _told(text: str, read: Callable[[str], Sequence[Read]]) -> str:
    """A text as it is compared, and what it is read as."""
    text = canonical(text[: 10 * _LONGEST])
    shown = clean(text[: 2 * _SHOWN])[:_SHOWN]
    number = rationals.parse(text)
    if number is not None:
        value = str(number[0])
        return f"{shown}: a number" if value == text else f"{shown}: the number {value[:_SHOWN]}"
    if len(text) > _LONGEST:
        return f"{shown} …: of {len(text):,} characters"
    try:
        found = read(text)
    except Unread as unread:
        return f"{shown}: not read: {unread}"
    kinds = dict.fromkeys(_kind(each.reading) for each in found)
    doubts = "; ".join(sorted({doubt for each in found for doubt in each.doubts}))
    return f"{shown}: {', or '.join(kinds)}" + (f" ({doubts})" if doubts else "")


def _kind(reading: Any) -> str:
    if isinstance(reading, Collection):
        return f"a {reading.kind} of {len(reading.members)}"
    kind = _KINDS[type(reading).__name__]
    return f"{kind} with a unit" if isinstance(reading, Amount) and reading.unit is not None else kind


def _different(found: Sequence[Extracted]) -> list[Candidate]:
    """Each answer of each rule once, the chosen one first; a rule that found nothing only where it says why."""
    told: dict[tuple[str, str], Candidate] = {}
    for place, one in enumerate(found):
        if place and not one.text and one.note in ("", "no answer found"):
            continue
        text = clean(one.text[: 2 * _SHOWN])[:_SHOWN]
        told.setdefault((one.rule, text), Candidate(one.rule, text, one.sure, one.note))
    return list(told.values())
