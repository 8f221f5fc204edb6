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
from functools import lru_cache
from pathlib import Path
from typing import Any

import math_verify
import sympy
from latex2sympy2_extended import NormalizationConfig
from math_verify.parser import LatexExtractionConfig

logging.disable(logging.CRITICAL)  # it logs a warning an item; nothing reads it here

_CONFIG = [
    LatexExtractionConfig(
        boxed_match_priority=0,
        normalization_config=NormalizationConfig(
            basic_latex=True, units=True, malformed_operators=True, nits=True, boxed="last", equations=False
        ),
    )
]
_RELATIVE = 1e-5
_NAME = re.compile(r" ?[a-zA-Z] ?")
_FULL = 0.85  # of the address space: beyond it, a MemoryError may have been swallowed by a library


def compare(pair: list[str]) -> dict[str, Any]:
    """`[gold, answer]` in LaTeX to `{"equal": bool}` or `{"reason": ..., "detail": ...}`."""
    gold_text, answer_text = pair
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
    equal = bool(
        math_verify.verify(
            gold,
            answer,
            strict=True,
            allow_set_relation_comp=_surely_interval(gold_text),
            timeout_seconds=None,
            raise_on_error=True,
        )
    ) and not _only_tiny(gold, answer)
    if not equal and _memory_was_full():
        raise MemoryError("the memory limit was reached")
    return {"equal": equal}


@lru_cache(maxsize=512)
def _parsed(text: str) -> Any:
    """The SymPy object that LaTeX stands for, or None."""
    if not _balanced(text) or re.search(r"(?<![_\d])\d+ \d", text):
        return None
    found = math_verify.parse(
        f"\\boxed{{{text}}}",
        extraction_config=_CONFIG,
        fallback_mode="no_fallback",
        parsing_timeout=None,
        raise_on_error=True,
    )
    if not found or isinstance(found[0], str):
        return None
    return found[0]


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
