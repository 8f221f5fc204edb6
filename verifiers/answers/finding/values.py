r"""The value at a place of a sentence: a run of mathematics with its unit and what "and" or "or" joins to it.

Invariant: a value is whole or it is none: what a word behind it or before it continues, bounds or denies ("out of 7",
"more than 40", "25% of 80") is not given as the number alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from synthflow.verifiers.answers.finding.denials import value_denied
from synthflow.verifiers.answers.finding.segments import Run
from synthflow.verifiers.answers.finding.vocabulary import NO_UNIT, PEOPLE, SKIPPED
from synthflow.verifiers.answers.reading.measures import is_unit

_JOINT = re.compile(r"\s*,?\s*(?:and|or|&|,)\s*(?:also\s*)?", re.IGNORECASE)
_CONTINUED = re.compile(
    r"\s*(?:(?:out|times|plus|minus|over|divided|multiplied|squared|cubed|factorial|choose|mod|modulo|raised|through|thru|or\s+(?:more|less"
    r"|fewer|greater|higher|lower)|more\s+than|less\s+than|fewer\s+than|and\s+a\s+(?:half|quarter|third)|dozen|pairs?|halves|thirds|quarters"
    r"|hundred|thousand|million|billion|trillion)(?![\w-])|(?:to|-|–|—)\s*[$€£]?\d|[-+*/^=<>≤≥×·]\s*[\d(\\])",
    re.IGNORECASE,
)
_LONGEST_UNIT = 30  # characters between two parts of one measurement
_NEXT_AMOUNT = re.compile(r"[\s*_$]*,?[\s*_$]*(and)?[\s*_$]*", re.IGNORECASE)
_AMOUNT = re.compile(r"\\?[$€£¥₹]?\d[\d,]*(?:\.\d+)?(?:/\d+)?")
_QUALIFIED = re.compile(
    r"[\s*_$]*,?\s*(?:give\s+or\s+take|plus\s+or\s+minus|±|or\s+so\b|or\s+thereabouts|more\s+or\s+less|at\s+(?:most|least)\b|and\s+counting"
    r"|(?:with\s+)?(?:an?\s+)?remainder|and\s+(?:a|one)\s+(?:half|quarter|third))",
    re.IGNORECASE,
)
_PER = re.compile(r"[\s*_$]*(?:per|(?:for|in|out\s+of)\s+(?:every|each))\s+\d|[\s*_$]*in\s+\d+\W*$", re.IGNORECASE)
_MIXED = re.compile(r"\d+ and \d+/\d+")
_MAGNITUDE = re.compile(r"\s*(?:hundred|thousand|million|billion|trillion|dozen)(?![\w-])")
_MORE_THAN = re.compile(r"\s*(?:more|less|fewer)\s+than\b")
_OUT_OF = re.compile(r"\s*of\s+[$€£]?\d")
_OF_SOMETHING = re.compile(r"\s*of\s+(?=[^.,;]*\d)|\s*of\s+(?:the|its|their|his|her|all|it)\b")
_BOUNDED = re.compile(
    r"(?:\b(?:(?:less|greater|more|fewer|smaller|larger)\s+than\s+or\s+equal\s+to|(?:at\s+)?(?:least|most)|more\s+than|less\s+than|fewer\s+than|greater\s+than|larger\s+than|smaller\s+than|over|under|up\s+to"
    r"|above|below|between|almost|nearly|not|never|than|exceeds?|divisible\s+by|multiple\s+of|from|give\s+or\s+take|plus\s+or\s+minus)\s*(?:an?\s|the\s)?[*_`$]*)$",
    re.IGNORECASE,
)
_UNIT = re.compile(
    r"(?:(?:square|cubic|sq\.?|cu\.?)\s)?(?:[°µ]?[A-Za-zΩ%°]+)(?:\s?/\s?[A-Za-z]+|\s?\^\s?\{?-?\d\}?|[²³])*(?:\s+per\s+[A-Za-z]+)?"
)
_CONDITION = re.compile(r"[\s,$]*for\s+(?:all|every|any|each)\s[^.,;]{1,60}")
_OPERATORS = frozenset("+-*/^=<>≤≥×·÷−")
_RATE = re.compile(r"\s?[A-Za-z]+")
_LETTERS = re.compile(r"[^\W\d_][\w'’-]*")
_RELATION = re.compile(r"[<>≤≥≠∈≡]|\\(?:leq?|geq?|lt|gt|neq?|in|equiv)(?![a-zA-Z])|\\not")
_ALTERNATIVES = re.compile(r"(?<![a-zA-Z])(?:or|and)(?![a-zA-Z])")
_MODULO = re.compile(r"\s*(?:mod|modulo)\s+\$?\w+\$?")
_ABOUT = re.compile(r"≈|\\approx|\\sim(?:eq)?(?![a-zA-Z])")
_BRACKETED = re.compile(r"\([^()]*\)|(?<!\\)\{[^{}]*\}")
_MODULUS = re.compile(
    r"\s*(?:\(\s*\\?(?:mod|text\{\s?mod\s?\})\b[^()]*\)|\\pmod\s*(?:\{[^{}]*\}|\w+)|\\?b?mod\s*(?:\{[^{}]*\}|\w+))\s*$"
)
_CONGRUENT = re.compile(r"≡|\\equiv(?![a-zA-Z])")
_COMMAND = re.compile(r"\\[a-zA-Z]+|[A-Za-z]+(?=\s?[({])|[^\W\d_]{4,}")
_VARIABLES = re.compile(r"[^\W\d_]")
_APPLIED = re.compile(  # x, a_n, f(x), P(A|B), (x, y), x mod 7, the total
    r"\d*[^\W\d_]+'*(?:_\{?[\w+−-]+\}?)?(?:\([^()]*\))?'*|\([^()]*\)|\\[a-z]+(?:\{[^{}]*\})*|[^\W\d_]+(?:_\{?\w+\}?)?\s?\\?(?:b?mod)\s?\w+"
    r"|[^\W\d_]+(?:\s[^\W\d_]+){1,4}|[^\W\d_]{1,3}\([^()]*\)(?:\s?[-+*/]\s?[^\W\d_]{1,3}\([^()]*\))*"
)
_ROOT = re.compile(r"[-+−±]?\s?(?:sqrt\b|[√∛π]|pi\b)")
_MEMBER_ENDS = re.compile(r"\s*(?:,|and\b|or\b|[.;!*_]*\s*$)")
_POLYNOMIAL = re.compile(r"[^\W\d_].*[+−-]|[+−-].*[^\W\d_]")
_NAME = re.compile(r"[^\W\d_](?:'*|_\{?\w+\}?|\\[a-z]+)")


def value_at(sentence: str, found: Sequence[Run], at: int, gold: str | None = None) -> tuple[str, int] | None:
    """The value that begins with run number `at`, and where it ends; None where the run is a piece of something."""
    run = found[at]
    if _BOUNDED.search(sentence, max(0, run.start - 40), run.start) or run.text.startswith(("≈", "<", ">", "≤", "≥")):
        return None
    if value_denied(sentence, run.start, run.end):
        return None
    if run.text[-1] in _OPERATORS and not (run.text[-1] == "/" and run.text[-2:-1].isdigit()):
        return None  # a word goes on: "x < five"
    first = _whole_run(sentence, run, gold)
    if first is None:
        return None
    joined = _joined(sentence, found[at + 1 :], *first)
    if joined is None:
        return None
    parts, end, alternatives = joined
    last = at + len(parts) - 1
    if parts[-1].endswith("/") and (rate := _RATE.match(sentence, end)) is not None:
        parts[-1], behind, end = parts[-1][:-1].rstrip(), "", rate.end()  # $75/week
    else:
        behind, end = _unit(sentence, end)
        if behind:
            compound = _compound(sentence, found[last + 1 :], behind, end)
            if compound is None:
                return None
            behind, end = compound
    if _QUALIFIED.match(sentence, end):
        return None
    if gold is not None and " for " in gold and (condition := _CONDITION.match(sentence, end)):
        behind, end = f"{behind} {condition.group().strip(' .*$')}", condition.end()
    return _listed(parts, alternatives) + behind, end


def _joined(sentence: str, found: Sequence[Run], first: str, end: int) -> tuple[list[str], int, bool] | None:
    """What commas, "and" and "or" join to a run: the parts, where they end, and whether they are alternatives.

    None where a part may be a piece of something.
    """
    parts, alternatives = [first], False
    for following in found:
        between = sentence[end : following.start].strip("*_ ")
        if not _JOINT.fullmatch(between or " "):
            break
        if between == "," and sentence[following.start] not in "$\\":
            if not _ROOT.match(following.text):
                break
            if not _MEMBER_ENDS.match(sentence, following.end):
                return None  # a member of the list, or another clause
        alternatives = alternatives or "or" in between
        if _MIXED.fullmatch(f"{parts[-1]} {between} {following.text}"):
            return None  # two and a half, or two values
        parts.append(following.text)
        end = following.end
        if _CONTINUED.match(sentence, end):
            return None
    return parts, end, alternatives


def measured_on(sentence: str, run: Run, following: Run) -> bool:
    """Whether the next run is the smaller part of one measurement: the 30 of "1 hour and 30 minutes"."""
    if following.start - run.end > _LONGEST_UNIT or not _AMOUNT.fullmatch(following.text):
        return False
    unit, end = _unit(sentence, run.end)
    if not (unit and is_unit(unit.strip()) and _NEXT_AMOUNT.fullmatch(sentence, end, following.start)):
        return False
    return is_unit(_unit(sentence, following.end)[0].strip())


def _compound(sentence: str, found: Sequence[Run], behind: str, end: int) -> tuple[str, int] | None:
    """A unit with the smaller amounts behind it (`6` hours 10 minutes), and where they end.

    None where another amount is joined by "and" that is no part of the same measurement: 5 apples and 3 pears.
    """
    unit = behind
    for following in found:
        joint = _NEXT_AMOUNT.fullmatch(sentence, end, following.start)
        if joint is None or not _AMOUNT.fullmatch(following.text):
            break
        again, stop = _unit(sentence, following.end)
        if not (is_unit(unit.strip()) and is_unit(again.strip())):
            return None if joint.group(1) else (behind, end)
        behind, end, unit = f"{behind} {following.text}{again}", stop, again
    return behind, end


def _whole_run(sentence: str, run: Run, gold: str | None) -> tuple[str, int] | None:
    """A run with a magnitude behind it and where that ends; None where words behind it make it a piece."""
    if (magnitude := _MAGNITUDE.match(sentence, run.end)) is not None:
        return run.text + magnitude.group(), magnitude.end()
    if (modulo := _MODULO.match(sentence, run.end)) is not None and (gold is None or "mod" not in gold):
        return run.text, modulo.end()
    more = "=" in run.text and _MORE_THAN.match(sentence, run.end)  # 9 - 4 = 5 more than Ann
    if (
        (_CONTINUED.match(sentence, run.end) and not more)
        or _OUT_OF.match(sentence, run.end)
        or _PER.match(sentence, run.end)
    ):
        return None
    part = "%" in run.text or "/" in run.text or "frac" in run.text
    if part and "=" not in run.text and _OF_SOMETHING.match(sentence, run.end):
        return None
    return run.text, run.end


def _listed(parts: list[str], alternatives: bool) -> str:
    """The parts of one answer as a list; conditions stay joined by the word that joins them."""
    several = sum("=" in part for part in parts) > 1  # else the list goes on: x = 1, -1, sqrt(2)
    if several and any(_outer_comma(part) and "=" in part for part in parts):
        parts = [part if part.startswith("(") else f"({part})" for part in parts]
    conditions = any(_RELATION.search(part) for part in parts)
    return (" or " if alternatives else " and " if conditions else ", ").join(parts)


def _unit(sentence: str, end: int) -> tuple[str, int]:
    """The unit or counted thing behind a number, with a space before it, and where it ends.

    A word that is neither, such as an adjective, is left out; what is told per something is counted without it.
    """
    at = end
    while at < len(sentence) and sentence[at] in "*_`$ ":
        at += 1
    words = []
    for match in _LETTERS.finditer(sentence, at, at + 60):
        word = match.group().lower()
        if sentence[at : match.start()].strip() or (word in NO_UNIT and word not in SKIPPED):
            break
        at = match.end()
        if word in SKIPPED or "-" in word:
            continue
        words.append(match)
        if len(words) == 1 and is_unit(word):
            break
        if len(words) == 2 or word.endswith("s"):
            break
    if not words:
        return (sentence[at : at + 1], at + 1) if sentence[at : at + 1] in ("°", "%") else ("", end)
    first, last = words[0], words[-1]
    measured = _UNIT.match(sentence, first.start())
    if measured is not None and is_unit(measured.group()):
        return " " + measured.group().strip(), measured.end()
    if not (last.group().endswith("s") or last.group().lower() in PEOPLE):
        return "", end
    return " " + " ".join(match.group() for match in words), last.end()


def result_of(text: str, gold: str | None, asserted: bool = False) -> str:
    """The result of a chain of equations: `72` of `8*9 = 72`, `3` of `a ≡ 3 (mod 7)`.

    Other text stays as it is, and so does what a gold answer that is a relation asks for. An equation in variables is
    no chain: `3x + 7y = 11` stays whole, unless it is asserted in a clause of its own ("Thus x + y = 11").
    """
    text = text.lstrip("= ") if text.startswith("=") else text
    if gold is not None and is_relation(gold):
        return text
    if ("mod" in text or "≡" in text or "equiv" in text) and (gold is None or "mod" not in gold):
        text = _CONGRUENT.split(_MODULUS.sub("", text) or text)[-1].strip() or text
    if "=" not in text or _ALTERNATIVES.search(text):
        return text
    sides = _sides(text)
    if len(sides) == 1 or _RELATION.search(text) or _ABOUT.search(text) or _outer_comma(text):
        return text
    left = sides[0].strip()
    if sum(_NAME.fullmatch(side.strip()) is not None for side in sides[:-1]) > 1:
        return text  # x = y = 0 tells two values
    if len(sides) == 2:
        if gold is None and _NAME.fullmatch(left):
            return text
        polynomial = sides[1].strip() == "0" and _POLYNOMIAL.search(_BRACKETED.sub("", left)) is not None
        in_variables = not _APPLIED.fullmatch(left) and not _letters(left) <= _letters(sides[1])  # 3 L + 2 L = 5 L
        if in_variables and (polynomial or not asserted):
            return text
    return sides[-1].strip() or text


def _letters(side: str) -> frozenset[str]:
    """The variables of a side: letters that are no name of a function."""
    return frozenset(_VARIABLES.findall(_COMMAND.sub(" ", side)))


def is_relation(answer: str) -> bool:
    """Whether an answer is an equation or an inequality, outside of brackets."""
    if "=" not in answer and _RELATION.search(answer) is None:
        return False
    bare = _BRACKETED.sub("", answer)
    return "=" in bare or _RELATION.search(bare) is not None


def _sides(text: str) -> list[str]:
    """The sides of a chain of equations; an equal sign in brackets is part of a side."""
    depth, start, sides = 0, 0, []
    for place, sign in enumerate(text):
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "=" and depth <= 0 and text[place - 1 : place] not in ("<", ">", "!", "=", ":"):
            sides.append(text[start:place])
            start = place + 1
    return [*sides, text[start:]]


def _outer_comma(text: str) -> bool:
    """Whether a comma outside of brackets makes it a list."""
    depth = 0
    for place, sign in enumerate(text):
        depth += (sign in "([{") - (sign in ")]}")
        grouped = text[place - 1 : place].isdigit() and text[place + 1 : place + 4].isdigit()
        if sign in ",;" and depth <= 0 and not grouped:
            return True
    return False
