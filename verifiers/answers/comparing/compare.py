r"""The slow path: is an answer equal to the gold answer, by Math-Verify on SymPy. Runs in a pool's child only.

Math-Verify (Hugging Face, 0.9) is used with its LaTeX parser alone and without its timers, which would turn a timeout
into "different" and need the main thread. What it accepts wrongly is caught around it: what cannot be parsed is
not replaced by a number found inside it; differences below its precision (`1/2004!` and `1/2006!`) are looked at
relatively; an ordered pair is not a set. No text reaches `eval`, `sympify` or `parse_expr`.
"""

from __future__ import annotations

import logging
import re
import resource
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import math_verify
import sympy

from synthflow.verifiers.answers.comparing.latex import parse_latex
from synthflow.verifiers.answers.comparing.lettered import same_code, same_letter
from synthflow.verifiers.answers.comparing.limits import too_many_bars
from synthflow.verifiers.answers.comparing.verdicts import match_any, read_answer
from synthflow.verifiers.answers.reading.prose import read_gold
from synthflow.verifiers.answers.reading.text import to_latex, unwrap_text
from synthflow.verifiers.answers.reading.tokens import Unread

logging.disable(logging.CRITICAL)  # it logs a warning an item; nothing reads it here

_RELATIVE = 1e-5
_NOISE = Fraction(1, 10**12)  # what floating-point arithmetic leaves: 0.30000000000000004
_DECIMAL = re.compile(r"[-+]?\d*\.\d+")
_AROUND = re.compile(r"\\[()\[\]]|\$|^\s?[Aa]nswer:")
_WORDS = re.compile(  # and what it would mend (\frac123) or drop
    r"\\(?:text|mathrm|operatorname)|(?<![\\a-zA-Z{])[a-zA-Z]{4,}|\\frac ?\d|[a-zA-Z]\d|\d'|dots|\.\.\.|[?$#@]"
)
_INEQUALITY = re.compile(r"<|>|\\[lg]e(?![a-zA-Z])")
_NAME = re.compile(r" ?[a-zA-Z] ?")
_FULL = 0.85  # of the address space: beyond it, a MemoryError may have been swallowed by a library


def compare(pair: list[str]) -> dict[str, Any]:
    """`[gold, answer]`, canonical, to `{"equal": bool, "note": str}` or `{"reason": ..., "detail": ...}`."""
    gold_text, answer_text = pair
    plain = _plain(gold_text), _plain(answer_text)
    same = same_letter(*plain) if same_code(*plain) is None else same_code(*plain)
    if same is not None:
        return {"equal": same}
    try:
        golds = read_gold(gold_text)
    except Unread as unread:
        return _by_algebra(gold_text, answer_text, "gold_unparsable", f"not read of the gold answer: {unread}")
    try:
        answer = read_answer(answer_text)
    except Unread as unread:
        return _by_algebra(gold_text, answer_text, "parse_failure", f"not read: {unread}")
    found = match_any(golds, answer)
    if found.verdict == "unsure":
        if found.note.startswith("no value") or not found.note:
            return _by_algebra(
                gold_text, answer_text, "undecided", found.note or "neither equality nor a difference is shown"
            )
        return {"reason": "text_differs", "detail": found.note}
    return {"equal": found.verdict == "equal", "note": found.note}


def _plain(text: str) -> str:
    return " ".join(_AROUND.sub(" ", unwrap_text(text)).split()).strip(" *")


def _by_algebra(gold: str, answer: str, reason: str, told: str) -> dict[str, Any]:
    """What Math-Verify finds equal where no words are to be read; it finds nothing different here.

    What holds too many bars is not given to its parser, whose time grows with the square of their number.
    """
    if not (_WORDS.search(gold) or _WORDS.search(answer) or too_many_bars(gold) or too_many_bars(answer)):
        found = _compare(to_latex(gold), to_latex(answer))
        if found.get("equal"):
            return found
        if "reason" in found:
            return {"reason": found["reason"], "detail": told}
    return {"reason": reason, "detail": told}


def _compare(gold_text: str, answer_text: str) -> dict[str, Any]:
    gold = _parsed(gold_text)
    if gold is None or gold in (sympy.nan, sympy.zoo):
        return {"reason": "gold_unparsable", "detail": gold_text[:200]}
    answer = _parsed(answer_text)
    if answer is None:
        return {"reason": "parse_failure"}
    matched = _ordered_alike(gold_text, answer_text)
    if matched is None:
        return {"equal": False}
    if matched != (gold_text, answer_text):
        gold, answer = _parsed(matched[0]), _parsed(matched[1])
        if gold is None or answer is None:
            return {"reason": "parse_failure"}
    equal = (
        (
            bool(
                math_verify.verify(
                    gold,
                    answer,
                    strict=True,
                    allow_set_relation_comp=_surely_interval(gold_text),
                    timeout_seconds=None,
                    raise_on_error=True,
                )
            )
            or _same_letter(gold, answer)
            or _same_region((gold_text, gold), (answer_text, answer))
        )
        and not _only_tiny(gold, answer)
        and not _more_decimals(gold_text, answer_text)
    )
    if not equal and _memory_was_full():
        raise MemoryError("the memory limit was reached")
    return {"equal": equal}


@lru_cache(maxsize=512)
def _parsed(text: str) -> Any:
    """The SymPy object that LaTeX stands for, or None."""
    if not _balanced(text) or re.search(r"(?<![_\d])\d+ \d|\\overline", text):
        return None
    return parse_latex(text)


def _same_region(gold: tuple[str, Any], answer: tuple[str, Any]) -> bool:
    wanted = _region(*gold)
    return wanted is not None and wanted == _region(*answer)


def _region(text: str, parsed: Any) -> Any:
    """The set of reals that an interval, a union, or inequalities joined by "or" in one letter describe; or None."""
    if isinstance(parsed, sympy.Interval | sympy.Union):
        return sympy.Union(parsed.doit()) if _surely_interval(text) else None
    parts = re.split(r"\\text ?\{ ?or ?\}|(?<![a-zA-Z\\])or(?![a-zA-Z])", text)
    if len(parts) < 2 or not all(_INEQUALITY.search(part) for part in parts):
        return None
    found = [_parsed(part.strip()) for part in parts]
    letters = {letter for part in found for letter in getattr(part, "free_symbols", ())}
    if len(letters) != 1 or not all(isinstance(part, sympy.core.relational.Relational) for part in found):
        return None
    return sympy.Union(*(part.as_set() for part in found))


def _same_letter(gold: Any, answer: Any) -> bool:
    """`x` and `x^2/x`: Math-Verify compares a lone letter by its name only."""
    if not (isinstance(gold, sympy.Expr) and isinstance(answer, sympy.Expr)):
        return False
    if not (gold.is_Symbol or answer.is_Symbol) or gold.free_symbols != answer.free_symbols:
        return False
    return bool(sympy.simplify(gold - answer) == 0)


def _more_decimals(gold: str, answer: str) -> bool:
    """Whether of two decimals the shorter, of fewer than six places, is not the other: 0.3 and 0.30000001."""
    if not (_DECIMAL.fullmatch(gold) and _DECIMAL.fullmatch(answer)):
        return False
    places = min(len(text.partition(".")[2]) for text in (gold, answer))
    left, right = Fraction(gold), Fraction(answer)
    return places < 6 and abs(left - right) > _NOISE * max(abs(left), abs(right))


def _balanced(text: str) -> bool:
    depth = 0
    for char in re.sub(r"\\.", "", text):
        depth += (char == "{") - (char == "}")
        if depth < 0:
            return False
    return depth == 0


def _ordered_alike(gold: str, answer: str) -> tuple[str, str] | None:
    """Both answers, the one written as a tuple where the other is; None where they are of kinds that differ.

    Math-Verify calls `(1,2)` an open interval and lets it equal the set {1, 2}, hence also `2,1`; it lets `x=3,y=4`
    equal `(4,3)`, and `1,1,2` equal `1,2`.
    """
    wanted, given = _kind(gold), _kind(answer)
    if {wanted, given} == {"tuple", "set"}:
        return None
    if {wanted, given} == {"tuple", "list"} and (("=" in gold) != ("=" in answer) or wanted == "tuple"):
        return _as_tuple(gold), _as_tuple(answer)
    if wanted == given == "list" and r"\pm" not in gold + answer and gold.count(",") != answer.count(","):
        return None
    return gold, answer


def _as_tuple(text: str) -> str:
    """`3,4` and `y=4,x=3` as `(3,4)`: assignments in the order of their variables."""
    if _kind(text) == "tuple":
        return text
    parts = [part.partition("=") for part in text.split(",")]
    if all(_NAME.fullmatch(name) for name, _, _ in parts) and len({name for name, _, _ in parts}) == len(parts):
        return "(" + ",".join(value for _, _, value in sorted(parts)) + ")"
    return f"({text})"


def _kind(text: str) -> str:
    """`tuple`, `set` or `list` by the brackets around the top-level commas; `other` without a comma."""
    depth, commas = 0, set()
    for token in re.findall(r"\\[{}]|\\left|\\right|[(){}\[\],]", text):
        if token in ("(", "[", "{", r"\{"):
            depth += 1
        elif token in (")", "]", "}", r"\}"):
            depth -= 1
        elif token == ",":
            commas.add(depth)
    if 0 in commas and not re.fullmatch(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?", text):
        return "list"
    if 1 in commas and text.startswith("(") and text.endswith(")"):
        return "tuple"
    return "set" if text.startswith(r"\{") and text.endswith(r"\}") else "other"


def _surely_interval(text: str) -> bool:
    """Whether an answer is an interval, which an inequality may equal, and not a point such as `(1,2)`."""
    return re.search(r"^\[|\]$|\\infty|\\cup", text) is not None


def _only_tiny(gold: Any, answer: Any) -> bool:
    """Whether two constants pass for equal only because both are small: they differ by more than 1e-5 of themselves."""
    if not (isinstance(gold, sympy.Expr) and isinstance(answer, sympy.Expr)) or gold == answer:
        return False
    if gold.free_symbols or answer.free_symbols or gold.has(sympy.UnevaluatedExpr) or answer.has(sympy.UnevaluatedExpr):
        return False  # 9% equals 9 and 0.09: that is meant
    left, right = gold.evalf(25), answer.evalf(25)
    if not (left.is_number and right.is_number and left.is_finite and right.is_finite):
        return False
    largest = max(abs(left), abs(right))
    if largest == 0 or abs(left - right) <= _RELATIVE * largest:
        return False
    return bool(sympy.simplify(gold - answer) != 0)


def _memory_was_full() -> bool:
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return False
    peak = re.search(r"VmPeak:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return peak is not None and int(peak.group(1)) * 1024 > _FULL * limit
