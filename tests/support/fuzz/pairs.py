r"""What the fuzzer judges: a gold answer, and a response that ends with the same answer or with another one.

Invariant: the same pairs for the same seed. Half are `same`; a verdict of `wrong` on those is a false reject, one of
`correct` on the others a false accept. Gold and answer are spelled apart, and the answer is said in one of the forty
phrasings or in a way that leaves more to the reader.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from support.fuzz.algebra import ALGEBRA
from support.fuzz.collections import COLLECTIONS
from support.fuzz.kinds import Kind, Rng, in_formula, in_text, loosened
from support.fuzz.numbers import NUMBERS
from support.fuzz.words import WORDS
from support.phrasings import CONCLUSIONS, PHRASINGS, phrase

KINDS: dict[str, tuple[int, Kind]] = NUMBERS | ALGEBRA | COLLECTIONS | WORDS
_NAMES = list(KINDS)
_WEIGHTS = [weight for weight, _ in KINDS.values()]
_STATED = [*PHRASINGS, *CONCLUSIONS]


@dataclass(frozen=True)
class FuzzPair:
    """A gold answer and a response; `same` says whether the response is right."""

    kind: str
    phrasing: str
    gold: str
    answer: str
    completion: str
    same: bool


def fuzz_pairs(count: int, seed: int, kinds: tuple[str, ...] = ()) -> list[FuzzPair]:
    """`count` pairs; of some kinds alone, if they are named."""
    rng = random.Random(seed)
    return [_pair(rng, rng.choices(_NAMES, _WEIGHTS)[0] if not kinds else rng.choice(kinds)) for _ in range(count)]


def _pair(rng: Rng, name: str) -> FuzzPair:
    kind = KINDS[name][1]
    value, same = kind.draw(rng), rng.random() < 0.5
    gold = kind.spell(rng, value)
    answer = loosened(rng, kind.answer(rng, value if same else kind.change(rng, value)))
    phrasing, completion = said(rng, answer)
    return FuzzPair(name, phrasing, gold, answer, completion, same)


def said(rng: Rng, answer: str) -> tuple[str, str]:
    """A response with an answer, and the phrasing's name: a box for one in four, as most responses have one."""
    name = "boxed in a sentence" if rng.random() < 0.25 else rng.choice(_STATED)
    return name, phrase(name, in_text(rng, answer), in_formula(rng, answer))


def boxed(pair: FuzzPair) -> FuzzPair:
    """The same gold and answer, the answer alone in a box."""
    return replace(
        pair, phrasing="boxed", completion=phrase("boxed", pair.answer, in_formula(random.Random(0), pair.answer))
    )
