r"""Answers that are words: yes and no, no solution, odd, Tuesday, an ellipse, names.

Invariant: words are equal where they say the same after articles, endings and the frame of a sentence are taken away;
they *differ* only where both stand in one closed list, of which only one can be true. Everything else that is not
equal is prose, and prose is never called different.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_CLOSED_LISTS = (
    "yes|true|correct no|false|incorrect|impossible",
    "odd even",
    "converges|convergent|converge|convergence|converged|converging diverges|divergent|diverge|divergence|diverging",
    "monday|mon tuesday|tue|tues wednesday|wed thursday|thu|thur|thurs friday|fri saturday|sat sunday|sun",
    "january|jan february|feb march|mar april|apr may june|jun july|jul august|aug september|sep|sept october"
    "|oct november|nov"
    " december|dec",
    "north south east west northeast northwest southeast southwest",
    "left right", "up|upward|upwards down|downward|downwards", "clockwise counterclockwise|anticlockwise",
    "increasing|increases|increase decreasing|decreases|decrease constant|unchanged",
    "positive negative zero", "ellipse circle hyperbola parabola line point", "acute obtuse",
    "isosceles equilateral scalene", "rational irrational", "prime composite",
    "linear quadratic cubic exponential logarithmic",
    "continuous discontinuous", "red blue green yellow black white orange purple|violet pink brown",
    "win|wins lose|loses tie|draw",
    "heads tails", "real imaginary|complex", "finite infinite", "symmetric antisymmetric|skewsymmetric",
    "homogeneous inhomogeneous|nonhomogeneous", "stable unstable", "injective surjective bijective",
    "parallel perpendicular",
    "boy girl", "male female", "morning afternoon evening night", "spring summer autumn|fall winter",
    "maximum|max minimum|min", "concave convex", "larger|greater|more smaller|less|fewer same|equal",
)  # fmt: skip
_NOTHING = """no solution|no solutions|no real solution|no real solutions|no integer solution|no integer solutions
    |no such value
    |no such values|no such number|no such numbers|no such integer|no such integers|no such function
    |no such functions|none exist
    |none exists|there are none|none|empty set|no values|no value|null set|no such pairs|no pairs|no roots|no real roots
    |no such n|no such x|there is no solution|there are no solutions|there is no such number|no answer exists|no triples
    |no solution exists|no solutions exist|there are no real solutions|there is no real solution"""
_UNDEFINED = """does not exist|dne|do not exist|doesnt exist|limit does not exist|the limit does not exist
    |not exist|no limit
    |it does not exist|nonexistent"""
_ALL_REALS = """all real numbers|all reals|real numbers|reals|any real number|every real number|set of all real numbers
    |set of real numbers|all real x|all x|any real|all values|the real line|real line"""
_INFINITE = """infinity|positive infinity|plus infinity|infinitely many|infinite|unbounded|infinitely many solutions
    |an infinite number|infinite solutions|infinite number of solutions"""
_UNKNOWN = """cannot be determined|can not be determined|cant be determined|not enough information|undetermined
    |indeterminate
    |impossible to determine|cannot be known"""
_NOUNS = frozenset(
    [
        "triangle",
        "number",
        "integer",
        "function",
        "series",
        "sequence",
        "matrix",
        "value",
        "direction",
        "curve",
        "line",
        "term",
    ]
)
_NONE = re.compile(
    r"(?:there (?:is|are|exists?) )?no (?:(?:such|possible|positive|negative|real|integer|integral|valid|other"
    r"|nontrivial|nonzero|prime|natural"
    r"|rational|complex|finite|whole|[a-z]+ valued) )*"
    r"(?:solutions?|values?|roots?|zeros?|numbers?|integers?|pairs?|triples?|primes?|functions?|sequences?|polynomials?|answers?|x|n)"
    r"(?: (?:exists?|is possible|are possible|satisfy .*|satisfies .*))?"
)
_IMPOSSIBLE = re.compile(
    r"(?:(?:it|this|that|such an? \w+) )?(?:is |are )?(?:not possible|impossible)|cannot be done|not possible|it cannot"
)
_ARTICLES = frozenset(["a", "an", "the"])
_FRAME = re.compile(
    r"^(?:(?:it|that|this|they|there|the (?:answer|series|sequence|integral|limit|function|graph|curve|number"
    r"|result|statement|"
    r"sum|conclusion|matrix|set|triangle|relation|equation|system|shape|figure|locus|conic|winner|day|month|color|colour|"
    r"following|claim)s?) (?:is|are|was|will be|must be|does|do)?|is|are|must be|always|in) (?=\S)"
)
_COPULA = re.compile(r"^(?:the )?(?:series|sequence|integral|limit|sum|improper integral|function) (?=(?:con|di)verge)")
_HEAD = re.compile(r"^(yes|no|true|false)(?: ?[,;:.–—-] ?| because | since | as )(.*)$", re.DOTALL)
_LETTERS = re.compile(r"[^\W_]+(?:[ '’.,;&/()-]+[^\W_]+)*[.!)]?")
_JOINTS = re.compile(r"\s*(?:,\s*(?:and\s+)?|;\s*|\s+and\s+|\s*&\s*)")


def _phrases(text: str) -> frozenset[str]:
    return frozenset(" ".join(part.split()) for part in text.split("|"))


_SAME = dict.fromkeys(_phrases(_NOTHING), r"\emptyset")
_SAME |= dict.fromkeys(_phrases(_UNDEFINED), "does not exist")
_SAME |= dict.fromkeys(_phrases(_ALL_REALS), r"\mathbb{R}")
_SAME |= dict.fromkeys(_phrases(_INFINITE), r"\infty")
_SAME |= dict.fromkeys(_phrases(_UNKNOWN), "cannot be determined")
_NUMBER_SETS = {r"\mathbb{Z}", r"\mathbb{N}", r"\mathbb{Q}", r"\mathbb{C}"}
for _name, _set in (("integers", "Z"), ("natural numbers", "N"), ("rational numbers", "Q"), ("complex numbers", "C")):
    _SAME |= {
        frame + _name: rf"\mathbb{{{_set}}}"
        for frame in ("", "all ", "the ", "set of ", "set of all ", "the set of all ")
    }
_SAME |= {"negative infinity": r"-\infty", "minus infinity": r"-\infty"}
_LISTS: dict[str, list[tuple[int, str]]] = {}
for _place, _list in enumerate(_CLOSED_LISTS):
    for _entry in _list.split():
        for _word in _entry.split("|"):
            _LISTS.setdefault(_word, []).append((_place, _entry.split("|")[0]))
TRUTH = {word: _entry for word in _LISTS for place, _entry in _LISTS[word] if place == 0}


@dataclass(frozen=True, slots=True)
class Words:
    """An answer in words: its parts in one spelling, unordered, and what it stands for in mathematics, if it does."""

    parts: frozenset[str]
    meaning: str | None = None
    behind: Words | None = None  # what stands behind a leading yes or no


@lru_cache(maxsize=4096)
def read_words(text: str) -> Words | None:
    """The reading of a text that is words and nothing else, or None."""
    plain = " ".join(text.replace("’", "'").split()).strip(" .!\"'*_`")
    if not plain or not _LETTERS.fullmatch(plain) or not re.search(r"[^\W_]{2}", plain):
        return None
    lower = plain.casefold().replace("n't", "nt")
    if lower in _SAME or without_articles(lower) in _SAME:
        return Words(frozenset({lower}), _SAME.get(lower) or _SAME[without_articles(lower)])
    if _NONE.fullmatch(lower.replace("-", " ")):
        return Words(frozenset({lower}), r"\emptyset")
    if _IMPOSSIBLE.fullmatch(lower):
        return Words(frozenset({"no"}))
    if match := _HEAD.match(lower):
        return Words(frozenset({_stem(match.group(1))}), None, read_words(match.group(2)))
    parts = frozenset(_normal(part) for part in _JOINTS.split(lower.removeprefix("both ")) if part)
    if len(parts) == 1 and next(iter(parts)) in _SAME:
        return Words(parts, _SAME[next(iter(parts))])
    return Words(parts)


def without_articles(text: str) -> str:
    """Without `a`, `an`, `the` in front of words."""
    return " ".join(word for word in text.split() if word not in _ARTICLES)


def _normal(part: str) -> str:
    text = _COPULA.sub("", part.strip(" .()'"))
    if len(text) == 1:
        return text
    for _ in range(3):
        text = _FRAME.sub("", text)
    words = [word.strip("'") for word in re.split(r"[\s-]+", without_articles(text)) if word]
    stems = [_stem(word) for word in words]
    if len(stems) > 1 and words[0] in _LISTS and all(stem in _NOUNS for stem in stems[1:]):
        return stems[0]
    return " ".join(stems)


def _stem(word: str) -> str:
    if word in _LISTS:
        return sorted(_LISTS[word])[0][1]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def compare_words(gold: Words, answer: Words) -> bool | None:
    """True where they say the same, False where both are of one closed list and differ, None where they are prose."""
    if gold.meaning is not None or answer.meaning is not None:
        return (
            True if gold.meaning == answer.meaning else False if {gold.meaning, answer.meaning} & _NUMBER_SETS else None
        )
    if gold.parts == answer.parts:
        return True
    if answer.behind is not None and not gold.parts <= frozenset(TRUTH.values()):
        return compare_words(gold, answer.behind)
    if len(gold.parts) == len(answer.parts) == 1:
        left, right = next(iter(gold.parts)), next(iter(answer.parts))
        if left.replace(" ", "") == right.replace(" ", ""):
            return True
        places = [{place for place, entry in _LISTS.get(side, [])} for side in (left, right)]
        if places[0] & places[1]:
            return False
    return None


def closed(words: Words) -> bool:
    """Whether the words are of a closed list, with an adverb or a noun perhaps, so that no number is meant."""
    return bool(words.parts) and all(
        any(word in _LISTS for word in part.split()) and len(part.split()) <= 3 for part in words.parts
    )
