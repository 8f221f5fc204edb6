"""Other ways to grade an answer, in their simplest form and our own words, for the audit's table.

Each takes the gold answer and the answer as extracted (`last_answer`), and says right or wrong. The first two are the
habits of the field: equal text after normalisation, as the MATH data set's own grader and Minerva's do it; the third
compares as numbers within 1e-4, as Qwen2.5-Math's and ToRA's graders begin. None of them is anybody's code.
"""

from __future__ import annotations

import re
from collections.abc import Callable

Grader = Callable[[str, str], bool]

_BOX = re.compile(r"\\boxed\s*\{")
_SAID = re.compile(r"answer\s*(?:is|:)\s*(.+)", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:/\d+)?")


def last_answer(completion: str) -> str:
    """What the last box holds, else what follows "answer is", else the last number; these graders' usual extraction."""
    starts = [match.end() for match in _BOX.finditer(completion)]
    if starts:
        depth, at = 1, starts[-1]
        while at < len(completion) and depth:
            depth += {"{": 1, "}": -1}.get(completion[at], 0)
            at += 1
        return completion[starts[-1] : at - 1]
    said = _SAID.findall(completion)
    if said:
        return str(said[-1]).strip().rstrip(".").strip("$* ")
    numbers = _NUMBER.findall(completion)
    return numbers[-1] if numbers else ""


def math_strings(gold: str, answer: str) -> bool:
    """Equal after the MATH data set's normalisation: spaces, `\\left`, `\\dfrac`, units in `\\text`, `0.5`, `x=`."""
    return _math_string(gold) == _math_string(answer)


def _math_string(text: str) -> str:
    text = text.replace("\n", "").replace("\\!", "").replace("\\\\", "\\")
    text = text.replace("tfrac", "frac").replace("dfrac", "frac").replace("\\left", "").replace("\\right", "")
    text = text.replace("^{\\circ}", "").replace("^\\circ", "").replace("\\$", "")
    if "\\text{ " in text:
        text = text.split("\\text{ ")[0]
    text = text.replace("\\%", "").replace("%", "").replace(" .", " 0.").replace("{.", "{0.")
    text = "0" + text if text.startswith(".") else text
    if text.count("=") == 1 and len(text.split("=")[0]) <= 2:
        text = text.split("=")[1]
    text = re.sub(r"\\sqrt(\w)", r"\\sqrt{\1}", text).replace(" ", "")
    text = re.sub(r"\\frac(\d)(\d)", r"\\frac{\1}{\2}", text)
    text = "\\frac{1}{2}" if text == "0.5" else text
    return re.sub(r"^(-?\d+)/(\d+)$", r"\\frac{\1}{\2}", text)


def minerva_strings(gold: str, answer: str) -> bool:
    """Equal after Minerva's normalisation: right of the last `=`, words of units and articles dropped, commas out."""
    return _minerva(gold) == _minerva(answer)


def _minerva(text: str) -> str:
    text = text.split("=")[-1]
    for word in ("square", "ways", "integers", "dollars", "mph", "inches", "hours", "km", "units", "points", "feet"):
        text = text.replace(word, "")
    for word in (
        "\\text{s}",
        "\\text{.}",
        "\\text{\ns}",
        "\\le",
        "\\$",
        "^\\circ",
        "degrees",
        "cm",
        "an ",
        "a ",
        "\\%",
    ):
        text = text.replace(word, "")
    text = re.sub(r"\\(?:text|textbf|mathrm)\{(.*?)\}", r"\1", text)
    text = re.sub(r"(frac)([^{])(.)", r"frac{\2}{\3}", text)
    text = re.sub(r"(sqrt)([^{])", r"sqrt{\2}", text).replace("$", "").replace(" ", "")
    return text.replace(",", "") if text.replace(",", "").isdigit() else text


def numbers_within_1e_4(gold: str, answer: str) -> bool:
    """Equal text, or numbers within a relative 1e-4, as they are or a hundredfold, for percentages."""
    if gold.strip().lower() == answer.strip().lower():
        return True
    a, b = _number(gold), _number(answer)
    if a is None or b is None:
        return False
    return any(abs(value - b) <= 1e-4 * abs(value) for value in (a, a / 100, a * 100))


def _number(text: str) -> float | None:
    text = text.replace(",", "").replace("\\%", "").replace("%", "").replace("\\$", "").strip("$ ")
    fraction = re.fullmatch(r"(-?)(?:\\[dt]?frac\{(-?\d+)\}\{(-?\d+)\}|(-?\d+)/(\d+))", text)
    try:
        if fraction:
            sign, *parts = fraction.groups()
            top, bottom = (float(part) for part in parts if part is not None)
            return (-1 if sign else 1) * top / bottom
        return float(text)
    except (ValueError, ZeroDivisionError):
        return None


GRADERS: dict[str, Grader] = {
    "normalised text, as in MATH": math_strings,
    "normalised text, as in Minerva": minerva_strings,
    "numbers within 1e-4, else text": numbers_within_1e_4,
}
