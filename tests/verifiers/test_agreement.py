"""The exact path never contradicts the slow one: thousands of generated pairs, judged by both."""

from __future__ import annotations

import os

import pytest

from support.answer_pairs import pairs as made_pairs
from synthflow.verifiers.answers.comparing import rationals
from synthflow.verifiers.answers.comparing.limits import too_large
from synthflow.verifiers.answers.reading.text import _settle, canonical
from synthflow.verifiers.math import decide_exactly
from synthflow.verifiers.workers.pool import WorkerPool

CHUNK = 1000


def _agree(count: int, seed: int, least_decided: float) -> None:
    """Both paths on `count` pairs, in chunks, so that memory stays flat."""
    pool = WorkerPool(
        "synthflow.verifiers.answers.comparing.compare:compare", workers=os.cpu_count() or 1, timeout_s=60
    )
    decided, contradictions = 0, []
    for chunk in range(count // CHUNK):
        pairs = [tuple(canonical(text) for text in pair) for pair in made_pairs(CHUNK, seed + chunk)]
        fast = [_fast(gold, answer) for gold, answer in pairs]
        asked = [at for at, verdict in enumerate(fast) if verdict is not None]
        decided += len(asked)
        outcomes = pool.map([list(pairs[at]) for at in asked])
        for at, outcome in zip(asked, outcomes, strict=True):
            slow = (outcome.value or {}).get("equal")
            if slow is not None and slow != fast[at]:
                contradictions.append((pairs[at], fast[at], slow))
    pool.close()
    assert contradictions == []
    assert decided > least_decided * count, "too few pairs were decided by the exact path to mean anything"


def _fast(gold: str, answer: str) -> bool | None:
    if not gold or not answer or too_large(gold) or too_large(answer):
        return None
    percent = rationals.decide_percent(gold, answer)
    return decide_exactly(gold, answer) if percent is None else percent


@pytest.mark.extended
@pytest.mark.slow
def test_the_exact_path_never_contradicts_the_slow_one() -> None:
    _agree(4_000, seed=20_000, least_decided=0.6)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_ten_thousand_pairs_without_a_contradiction() -> None:
    _agree(10_000, seed=1_000_000, least_decided=0.6)


def test_settled_text_is_what_the_rules_would_make_of_it() -> None:
    for gold, answer in made_pairs(5_000, 7):
        for text in (gold, answer):
            assert canonical(text) == _settle(text)
