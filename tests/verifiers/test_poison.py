"""Poisoned answers cost what the limits allow: one by one, and one in a thousand of a hundred thousand verdicts."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from support.poison import Poison, poisons
from synthflow.contracts import Judgement, Question
from synthflow.verifiers.math import MathConfig, MathVerifier

ROWS, EVERY, BATCH, LIMIT_S = 100_000, 1_000, 10_000, 0.5
TEXTS = [poison for poison in poisons() if poison[0].startswith("text of") or poison[0].endswith("before an answer")]
KILLED = f"killed after {MathConfig().timeout_s:g} s of CPU"
ANSWERS = [poison for poison in poisons() if poison not in TEXTS]


def _judged(chosen: list[Poison]) -> list[Judgement]:
    verifier = MathVerifier(MathConfig(workers=2))
    judged = verifier.judge([Question(str(at), "p", text, gold) for at, (_, gold, text) in enumerate(chosen)])
    verifier.close()
    return judged


def _over(chosen: list[Poison], seconds: float) -> list[Poison]:
    """Those that took longer; none of them may be taken for the gold answer.

    One that was killed for its CPU time has taken that limit, however long a busy machine let it wait for a core.
    """
    judged = _judged(chosen)
    assert [poison[0] for poison, said in zip(chosen, judged, strict=True) if said.verdict == "correct"] == []
    spent = [MathConfig().timeout_s if KILLED in (said.detail or "") else said.elapsed_s for said in judged]
    return [poison for poison, taken in zip(chosen, spent, strict=True) if taken > seconds]


@pytest.mark.extended
@pytest.mark.slow
def test_no_answer_takes_two_seconds() -> None:
    """Those that do on a busy machine are judged again, twice."""
    assert len(ANSWERS) >= 150 and len({name for name, _, _ in poisons()}) == len(poisons())
    slow = _over(ANSWERS, 2)
    for _ in range(2):
        slow = _over(slow, 2) if slow else []
    assert [name for name, _, _ in slow] == []


def test_texts_of_60_000_characters_are_read_in_no_time() -> None:
    started = time.process_time()
    assert _over(TEXTS, 2) == []
    assert time.process_time() - started < 0.02 * len(TEXTS)


def _poison(n: int) -> str:
    """Answers that hang, that fill the memory, that are refused from their text, and that are no text at all."""
    return (
        rf"\int_0^1 ({n}x+y+z+w)^{{900}} dx",
        rf"\int_0^1 ({n}x+y+z+w)^{{901}} dx",
        f"{n}^{{9^{{9^9}}}}",
        "\ud800{" * n,
    )[n % 4]


def _row(at: int) -> Question:
    if at % EVERY == EVERY // 2:
        return Question(str(at), "p", f"So \\boxed{{{_poison(at // EVERY + 1)}}}.", "5")
    if at % 1000 == 7:  # a good one that needs algebra
        return Question(str(at), "p", f"So \\boxed{{2\\ln {at}}}.", f"\\ln {at * at}")
    return Question(str(at), "p", f"So \\boxed{{{at}}}.", str(at - at % 2))


def _rss(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) * 1024


@pytest.mark.extended
@pytest.mark.slow
@pytest.mark.timeout(280)
def test_a_hundred_thousand_verdicts_with_one_poisoned_row_in_a_thousand() -> None:
    verifier = MathVerifier(MathConfig(timeout_s=LIMIT_S, workers=2))
    me = psutil.Process()
    others = set(me.children(recursive=True))  # what other tests of this process have left running
    descriptors = 0
    judged: list[Judgement] = []
    sizes: list[int] = []
    for start in range(0, ROWS, BATCH):
        judged += verifier.judge([_row(at) for at in range(start, start + BATCH)])
        sizes.append(_rss(me.pid))
        assert len(set(me.children(recursive=True)) - others) <= 3, "two workers and a spare"
        descriptors = descriptors or me.num_fds()
    assert len(judged) == ROWS
    for at, judgement in enumerate(judged):
        if at % EVERY == EVERY // 2:
            assert judgement.verdict == "unknown" and judgement.reason, at
            assert judgement.elapsed_s < LIMIT_S + 2, at
        elif at % 1000 == 7:
            assert judgement.verdict == "correct" or judgement.reason == "timeout", (at, judgement)
        else:
            assert judgement.verdict == ("wrong" if at % 2 else "correct"), (at, judgement)
    assert sum(judgement.reason == "timeout" for judgement in judged) >= ROWS // EVERY // 4
    # The judgements themselves are kept here: some 250 bytes each. The rest must not grow once the memo is full.
    kept = 400 * BATCH * (len(sizes) - 3)
    assert sizes[-1] - sizes[2] < kept + 16 * 2**20, sizes
    assert me.num_fds() <= descriptors + 12
    verifier.close()
    assert set(me.children(recursive=True)) <= others
