"""How several verdicts become one: cascade, consensus, veto, blend. Pure functions, shared by the compositions and by
`verify.combine`.

Invariant: unknown never turns into correct or wrong by itself: a rule that needs a verdict which is not there says
unknown, and why. Where every verdict is unknown for one reason, that reason stays. What a rule decides carries the
parts of all judgements that it was given, and their time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from synthflow.contracts import Judgement

Named = tuple[str, Judgement]
"""Who said it, and what."""

_DIGITS = 6  # of a blended value: float32, which the table keeps, cannot round it up to 1


def cascade(said: Sequence[Named]) -> Judgement:
    """The first that is not unknown."""
    for _, judgement in said:
        if judgement.verdict != "unknown":
            return _closed(judgement, said)
    return _unknown("all_unknown", said)


def consensus(said: Sequence[Named]) -> Judgement:
    """What all say; unknown where two contradict each other (disagree) or one is unknown (component_unknown)."""
    known = {judgement.verdict for _, judgement in said} - {"unknown"}
    if len(known) == 2:
        return _unknown("disagree", said)
    if any(judgement.verdict == "unknown" for _, judgement in said):
        return _unknown("component_unknown", said)
    values = [judgement.value for _, judgement in said if judgement.value is not None]
    return _closed(replace(said[0][1], value=min(values)), said)


def veto(main: Named | None, vetoes: Sequence[Named], unknown: Literal["unknown", "ignore"] = "unknown") -> Judgement:
    """Wrong where a veto says wrong, else what `main` says; a correct one stands only if every veto is known.

    Args:
        main: None if it was not asked, which only a spoken veto allows.
        unknown: what a veto that is unknown does to a correct verdict: it makes it unknown, or is ignored.
    """
    said = [*vetoes, *([main] if main is not None else [])]
    for name, judgement in vetoes:
        if judgement.verdict == "wrong":
            why = f"vetoed: {name}" + (f": {judgement.reason}" if judgement.reason else "")
            detail = main[1].detail if main is not None else judgement.detail
            return _closed(Judgement("wrong", 0.0, why, detail), said)
    if main is None:
        raise ValueError("no veto spoke, and the main verdict is missing")
    silent = [name for name, judgement in vetoes if judgement.verdict == "unknown"]
    if main[1].verdict == "correct" and silent and unknown == "unknown":
        return _unknown("veto_unknown", said)
    return _closed(main[1], said)


def blend(
    said: Sequence[Named],
    weights: Sequence[float],
    correct_from: float,
    wrong_below: float,
    unknown: Literal["unknown", "skip"] = "unknown",
) -> Judgement:
    """The weighted mean of the values, sum(w * v) / sum(w), and the verdict that it crosses a threshold for.

    Args:
        unknown: a component that is unknown makes the blend unknown, or is left out of both sums.
    """
    known = [(w, j.value) for w, (_, j) in zip(weights, said, strict=True) if j.verdict != "unknown"]
    if not known or (len(known) < len(said) and unknown == "unknown"):
        return _unknown("component_unknown", said)
    total = sum(w for w, _ in known)
    value = round(sum(w * v for w, v in known if v is not None) / total, _DIGITS)
    detail = next((j.detail for _, j in said if j.verdict != "unknown"), None)
    if value >= correct_from:
        return _closed(Judgement("correct", value, None, detail), said)
    if value < wrong_below:
        return _closed(Judgement("wrong", value, None, detail), said)
    return _unknown("undecided", said, f"{value:g} is between {wrong_below:g} and {correct_from:g}")


def _unknown(reason: str, said: Sequence[Named], detail: str | None = None) -> Judgement:
    reasons = {judgement.reason for _, judgement in said}
    shared = reasons.pop() if len(reasons) == 1 and all(j.verdict == "unknown" for _, j in said) else None
    told = "; ".join(f"{name}: {j.verdict}" + (f" ({j.reason})" if j.reason else "") for name, j in said)
    return _closed(Judgement.unknown(shared or reason, f"{detail}; {told}" if detail else told), said)


def _closed(judgement: Judgement, said: Sequence[Named]) -> Judgement:
    parts = tuple(part for _, each in said for part in each.parts)
    return replace(judgement, parts=parts, elapsed_s=sum(each.elapsed_s for _, each in said))
