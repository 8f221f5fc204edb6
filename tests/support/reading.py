"""The verdict on a gold answer and an answer, both bare, without a worker process."""

from __future__ import annotations

from synthflow.verifiers.answers.comparing.compare import compare
from synthflow.verifiers.answers.finding.extract import gold_answer, strip_math
from synthflow.verifiers.answers.reading.text import canonical
from synthflow.verifiers.math import decide_cheaply


def verdict(gold: str, answer: str) -> str:
    """`correct`, `wrong` or `unknown`."""
    pair = canonical(gold_answer(gold)), canonical(strip_math(answer))
    cheap = decide_cheaply(*pair, 0.0)
    if cheap is not None:
        return cheap.verdict
    found = compare(list(pair))
    return "unknown" if "reason" in found else "correct" if found["equal"] else "wrong"
