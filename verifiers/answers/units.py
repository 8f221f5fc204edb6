r"""What the words around an answer change: units, qualifiers, choices, times, and answers that are only text.

Computer algebra drops or multiplies out words: `5 \text{ m}` and `5 \text{ km}` both parse as 5, `\text{at least } 3`
as a product, `east` as the same product of letters as `seat`. So words are compared as words, before it is asked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from synthflow.verifiers.answers.text import clean, unwrap_text, words

_UNIT_NAMES = {
    "m": "m meter meters metre metres", "cm": "cm centimeter centimeters centimetre centimetres",
    "mm": "mm millimeter millimeters", "km": "km kilometer kilometers kilometre kilometres",
    "in": "in inch inches", "ft": "ft foot feet", "yd": "yd yard yards", "mi": "mi mile miles",
    "g": "g gram grams", "kg": "kg kilogram kilograms", "mg": "mg milligram milligrams", "lb": "lb lbs pound pounds",
    "oz": "oz ounce ounces", "t": "ton tons tonne tonnes", "s": "s sec second seconds",
    "ms": "ms millisecond milliseconds",
    "min": "min minute minutes", "h": "h hr hrs hour hours", "day": "day days", "week": "week weeks",
    "month": "month months", "year": "year years", "ml": "ml milliliter milliliters",
    "l": "l liter liters litre litres", "gal": "gallon gallons", "cup": "cup cups", "mph": "mph",
    "cent": "cent cents", "dollar": "dollar dollars usd", "euro": "euro euros eur", "%": "% percent",
    "degree": "degree degrees", "radian": "radian radians rad", "w": "watt watts", "kw": "kilowatt kilowatts",
    "j": "joule joules", "n": "newton newtons", "v": "volt volts", "hz": "hertz hz", "pa": "pascal pascals",
}  # fmt: skip
_UNITS = {name: unit for unit, listed in _UNIT_NAMES.items() for name in listed.split()}
_UNIT_AT_END = re.compile(
    r"[\d})]\s*((?:square |cubic |sq |cu )?)(\\?%|[A-Za-z]+)"
    r"(?:\s*(?:/|\bper\b)\s*([A-Za-z]+))?\s*(?:\^\s*\{?([23])\}?)?\s*$"
)
_WORDS_AT_END = re.compile(r"(?<=[\d})])(\s*)([A-Za-z][A-Za-z /.]*?)\s*(?:\^\s*\{?[23]\}?)?\s*$")
_UPRIGHT_AT_END = re.compile(
    r"(?<![-+*/^=_,(])\s*\\(?:text|textrm|textbf|mathrm|mbox|rm)\s*\{([^{}]*)\}\s*(?:\^\s*\{?[23]\}?)?\s*$"
)
_CURRENCY = re.compile(r"^(?=[-+]?\s*(?:\\?\$|[€£¥₹]))([-+]?)\s*(?:\\?\$|[€£¥₹])\s*|\s*[€£¥₹]$")
_NO_THINGS = """dozens pairs halves thirds quarters fourths fifths sixths sevenths eighths ninths tenths hundredths
    thousandths
    tens hundreds thousands millions billions trillions times minus plus less factors squares cubes roots percents
    less is was has does this thus yes us"""
_NOT_THINGS = frozenset(_NO_THINGS.split())
_ODD_PLURALS = "people children men women mice feet teeth geese fish sheep"
_PLURALS = frozenset(_ODD_PLURALS.split())
_QUALIFYING = """not no non never neither nor than least most more less over under above below between except without
    undefined impossible maybe either unless minus plus times half twice double
    dozen dozens pair pairs halves thirds quarters tens hundreds factorial squared cubed approximately about"""
_QUALIFIERS = frozenset(_QUALIFYING.split())
_COMMAND = re.compile(r"\\[a-zA-Z]+")
_WORD = re.compile(r"[a-zA-Z]{2,}")
_LETTERS = re.compile(r"[^\W\d_]+(?:[ '’-][^\W\d_]+)*")
_FUNCTIONS = "pi infinity infty sin cos tan cot sec csc log ln exp sqrt abs max min gcd lcm"
_MATH_WORDS = frozenset(_FUNCTIONS.split())
_SHORT = """yes no odd even all none true false both red one two six ten mon tue wed thu fri sat sun jan feb mar apr may
    jun jul aug sep oct nov dec am pm up down left right he she tie win"""
_SHORT_WORDS = frozenset(_SHORT.split())
_WORDY = re.compile(r"(?=.*[^\W\d_]{3})[\w .,:'’-]+")
_AMBIGUOUS = re.compile(
    r"\d/\d+ ?(?:[a-zA-Z(]|\\(?!text|mathrm|mbox|right|cdot|times|le|ge|cup|cap|pm|in|end)[a-zA-Z])"
)
_WORDLESS = re.compile(r"(?:[0-9+\-*^(){}\[\],. ]++|\\(?:frac|sqrt|pi|cdot|infty|cup|[{}])(?![a-zA-Z]))++")
_BASED = re.compile(r"[\dA-Fa-f]+_\{?(\d+)\}?")
_TIME = re.compile(r"(\d{1,2}):([0-5]\d)\s*([ap])?\.?\s*(?:m\.?)?")
_CHOICE = re.compile(r"\(?([A-Ja-j])(?:\)|\.|:|\)\.)?(?:\s*(?:[-–—]\s|(?<=[).:])\s?).*)?", re.DOTALL)
_CHOICES = re.compile(r"\(?[A-J]\)?(?:(?: ?, ?(?:and )?| and )\(?[A-J]\)?)+")
_SAME = {
    "no solution": r"\emptyset", "no solutions": r"\emptyset", "empty set": r"\emptyset", r"\emptyset": r"\emptyset",
    "no real solution": r"\emptyset", "no real solutions": r"\emptyset", "the empty set": r"\emptyset",
    r"\{\}": r"\emptyset", "dne": "does not exist", "infinity": r"\infty",
}  # fmt: skip

_NUMBER_WORDS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen twenty"""
_SAME |= {word: str(number) for number, word in enumerate(_NUMBER_WORDS.split())}
_TENS = "thirty forty fifty sixty seventy eighty ninety"
for _tens, _word in enumerate(["twenty", *_TENS.split()], 2):
    _SAME[_word] = f"{_tens}0"
    _SAME |= {f"{_word}{j}{one}": f"{_tens}{n}" for n, one in enumerate(_NUMBER_WORDS.split()[1:10], 1) for j in "- "}
_SAME |= {"half": "0.5", "one half": "0.5", "one-half": "0.5", r"\frac{1}{2}": "0.5", "1/2": "0.5"}
_SAME |= {"all real numbers": r"\mathbb{R}", r"\mathbb{r}": r"\mathbb{R}"}


@dataclass(frozen=True, slots=True)
class Said:
    """What the words decide: `correct` or `wrong`, `text_differs` with why, or nothing (`open`)."""

    verdict: Literal["correct", "wrong", "text_differs", "open"]
    why: str = ""


_OPEN = Said("open")


def is_text(answer: str) -> bool:
    r"""Whether an answer is words rather than mathematics: `\text{east}`, `Monday`, `no solution`."""
    bare = words(answer)
    if not _LETTERS.fullmatch(bare) or "\\" in bare:
        return False
    if bare in _MATH_WORDS or len(bare) == 1:
        return False
    set_upright = re.fullmatch(r"\\(?:text|textbf|textit|mbox|textrm)\s*\{[^{}]*\}", clean(answer).strip()) is not None
    return set_upright or bare in _SHORT_WORDS or " " in bare or len(bare) >= 4


def say(gold: str, answer: str) -> Said:
    """What words decide about two canonical answers, before any algebra."""
    if _WORDLESS.fullmatch(gold) and _WORDLESS.fullmatch(answer):
        return _OPEN
    if is_text(gold) or is_text(answer):
        return Said("correct" if _alias(gold) == _alias(answer) else "wrong")
    if _WORDY.fullmatch(words(gold)) and words(gold).replace(" ", "") == words(answer).replace(" ", ""):
        return Said("correct")
    if _anagram(gold, answer):
        return Said("text_differs", "the same letters in another order")
    if re.fullmatch(r"\(?[A-J]\)?", words_kept_case(gold)):
        match = _CHOICE.fullmatch(words_kept_case(answer))
        if match:
            return Said("correct" if match.group(1).upper() in words_kept_case(gold) else "wrong")
    listed = [_CHOICES.fullmatch(words_kept_case(text)) for text in (gold, answer)]
    if all(listed):
        letters = [sorted(re.findall("[A-J]", words_kept_case(text))) for text in (gold, answer)]
        return Said("correct" if letters[0] == letters[1] else "wrong")
    wanted = _TIME.fullmatch(words(gold))
    if wanted:
        given = _TIME.fullmatch(words(answer))
        if given is None:
            return Said("text_differs", "a time of day is asked for")
        same = int(given.group(1)) == int(wanted.group(1)) and given.groups()[1:] == wanted.groups()[1:]
        return Said("correct" if same else "wrong")
    return _objection(gold, answer)


def _anagram(gold: str, answer: str) -> bool:
    """Two different short words of the same letters: `tea` and `eat`, which algebra takes for one product."""
    left, right = gold.casefold(), answer.casefold()
    return len(left) > 2 and left.isalpha() and left != right and sorted(left) == sorted(right)


def words_kept_case(answer: str) -> str:
    """`words` without folding case."""
    return " ".join(unwrap_text(clean(answer)).replace("$", " ").split()).strip(" *_")


def _alias(answer: str) -> str:
    bare = words(answer)
    return _SAME.get(bare, bare)


def _objection(gold: str, answer: str) -> Said:
    said = _plain_words(answer)
    asked = _plain_words(gold)
    extra = sorted((said - asked) & _QUALIFIERS)
    if extra:
        return Said("text_differs", f"the answer says {extra[0]!r}")
    missing = sorted((asked - said) & _QUALIFIERS)
    if missing:
        return Said("text_differs", f"the gold answer says {missing[0]!r}")
    if _symbols(gold) != _symbols(answer) and _symbols(gold.lower()) == _symbols(answer.lower()):
        return Said("text_differs", "variables differ in case")
    if _primes(gold) != _primes(answer):
        return Said("text_differs", "primes differ")
    if any(_AMBIGUOUS.search(text) and not unit(text) for text in (gold, answer)):
        return Said("text_differs", "a/bc can be read in two ways")
    if _base(gold) != _base(answer):
        return Said("text_differs", "only one names a number base, or they differ")
    wanted, given = unit(gold), unit(answer)
    if wanted and given and wanted != given:
        return Said("text_differs", f"the unit is {given}, asked for {wanted}")
    things = _thing(gold), _thing(answer)
    if all(things) and things[0] != things[1]:
        return Said("text_differs", f"it counts {things[1]}, asked for {things[0]}")
    return _OPEN


def _symbols(answer: str) -> frozenset[str]:
    """Letters that stand alone: variables, which the parser folds to lower case."""
    bare = _COMMAND.sub(" ", re.sub(r"\\text\s*\{[^{}]*\}", " ", answer))
    return frozenset(re.findall(r"(?<![a-zA-Z])[a-zA-Z](?![a-zA-Z])", bare))


def _primes(answer: str) -> int:
    return answer.count("'") + answer.count("\\prime")


def _base(answer: str) -> str | None:
    match = _BASED.fullmatch(unwrap_text(answer).strip().replace(" ", ""))
    return match.group(1) if match else None


def _plain_words(answer: str) -> frozenset[str]:
    return frozenset(_WORD.findall(_COMMAND.sub(" ", unwrap_text(answer)).lower()))


def without_unit(answer: str) -> str:
    r"""The answer without the unit or counted thing at its end: `5\text{ cm}^2`, `5 m`, `12 apples`, `\$5`, `€5`.

    What could be a variable stays: `5m`, `2x`. So do words that change the number: `5 dozen`, `3 halves`.
    """
    text = _CURRENCY.sub("", answer.strip().rstrip("."))
    match = _UPRIGHT_AT_END.search(text)
    if match and match.start() and (_measured(match.group(1)) or _counted(match.group(1))):
        return text[: match.start()].strip()
    match = _WORDS_AT_END.search(text)
    if match:
        space, phrase = match.groups()
        if (_measured(phrase) and (space or len(phrase) > 1)) or (space and _counted(phrase)):
            return text[: match.start()].strip()
    return text


def _measured(phrase: str) -> bool:
    """Whether words are a unit: `cm`, `square meters`, `km per hour`, `km/h`."""
    names = re.split(r"[\s/]+", phrase.strip().lower().rstrip("."))
    return any(name in _UNITS for name in names) and all(
        name in _UNITS or name in ("square", "cubic", "sq", "cu", "per", "us") for name in names
    )


def _counted(phrase: str) -> bool:
    """Whether words are a counted thing: one or two plain words, the last a plural."""
    names = phrase.strip().lower().rstrip(".").split()
    if not 1 <= len(names) <= 2 or any(name in _NOT_THINGS or name in _QUALIFIERS for name in names):
        return False
    plural = names[-1] in _PLURALS or (len(names[-1]) > 3 and names[-1].endswith("s"))
    return plural and all(name.isalpha() and len(name) > 2 for name in names)


def _thing(answer: str) -> str | None:
    """The counted thing at an answer's end, or None."""
    text = unwrap_text(answer).strip().rstrip(".")
    match = _WORDS_AT_END.search(text)
    return match.group(2).strip().lower() if match and _counted(match.group(2)) else None


def unit(answer: str) -> str | None:
    """The unit an answer ends with (or `$` before it), in one spelling such as `cm`, `m^2`, `km/h`; None if none."""
    plain = unwrap_text(answer).strip().rstrip(".")
    if re.match(r"[-+]?\s*\\?\$", plain):
        return "dollar"
    if sign := re.match(r"[-+]?\s*([€£¥₹])", plain) or re.search(r"([€£¥₹])$", plain):
        return {"€": "euro"}.get(sign.group(1), sign.group(1))
    if re.search(r"\^\s*\{?\s*\\circ\s*\}?$", plain):
        return "degree"
    match = _UNIT_AT_END.search(plain.lower())
    if not match:
        return None
    kind, name, per, power = match.groups()
    if name not in _UNITS and name != "\\%":
        return None
    base = _UNITS.get(name, "%")
    if per:
        base += "/" + _UNITS.get(per, per)
    power = power or {"sq": "2", "cu": "3"}.get(kind.strip()[:2])
    return base + (f"^{power}" if power else "")
