"""However it is written a right answer is never `wrong`, and a different one never `correct`: thousands of pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from support.fuzz.pairs import KINDS, FuzzPair, boxed, fuzz_pairs
from support.phrasings import PHRASINGS
from synthflow.contracts import Question
from synthflow.verifiers.math import MathConfig, MathVerifier

CHUNK = 10_000
Judge = Callable[[Sequence[FuzzPair]], list[str]]


def _false(pair: FuzzPair, verdict: str) -> bool:
    return verdict == ("wrong" if pair.same else "correct")


def _minimal(failed: Sequence[FuzzPair], judge: Judge) -> list[str]:
    """A failure of each kind: the shortest, and in a box alone if it fails there too."""
    told = []
    for kind in sorted({pair.kind for pair in failed}):
        pairs = sorted((p for p in failed if p.kind == kind), key=lambda p: len(p.gold) + len(p.answer))[:50]
        bare = [boxed(pair) for pair in pairs]
        still = [pair for pair, verdict in zip(bare, judge(bare), strict=True) if _false(pair, verdict)]
        pair, *_ = still or sorted(pairs, key=lambda p: len(p.gold) + len(p.completion))
        how = "is right and was called wrong" if pair.same else "is different and was called correct"
        told.append(f"{kind}: gold {pair.gold!r}, answer {pair.completion!r} {how}")
    return told


def _hold(count: int, seed: int) -> None:
    """Both properties on `count` pairs, and that most of them are decided, or the properties would say nothing."""
    verifier = MathVerifier(MathConfig(workers=2))

    def judge(pairs: Sequence[FuzzPair]) -> list[str]:
        questions = [Question(str(at), "p", pair.completion, pair.gold) for at, pair in enumerate(pairs)]
        return [judgement.verdict for judgement in verifier.judge(questions)]

    failed, right, asked = [], Counter[bool](), Counter[bool]()
    for start in range(0, count, CHUNK):
        pairs = fuzz_pairs(min(CHUNK, count - start), seed + start)
        for pair, verdict in zip(pairs, judge(pairs), strict=True):
            if pair.phrasing in PHRASINGS:
                asked[pair.same] += 1
                right[pair.same] += verdict == ("correct" if pair.same else "wrong")
            if _false(pair, verdict):
                failed.append(pair)
    told = _minimal(failed, judge)
    verifier.close()
    assert told == [], "\n".join([f"{len(failed)} of {count} pairs:", *told])
    assert all(right[same] > 0.97 * asked[same] for same in (True, False)), (right, asked)


def test_answers_rewritten_and_changed() -> None:
    _hold(3_000, seed=13)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_hundred_thousand_answers_rewritten_and_changed() -> None:
    _hold(100_000, seed=1_000_000)


def test_every_kind_is_drawn_and_a_change_is_one() -> None:
    pairs = fuzz_pairs(5_000, 7)
    assert {pair.kind for pair in pairs} == set(KINDS)
    assert fuzz_pairs(5_000, 7) == pairs
    assert 0.45 < sum(pair.same for pair in pairs) / len(pairs) < 0.55
    assert not [pair for pair in pairs if not pair.same and pair.gold == pair.answer]
