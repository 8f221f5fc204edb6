"""A verdict says nothing about the machine: two thousand rows are judged the same idle and beside busy processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.fuzz.pairs import fuzz_pairs
from support.poison import poisons
from synthflow.contracts import Question
from synthflow.verifiers.math import MathVerifier

ROWS, BUSY = 2_000, 8


def _rows() -> list[Question]:
    """Usual answers, some that need algebra, and what runs into the limits."""
    rows = [
        (f"\\sin({n}x)+{n}", f"\\boxed{{{n}+2\\sin(\\frac{{{n}x}}{{2}})\\cos(\\frac{{{n}x}}{{2}})}}")
        for n in range(2, 152)
    ]
    rows += [(f"\\frac{{\\ln {n}}}{{\\ln 3}}", f"\\boxed{{\\log_3 {n}}}") for n in range(5, 155)]
    rows += [(gold, text) for _, gold, text in poisons()]
    rows += [(pair.gold, pair.completion) for pair in fuzz_pairs(ROWS - len(rows), seed=99)]
    return [Question(str(at), "p", text, gold) for at, (gold, text) in enumerate(rows)]


@contextmanager
def _busy_processes() -> Iterator[None]:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(BUSY)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def _verdicts() -> list[str]:
    """The verdicts; what is near its limit of CPU time may name that, or what else is not read, as the reason."""
    verifier = MathVerifier()
    judged = verifier.judge(_rows())
    verifier.close()
    return [judgement.verdict for judgement in judged]


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_same_verdicts_idle_and_busy() -> None:
    rows = _rows()
    assert len(rows) == ROWS
    idle = _verdicts()
    with _busy_processes():
        busy = _verdicts()
    flipped = [(row.answer, row.completion[:80], a, b) for row, a, b in zip(rows, idle, busy, strict=True) if a != b]
    assert flipped == []
