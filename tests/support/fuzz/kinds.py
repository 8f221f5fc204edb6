r"""What a kind of answer is to the fuzzer, and spelling that all kinds share.

Invariant: `spell` writes one value in ways that a careful reader takes for that value, whatever the random numbers;
`change` gives a value that is different for that reader under every convention of docs/verify-math.md. A spelled
answer is LaTeX or plain text; `in_text` and `in_formula` fit it to where it stands.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

T = TypeVar("T")
Rng = random.Random


@dataclass(frozen=True)
class Kind:
    """A kind of answer: a value at random, a value as text, and another value near it.

    `loosely` is how answers may write it and golds may not, where there are such ways: 0.25 for 25%, 5 cm for 5.
    """

    draw: Callable[[Rng], Any]
    spell: Callable[[Rng, Any], str]
    change: Callable[[Rng, Any], Any]
    loosely: Callable[[Rng, Any], str] | None = None

    def answer(self, rng: Rng, value: Any) -> str:
        """A value as an answer writes it."""
        loosely = self.loosely is not None and rng.random() < 0.3
        return self.loosely(rng, value) if loosely and self.loosely else self.spell(rng, value)


def unlike(draw: Callable[[Rng, T], T]) -> Callable[[Rng, T], T]:
    """A `change` that draws until the value is another one."""

    def changed(rng: Rng, value: T) -> T:
        while (other := draw(rng, value)) == value:
            pass
        return other

    return changed


def one_of(rng: Rng, ways: Sequence[Callable[[], T]]) -> T:
    """The result of one function; the others are not called."""
    return rng.choice(ways)()


# ---------------------------------------------------------------- numbers, as parts of other answers


def whole(rng: Rng, value: int) -> str:
    """An integer as it stands within expressions."""
    return str(value)


def fraction(rng: Rng, value: Fraction) -> str:
    """A rational number in LaTeX or with a slash, reduced or not."""
    top, bottom = value.numerator, value.denominator
    if bottom == 1:
        return rng.choice((str(top), str(top), str(top), f"{top}.0"))
    times = rng.choice((1, 1, 1, 2, 3))
    sign, size = ("-", -top) if top < 0 else ("", top)
    ways = [
        f"\\frac{{{times * top}}}{{{times * bottom}}}",
        f"{sign}\\frac{{{times * size}}}{{{times * bottom}}}",
        f"{sign}\\dfrac{{{size}}}{{{bottom}}}",
        f"{sign}\\tfrac{{{size}}}{{{bottom}}}",
        f"{sign}{{{size} \\over {bottom}}}",
        f"{times * top}/{times * bottom}",
        f"{top} / {bottom}",
    ]
    if size < 10 and bottom < 10:
        ways.append(f"{sign}\\frac{size}{bottom}")
    if exact_decimal(value) is not None:
        ways += [str(exact_decimal(value))] * 2
    return rng.choice(ways)


def exact_decimal(value: Fraction) -> str | None:
    """A rational number as a decimal of at most six places, if it is one."""
    scaled = value * 10**6
    if scaled.denominator != 1:
        return None
    text = f"{abs(scaled.numerator):07d}"
    decimals = text[-6:].rstrip("0")
    return ("-" if value < 0 else "") + text[:-6] + (f".{decimals}" if decimals else "")


def small(rng: Rng, top: int = 30) -> Fraction:
    """A rational number as answers hold them, seldom 0."""
    return Fraction(rng.randint(-top, top) or 1, rng.choice((1, 1, 1, 2, 3, 4, 5, 6, 8)))


def another(rng: Rng, value: Fraction) -> Fraction:
    """Another rational number: another sign, one off, ten times, or upside down."""
    near = (-value, value + 1, value - 1, value * 10, value + Fraction(1, 2), 1 / value if value else value)
    return rng.choice([other for other in near if other != value])


# ---------------------------------------------------------------- LaTeX and plain text

_LATEX = re.compile(r"[\\{}_^]")
_COMMAND = re.compile(r"\\[a-zA-Z]+|\\.")
_WORD = re.compile(r"[A-Za-z]{2,}")
_FUNCTIONS = {
    "sqrt",
    "sin",
    "cos",
    "tan",
    "ln",
    "log",
    "exp",
    "pi",
    "oo",
    "theta",
    "alpha",
    "beta",
    "lambda",
    "binomial",
}


def loosened(rng: Rng, text: str) -> str:
    """The same LaTeX with other spaces, brackets and signs; plain text is left alone."""
    if "\\text" in text or "\\begin" in text or has_words(text):
        return text
    if rng.random() < 0.3 and "E}" not in text:
        text = re.sub(r"(?<=[\w})])(?<!\d[eE])([-+=<>])(?=[\w\\({])", r" \1 ", text)
    if "\\" not in text and "{" not in text:
        return text
    if rng.random() < 0.15 and re.search(r"[(\[]|\\\{", text) and "{,}" not in text:
        text = re.sub(r",(?! ?\\)", r",\\,", text)
    if rng.random() < 0.15 and "(" in text and text.count("(") == text.count(")") and "\\left" not in text:
        text = text.replace("(", "\\left(").replace(")", "\\right)")
    if rng.random() < 0.1:
        text = rng.choice(("\\displaystyle ", "\\,", "{}")) + text
    if rng.random() < 0.1:
        text = text.replace("\\cdot", rng.choice(("\\times", "\\cdot{}", "*"))).replace("\\pi", "\\pi{}")
    return text


def has_words(text: str) -> bool:
    """Whether plain words stand in a text, outside of commands and names of functions."""
    return any(word not in _FUNCTIONS for word in _WORD.findall(_COMMAND.sub(" ", text)))


def in_text(rng: Rng, text: str) -> str:
    """An answer in a sentence: LaTeX in dollars, plain text as it is, an escaped dollar as a dollar."""
    if _LATEX.search(text.replace("\\$", "").replace("\\%", "")):
        return rng.choice((f"${text}$", f"\\({text}\\)"))
    return text.replace("\\$", "$").replace("\\%", "%")


def in_formula(rng: Rng, text: str) -> str:
    r"""An answer in a formula: words as `\text`, unless a model forgot."""
    if has_words(text) and not _COMMAND.search(text.replace("\\$", "").replace("\\%", "")) and rng.random() < 0.8:
        return f"\\text{{{text}}}"
    return text.replace("%", "\\%").replace("\\\\%", "\\%")
