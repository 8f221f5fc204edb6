"""Whether two readings are the same answer: the gold one first.

Invariant: `different` means that both are read wholly, are of kinds that can be compared, and differ; `equal` may come
with what it assumes; everything else is `unsure` with what stands in the way. A missing unit is accepted, another one
converts or leaves it open; words are never different unless a closed list says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from synthflow.verifiers.answers.comparing.amount_matching import compare_amounts, expanded
from synthflow.verifiers.answers.comparing.identity import DIFFERENT, EQUAL, UNSURE, Found
from synthflow.verifiers.answers.comparing.naming import (
    Mapping,
    approximated,
    exact_and_rounded,
    mapping,
    named_value,
    plain_value,
)
from synthflow.verifiers.answers.comparing.number_matching import (
    based_beside,
    beside_based,
    clock_beside,
    compare_based,
    compare_clocks,
    compare_congruences,
    compare_dates,
    compare_ratios,
    congruence_beside,
    outside,
    ratio_beside,
    ratio_beside_clock,
    worst,
)
from synthflow.verifiers.answers.comparing.regions import compare_spans, spans
from synthflow.verifiers.answers.comparing.relations import compare_cases, compare_relations, replaced
from synthflow.verifiers.answers.comparing.sequences import cells_of, items_of
from synthflow.verifiers.answers.comparing.tree_values import letters
from synthflow.verifiers.answers.comparing.word_matching import with_words
from synthflow.verifiers.answers.reading.atoms import number
from synthflow.verifiers.answers.reading.phrases import Words
from synthflow.verifiers.answers.reading.readings import (
    Amount,
    Based,
    Bound,
    Cases,
    Clock,
    Collection,
    Congruence,
    Date,
    Family,
    Interval,
    Matrix,
    Ratio,
    Reading,
    Region,
    Relation,
)

_MEMBERS = 40


def compare(gold: Reading, answer: Reading) -> Found:
    """The verdict on two readings."""
    gold, answer = plain_value(expanded(gold)), plain_value(expanded(answer))
    if isinstance(gold, Words) or isinstance(answer, Words):
        return with_words(gold, answer)
    if approximated(answer) or approximated(gold):
        return _with_approximation(gold, answer)
    if isinstance(answer, Collection) and not isinstance(gold, Collection) and _all_one(answer):
        return compare(gold, answer.members[0])
    if isinstance(gold, Collection) and not isinstance(answer, Collection) and _all_one(gold):
        return compare(gold.members[0], answer)
    if isinstance(gold, Family) or isinstance(answer, Family):
        return _families(gold, answer)
    if isinstance(gold, Ratio) and isinstance(answer, Clock):
        return ratio_beside_clock(gold, answer)
    if isinstance(gold, Amount) and isinstance(answer, Based):
        return beside_based(gold, answer)
    for kinds, own_way in _WAYS:
        if isinstance(gold, kinds[0]) and isinstance(answer, kinds[1]):
            return own_way(gold, answer)
        if kinds[0] is not kinds[1] and isinstance(gold, kinds[1]) and isinstance(answer, kinds[0]):
            return own_way(answer, gold)
    for way in (_as_mappings, _with_relation, _as_regions, _as_sequences):
        found = way(gold, answer)
        if found is not None:
            return found
    if isinstance(gold, Relation) and isinstance(answer, Relation):
        return compare_relations(gold, answer)
    return _of_other_kinds(gold, answer)


# ---------------------------------------------------------------- families, bounds


def _families(gold: Reading, answer: Reading) -> Found:
    """Values for every whole number: equal where they are equal with the same letter; what else could be is open."""
    one, one_letter = (gold.reading, gold.letter) if isinstance(gold, Family) else (gold, None)
    other, other_letter = (answer.reading, answer.letter) if isinstance(answer, Family) else (answer, None)
    one, other = plain_value(one), plain_value(other)
    if isinstance(one, Relation):
        one = named_value(one) or one
    if isinstance(other, Relation):
        other = named_value(other) or other
    if isinstance(one, Amount) and isinstance(other, Amount):
        letter = other_letter or one_letter or ""
        free = letters(one.tree) if one_letter is None else frozenset({one_letter})
        if other_letter is None:
            free, letter = letters(other.tree), one_letter or ""
            if len(free) == 1:
                other = Amount(replaced(other.tree, next(iter(free)), letter), other.unit)
        elif len(free) == 1:
            one = Amount(replaced(one.tree, next(iter(free)), letter), one.unit)
    found = compare(one, other)
    alone = (
        other
        if isinstance(gold, Family) and not isinstance(answer, Family)
        else one
        if isinstance(answer, Family)
        else None
    )
    if (
        found.verdict == "different"
        and (not isinstance(alone, Amount) or not letters(alone.tree))
        and alone is not None
    ):
        return found
    return found if found.verdict == "equal" else Found("unsure", "a letter stands for all whole numbers")


def _bounds(gold: Bound, answer: Bound) -> Found:
    if gold.mark != answer.mark:
        return Found("unsure", f"{answer.mark} beside {gold.mark}")
    return compare(gold.amount, answer.amount)


def _with_bound(bound: Bound, other: Reading) -> Found:
    if bound.mark == "~":
        found = compare(bound.amount, other)
        return found if found.verdict == "equal" else Found("unsure", "only an approximation is told")
    if isinstance(other, Relation | Region | Interval):
        inner = bound.amount
        if isinstance(inner, Amount):
            mark = {">=": r"\ge", "<=": r"\le"}.get(bound.mark, bound.mark)
            name = (
                next(iter(sorted(_relation_letters(other))))
                if isinstance(other, Relation) and _relation_letters(other)
                else "#real"
            )
            return compare(Relation((Amount(("sym", name)), inner), (mark,)), other)
    if (
        isinstance(other, Amount)
        and isinstance(bound.amount, Amount)
        and outside(bound.mark, bound.amount.tree, other.tree)
    ):
        return DIFFERENT
    if isinstance(other, Collection | Matrix | Mapping | Clock | Ratio):
        return DIFFERENT
    return Found("unsure", f"{bound.mark} is told by one side only")


def _relation_letters(relation: Relation) -> frozenset[str]:
    found: frozenset[str] = frozenset()
    for side in relation.sides:
        found |= letters(side.tree) if isinstance(side, Amount) else frozenset()
    return found


def _with_approximation(gold: Reading, answer: Reading) -> Found:
    """The exact value counts, and the rounded one where it is equal."""
    pairs = [exact_and_rounded(side) for side in (gold, answer)]
    found = compare(pairs[0][0], pairs[1][0])
    if found.verdict == "equal":
        return found
    for one in pairs[0]:
        for other in pairs[1]:
            if compare(one, other).verdict == "equal":
                return Found("equal", "as rounded")
    return found


# ---------------------------------------------------------------- collections


def _all_one(collection: Collection) -> bool:
    """Whether the members, joined by "or" or in a set, are one answer said several times."""
    first = (
        collection.members[0] if collection.members and (collection.joint == "or" or collection.kind == "set") else None
    )
    return first is not None and all(compare(first, member).verdict == "equal" for member in collection.members[1:])


def _matrices(gold: Matrix, answer: Matrix) -> Found:
    if (len(gold.rows), len(gold.rows[0])) != (len(answer.rows), len(answer.rows[0])):
        return DIFFERENT
    return _ordered(cells_of(gold), cells_of(answer))


def _ordered(gold: Sequence[Reading], answer: Sequence[Reading]) -> Found:
    if len(gold) != len(answer):
        return DIFFERENT
    return worst(compare(one, other) for one, other in zip(gold, answer, strict=True))


def _unordered(gold: Sequence[Reading], answer: Sequence[Reading]) -> Found:
    """Each a partner of its own; members that occur twice count once where the other side has them once."""
    if len(gold) * len(answer) > _MEMBERS * _MEMBERS or not (gold and answer):
        if gold and answer:
            return Found("unsure", "too many members")
        return DIFFERENT if gold or answer else EQUAL
    table = [[compare(one, other) for other in answer] for one in gold]
    columns: list[list[Found]] = [list(column) for column in zip(*table, strict=True)]
    for line in (*table, *columns):
        if all(found.verdict == "different" for found in line):
            return DIFFERENT
    if any(not any(found.verdict == "equal" for found in line) for line in (*table, *columns)):
        return next(found for line in (*table, *columns) for found in line if found.verdict == "unsure")
    return worst(next(found for found in row if found.verdict == "equal") for row in table)


def _as_sequences(gold: Reading, answer: Reading) -> Found | None:
    left, right = items_of(gold), items_of(answer)
    if left is None or right is None:
        return None
    kinds = {reading.kind for reading in (gold, answer) if isinstance(reading, Collection)}
    if left[0] and right[0]:
        if isinstance(gold, Interval) and isinstance(answer, Interval) and gold.brackets != answer.brackets:
            return DIFFERENT
        return _ordered(left[1], right[1])
    if left[0] != right[0]:
        if any(isinstance(side, Interval) and side.brackets == "[]" for side in (gold, answer)):
            return Found("unsure", "an interval or a list")
        if "set" in kinds:
            return (
                DIFFERENT
                if _unordered(left[1], right[1]).verdict == "different"
                else Found("unsure", "a set beside a tuple")
            )
        found = _ordered(left[1], right[1])
        if found.verdict != "different":
            return found
        return Found("unsure", "the order differs") if _unordered(left[1], right[1]).verdict == "equal" else found
    if "list" in kinds and len(left[1]) != len(right[1]):
        found = _unordered(left[1], right[1])
        return found if found.verdict != "equal" or kinds != {"list"} else Found("unsure", "something is listed twice")
    return _unordered(left[1], right[1])


def _as_regions(gold: Reading, answer: Reading) -> Found | None:
    if isinstance(gold, Interval) and isinstance(answer, Interval) and gold.members and answer.members:
        return None
    if not all(isinstance(side, Interval | Region | Relation | Collection) for side in (gold, answer)):
        return None
    left, right = spans(gold), spans(answer)
    if left is None or right is None:
        return None
    return compare_spans(left, right)


# ---------------------------------------------------------------- names and relations


def _as_mappings(gold: Reading, answer: Reading) -> Found | None:
    """`x=1, y=2` beside another such, or beside its values in the order of the names."""
    left, right = mapping(gold), mapping(answer)
    if left is None and right is None:
        return None
    if left is not None and right is not None:
        return _mappings(left, right)
    known, other = (left, answer) if left is not None else (right, gold)
    if isinstance(other, Relation) and named_value(other) is None:
        return DIFFERENT if other.marks != ("=",) else None
    if isinstance(other, Relation):
        return DIFFERENT
    items = items_of(other)
    if isinstance(other, Amount) and known is not None:
        each = {compare(value, other).verdict for value in known.values.values()}
        return DIFFERENT if each == {"different"} else Found("unsure", "several names have values")
    if isinstance(other, Collection) and other.joint == "or":
        return DIFFERENT
    if known is None or items is None or len(items[1]) != len(known.values):
        return None
    values = known.in_order()
    found = _ordered(values, items[1])
    if found.verdict == "different" and _unordered(values, items[1]).verdict == "equal" and not items[0]:
        return Found("unsure", "which value is whose is not told")
    return found


def _mappings(left: Mapping, right: Mapping) -> Found:
    if set(left.values) == set(right.values):
        return worst(compare(left.values[name], right.values[name]) for name in left.values)
    found = _ordered(left.in_order(), right.in_order())
    return Found("unsure", "the names differ") if found.verdict == "equal" else found


def _with_relation(gold: Reading, answer: Reading) -> Found | None:
    """A relation that names a value beside a value or another such; None where it is more than a name."""
    if isinstance(gold, Relation) and isinstance(answer, Relation):
        return _two_relations(gold, answer)
    relation, other = (gold, answer) if isinstance(gold, Relation) else (answer, gold)
    if not isinstance(relation, Relation):
        return None
    inner = named_value(relation)
    if inner is None:
        return None
    return compare(inner, other) if relation is gold else compare(other, inner)


def _two_relations(gold: Relation, answer: Relation) -> Found | None:
    left, right = named_value(gold), named_value(answer)
    for named, relation in ((left, answer), (right, gold)):
        if (
            isinstance(named, Amount)
            and not letters(named.tree)
            and "=" not in relation.marks
            and spans(relation) is not None
        ):
            return DIFFERENT
    if left is None or right is None:
        return None
    if isinstance(left, Amount) and isinstance(right, Amount) and gold.marks == answer.marks == ("=",):
        direct = compare_relations(gold, answer)
        if direct.verdict == "equal":
            return direct
    found = compare(left, right)
    if gold.sides[0] == answer.sides[0]:
        return found
    if isinstance(left, Amount) and letters(left.tree):
        renamed = _renamed(gold, answer)
        if renamed is not None:
            return renamed
        if found.verdict != "equal":
            return compare_relations(gold, answer)
        return found if _is_function(gold) != _is_function(answer) else Found("unsure", "the names differ")
    return Found("unsure", "the names differ") if found.verdict == "equal" else found


def _is_function(relation: Relation) -> bool:
    side = relation.sides[0]
    return isinstance(side, Amount) and side.tree[0] == "call"


def _renamed(gold: Relation, answer: Relation) -> Found | None:
    """`f(x)=2x` beside `f(t)=2t`."""
    left, right = gold.sides[0], answer.sides[0]
    if not (isinstance(left, Amount) and isinstance(right, Amount) and left.tree[0] == right.tree[0] == "call"):
        return None
    if len(left.tree) != 3 or len(right.tree) != 3 or left.tree[2][0] != "sym" or right.tree[2][0] != "sym":
        return None
    wanted, given = gold.sides[1], answer.sides[1]
    if not (isinstance(wanted, Amount) and isinstance(given, Amount)):
        return None
    found = compare(wanted, Amount(replaced(given.tree, right.tree[2][1], left.tree[2][1]), given.unit))
    if found.verdict == "equal" and left.tree[1] != right.tree[1]:
        return Found("unsure", "the names differ")
    return found


def _of_other_kinds(gold: Reading, answer: Reading) -> Found:
    """What is read wholly on both sides and is of two kinds is different, unless one may stand for the other."""
    for one, other in ((gold, answer), (answer, gold)):
        if isinstance(one, Collection) and not one.members and isinstance(other, Amount) and other.tree == number(0):
            return Found("unsure", "nothing, or the number 0")
    if isinstance(gold, Relation) and isinstance(answer, Relation):
        return UNSURE
    relation, other = (gold, answer) if isinstance(gold, Relation) else (answer, gold)
    if (
        isinstance(relation, Relation)
        and not isinstance(other, Amount)
        and spans(relation) is None
        and spans(other) is not None
    ):
        return DIFFERENT if "=" in relation.marks else UNSURE
    return DIFFERENT


_Way = Callable[..., Found]
_Kinds = tuple[Any, Any]
_WAYS: tuple[tuple[_Kinds, _Way], ...] = (
    ((Amount, Amount), compare_amounts),
    ((Bound, Bound), _bounds),
    ((Bound, object), _with_bound),
    ((Based, Based), compare_based),
    ((Based, Amount), based_beside),
    ((Clock, Clock), compare_clocks),
    ((Clock, Amount | Ratio), clock_beside),
    ((Date, Date), compare_dates),
    ((Ratio, Ratio), compare_ratios),
    ((Ratio, Amount), ratio_beside),
    ((Congruence, Congruence), compare_congruences),
    ((Congruence, Amount), congruence_beside),
    ((Matrix, Matrix), _matrices),
    ((Cases, Cases), compare_cases),
    ((Cases, Amount), compare_cases),
)
