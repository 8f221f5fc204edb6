"""Numbers that are spelled: cardinals, ordinals, simple fractions, and magnitudes behind a number.

Invariant: a phrase is a number wholly or not at all.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

_ONES = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL = {word: value for value, word in enumerate(_ONES.split())}
_SMALL |= {word: 10 * value for value, word in enumerate(_TENS.split(), 2)}
MAGNITUDES = {
    "hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12,
    "lakh": 10**5,
    "crore": 10**7,
}  # fmt: skip
_ORDINALS = {"first": 1, "second": 2, "third": 3, "fifth": 5, "eighth": 8, "ninth": 9, "twelfth": 12}
_ORDINALS |= {
    word + "th": value
    for word, value in _SMALL.items()
    if word + "th" not in ("eightth", "fiveth", "nineth", "twelveth") and value > 3 and not word.endswith("y")
}
_ORDINALS |= {word[:-1] + "ieth": value for word, value in _SMALL.items() if word.endswith("y")}
_PARTS = {"half": 2, "halves": 2, "quarter": 4, "quarters": 4}
_PARTS |= {name + end: value for name, value in _ORDINALS.items() if value > 2 for end in ("", "s")}
_DIGITS_ORDINAL = re.compile(r"(\d{1,9}) ?(?:\^ ?\{? ?)?(?:\\text ?\{ ?)?(st|nd|rd|th) ?\}? ?\}?")


@lru_cache(maxsize=4096)
def spelled(text: str) -> Fraction | None:
    """The number that a phrase spells: `twelve`, `twenty-one`, `two thirds`, `one and a half`, `3rd`, `third`;"
    " or None."""
    if match := _DIGITS_ORDINAL.fullmatch(text.strip()):
        return Fraction(int(match.group(1)))
    words = text.strip(" .").lower().replace("-", " ").split()
    if not words or len(words) > 16:
        return None
    sign = 1
    if words[0] in ("negative", "minus") and len(words) > 1:
        sign, words = -1, words[1:]
    found = _whole(words) if words != ["a"] else None
    if found is None:
        found = _fraction(words)
    if found is None and len(words) == 1 and words[0] in _ORDINALS:
        found = Fraction(_ORDINALS[words[0]])
    if found is None and len(words) == 2 and words[0] in _SMALL and words[1] in _ORDINALS and _SMALL[words[0]] >= 20:
        found = Fraction(_SMALL[words[0]] + _ORDINALS[words[1]])
    return None if found is None else sign * found


def _whole(words: list[str]) -> Fraction | None:
    total, group, last, any_word = 0, 0, 10**18, False
    for place, word in enumerate(words):
        if word == "and" and 0 < place < len(words) - 1 and any_word:
            continue
        if word in _SMALL:
            value = _SMALL[word]
            if (group % 100 and not (group % 100 >= 20 and group % 10 == 0 and 0 < value < 10)) or (
                any_word and value == 0
            ):
                return None
            group += value
        elif word == "a" and not any_word and len(words) > 1 and words[1] in MAGNITUDES:
            group = 1
        elif word == "hundred":
            if not 0 < group < 100:
                return None
            group *= 100
        elif word in MAGNITUDES:
            size = MAGNITUDES[word]
            if not group or size >= last:
                return None
            total, group, last = total + group * size, 0, size
        else:
            return None
        any_word = True
    return Fraction(total + group) if any_word else None


def _fraction(words: list[str]) -> Fraction | None:
    if not words:
        return None
    if "and" in words:
        at = len(words) - 1 - words[::-1].index("and")
        whole, part = _whole(words[:at]), _fraction(words[at + 1 :])
        return whole + part if whole is not None and part is not None and part < 1 else None
    under = _PARTS.get(words[-1])
    if under is None:
        return None
    if words[:-1] in ([], ["a"], ["one"]):
        return Fraction(1, under) if words[:-1] or under in (2,) else None
    top = _whole(words[:-1])
    return Fraction(top, under) if top is not None else None
