"""How a judgement of `math` came about: what each rule takes for the answer, and how both sides are read.

Invariant: nothing is decided here; the judgement is the verifier's own.
"""

from __future__ import annotations

from collections.abc import Sequence

from synthflow.contracts import Candidate, Explanation, Judgement
from synthflow.verifiers.answers.extract import Extracted, candidates
from synthflow.verifiers.answers.text import canonical, clean

_SHOWN = 200


def explained(judgement: Judgement, completion: str, gold: str, chosen: Extracted) -> Explanation:
    """The explanation of a judgement.

    Args:
        gold: the gold answer alone, without what stands around it.
        chosen: what was found in the completion under the verifier's own configuration.
    """
    readings = [("gold", _read(gold))] if gold.strip() else []
    if chosen.text:
        readings.append(("answer", _read(chosen.text)))
    return Explanation(judgement, tuple(_different([chosen, *candidates(completion, gold)])), tuple(readings))


def _read(text: str) -> str:
    return clean(canonical(text)[: 2 * _SHOWN])[:_SHOWN]


def _different(found: Sequence[Extracted]) -> list[Candidate]:
    """Each answer of each rule once, the chosen one first; a rule that found nothing only where it says why."""
    told: dict[tuple[str, str], Candidate] = {}
    for place, one in enumerate(found):
        if place and not one.text and one.note in ("", "no answer found"):
            continue
        text = clean(one.text[: 2 * _SHOWN])[:_SHOWN]
        told.setdefault((one.rule, text), Candidate(one.rule, text, one.sure, one.note))
    return list(told.values())
