r"""What is too large to hand to a computer algebra system, told from the text alone.

Invariant: linear in the length of the answer, no evaluation. The limits are not a proof that what passes is cheap (the
worker's clock and memory limit are), they only keep the obvious bombs, `9^{9^{9^9}}` or `10^9!`, from costing seconds
each. All numbers are our defaults: hundreds of times what answers of the usual sets need.
"""

from __future__ import annotations

import re

MAX_LENGTH = 2000
MAX_DIGITS = 300
MAX_NESTING = 20
MAX_EXPONENT = 20_000
MAX_FACTORIAL = 3000
MAX_BOUND = 1000  # numbers beside \sum, \prod, \int, \binom, \gcd
MAX_CELLS = 60
MAX_BARS = 16  # eight absolute values, for a parser to which each bar may open one or close one

_BAR = re.compile(r"\||\\(?:vert|Vert|mid|parallel)(?![a-zA-Z])")
_DIGITS = re.compile(r"\d+")
_FACTORIAL_OF = re.compile(r"(\d+|[)}\]])\s*!")
_LOOPS = re.compile(
    r"\\(?:sum|prod|int|iint|lim|[dt]?binom|gcd|lcm|operatorname|det|pmod|bmod|mod)(?![a-zA-Z])|\^\{?\\(?:top|prime)"
)
_RAISED = re.compile(r"(?<![_\d])(\d{1,4})\^\{?(\d{1,9})")
_RAISED_GROUP = re.compile(r"(?:\^|\*\*).*[)}\]] ?(?:\^|\*\*)")
_EXPONENT = re.compile(r"(?:\^|\*\*) ?\{? ?(\d{1,9})")
_POWER = re.compile(r"\^|\*\*")


def too_large(text: str) -> str | None:
    """Which limit the answer breaks, or None."""
    if len(text) > MAX_LENGTH:
        return f"longer than {MAX_LENGTH} characters"
    longest = max((len(run) for run in _DIGITS.findall(text)), default=0)
    if longest > MAX_DIGITS:
        return f"a number of more than {MAX_DIGITS} digits"
    if _nesting(text) > MAX_NESTING:
        return f"nested more than {MAX_NESTING} deep"
    if text.count("&") > MAX_CELLS or text.count(r"\\") > MAX_CELLS or text.count(",") > 4 * MAX_CELLS:
        return f"more than {MAX_CELLS} cells"
    return _powers(text) or _factorials(text) or _loops(text)


def too_many_bars(text: str) -> bool:
    """Whether a text holds more bars than a parser can pair in a fraction of a second."""
    return len(_BAR.findall(text)) > MAX_BARS


def _nesting(text: str) -> int:
    depth = deepest = 0
    for char in text:
        if char in "{([":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "})]":
            depth = max(0, depth - 1)
    return deepest


def _powers(text: str) -> str | None:
    """Exponents: their numbers multiplied must stay small, and a number may not stand in a tower of three."""
    for match in _POWER.finditer(text):
        exponent = group_after(text, match.end())
        inner = len(_POWER.findall(exponent))
        numbers = [int(run) for run in _DIGITS.findall(exponent)]
        if inner >= 2 and numbers:
            return "a tower of exponents"
        if exponent.count("!") and numbers:
            return "a factorial in an exponent"
        size = 1
        for number in numbers:
            size *= max(number, 1)
        if inner == 1 and len(numbers) >= 2:
            size = numbers[0] ** min(numbers[-1], 64)
        if size > MAX_EXPONENT:
            return f"an exponent above {MAX_EXPONENT}"
    return _powers_of_powers(text)


def _powers_of_powers(text: str) -> str | None:
    """`((2^{9999})^{9999})^{999}`: all exponents multiplied, where a group is raised that may hold a power."""
    if not _RAISED_GROUP.search(text):
        return None
    size = 1
    for match in _EXPONENT.finditer(text):
        size *= max(1, int(match.group(1)))
        if size > MAX_EXPONENT**2:
            return "a power of a power that is too large"
    return None


def group_after(text: str, start: int) -> str:
    """The braced or bracketed group at `start`, or the run up to the next operator, with what is raised on top."""
    at = start
    while at < len(text) and text[at] in " +-":
        at += 1
    depth = 0
    for end in range(at, len(text)):
        char = text[end]
        if char in "{([":
            depth += 1
        elif char in "})]":
            depth -= 1
            if depth < 0:
                return text[at:end]
        following = text[end + 1 : end + 2]
        if (
            depth == 0
            and following != "^"
            and text[end + 1 : end + 3] != "**"
            and char not in "^*!"
            and following != "!"
        ):
            if char.isdigit() and following.isdigit():
                continue
            return text[at : end + 1]
    return text[at:]


def _factorials(text: str) -> str | None:
    if text.count("!") > 6:
        return "more than 6 factorials"
    for match in _FACTORIAL_OF.finditer(text):
        operand = match.group(1)
        if operand.isdigit():
            number = int(operand)
        else:  # whatever stands before: its largest number
            before = _group_before(text, match.start())
            if "!" in before or _POWER.search(before):
                return "a factorial of a factorial or a power"
            number = max((int(run) for run in _DIGITS.findall(before)), default=0)
        raised = _POWER.search(text[max(0, match.start() - 2) : match.start() + 1])
        if number > MAX_FACTORIAL or (raised and number > 8):
            return f"a factorial above {MAX_FACTORIAL}"
        if text[match.end() : match.end() + 1] == "!" and number > 6:
            return "a factorial of a factorial"
    return None


def _group_before(text: str, end: int) -> str:
    """The bracketed group that closes at a place."""
    depth = 0
    for at in range(end, -1, -1):
        depth += (text[at] in ")}]") - (text[at] in "({[")
        if depth == 0:
            return text[at:end]
    return text[:end]


def _loops(text: str) -> str | None:
    if not _LOOPS.search(text):
        return None
    long = any(len(run) > 4 or int(run) > MAX_BOUND for run in _DIGITS.findall(text))
    raised = (int(base) ** min(int(power), 64) for base, power in _RAISED.findall(text))
    if long or any(number > MAX_BOUND for number in raised):
        return f"a sum, product or binomial over more than {MAX_BOUND}"
    return None
