"""Words beside anything else.

Invariant: prose is never different from anything; what is of a closed list, or a single name, is no number.
"""

from __future__ import annotations

from synthflow.verifiers.answers.comparing.identity import DIFFERENT, EQUAL, Found
from synthflow.verifiers.answers.comparing.tree_values import kinds, letters
from synthflow.verifiers.answers.reading.atoms import number
from synthflow.verifiers.answers.reading.phrases import Words, closed, compare_words
from synthflow.verifiers.answers.reading.readings import (
    Amount,
    Collection,
    Family,
    Interval,
    Matrix,
    Reading,
    Region,
    Relation,
)

_OTHER_NUMBERS = """
    uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince veinte deux trois quatre cinq
    sept huit neuf dix onze douze vingt eins zwei drei vier sechs sieben acht neun zehn elf zwanzig due quattro cinque
    sei sette otto nove dieci undici dodici dois quatro oito dez doze cero null nula zero"""
_VAGUE = "unity nil nought naught single pair couple both neither either nothing everything twice"
_NO_NAMES = frozenset((_OTHER_NUMBERS + " " + _VAGUE).split())
_NO_VALUE = frozenset({"does not exist", "cannot be determined"})
_PARITY = frozenset({"odd", "even"})
_TRUTHS = frozenset({"yes", "no"})


def with_words(gold: Reading, answer: Reading) -> Found:
    if isinstance(gold, Words) and isinstance(answer, Words):
        same = compare_words(gold, answer)
        return Found("unsure", "words that differ") if same is None else EQUAL if same else DIFFERENT
    words, other = (gold, answer) if isinstance(gold, Words) else (answer, gold)
    assert isinstance(words, Words)
    if isinstance(other, Collection) and _letters_of(other) == words.parts:
        return EQUAL
    if words.meaning is not None:
        doubtful = words.meaning in _NO_VALUE and (
            _infinite(other) or (isinstance(other, Collection) and not other.members)
        )
        return Found("unsure", f"{words.meaning}, or no value") if doubtful else DIFFERENT
    truth = bool(words.parts & _TRUTHS)
    if truth and not isinstance(other, Relation):
        return Found("unsure", "yes or no beside what is neither")
    if closed(words) and (truth or not isinstance(other, Relation)) and not (truth and _may_be_truth(other)):
        formula = isinstance(other, Family) or (isinstance(other, Amount) and letters(other.tree))
        parity = _PARITY & {word for part in words.parts for word in part.split()}
        return Found("unsure", "words beside a formula") if formula and parity else DIFFERENT
    named = isinstance(other, Collection | Interval | Matrix | Region) or (
        isinstance(other, Amount) and other.tree[0] != "sym"
    )
    if named and not words.parts & _TRUTHS:
        name = next(iter(words.parts)) if len(words.parts) == 1 else " "
        if " " not in name and name not in _NO_NAMES and len(name) > 2 and name.isascii() and name.isalpha():
            return DIFFERENT
    return Found("unsure", f"the words {' and '.join(sorted(words.parts))!r}")


def _infinite(other: Reading) -> bool:
    return isinstance(other, Amount) and "inf" in kinds(other.tree)


def _may_be_truth(other: Reading) -> bool:
    """Whether 0, 1, nothing or a lone letter may mean yes or no."""
    if isinstance(other, Amount):
        return other.tree in (number(0), number(1), *(("sym", letter) for letter in "TFYNtfyn"))
    return isinstance(other, Collection) and not other.members


def _letters_of(collection: Collection) -> frozenset[str]:
    return frozenset(
        str(member.tree[1]).casefold()
        for member in collection.members
        if isinstance(member, Amount) and member.tree[0] == "sym"
    )
