"""LaTeX to SymPy by Math-Verify's parser (latex2sympy2_extended), without its habits that change what was written.

Invariant: no text reaches `eval`, `sympify` or `parse_expr`, not even digits; letters keep their case; units are left
alone; `i` is the imaginary unit. Imports SymPy: for a pool's child only.
"""

from __future__ import annotations

import re
from typing import Any

import sympy
from latex2sympy2_extended import NormalizationConfig
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, _Latex2Sympy, comma_number_regex, normalize_latex
from math_verify.grader import should_treat_as_complex
from math_verify.parser import get_last_eq

# Units are ours to drop (`words`): Math-Verify's list drops the c of `2c`. Case is kept: R is not r.
_NORMALIZATION = NormalizationConfig(
    basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none", equations=False
)
_CONVERSION = ConversionConfig(lowercase_symbols=False)
_DIGITS = re.compile(r"[0-9]+")
_FLOAT = re.compile(r"[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]{1,3})?|[0-9]+\.")


class _Reader(_Latex2Sympy):  # type: ignore[misc]
    """The parser; its numbers went through `sympify`, hence through `eval`."""

    def parse_number(self, text: str) -> Any:
        plain = text.replace(",", "").replace(" ", "")
        if _DIGITS.fullmatch(plain):
            return sympy.Integer(int(plain))
        if _FLOAT.fullmatch(plain):
            return sympy.Float(plain)
        raise ValueError("not a number")

    def parse(self, latex_str: str) -> Any:
        if comma_number_regex.match(latex_str):  # 1,234 is a number, not a set
            sign, digits = latex_str.strip().startswith("-"), latex_str.strip().lstrip("-")
            number = self.parse_number(digits)
            return -number if sign else number
        return super().parse(latex_str)


def parse_latex(text: str) -> Any:
    """The SymPy object that LaTeX stands for (of a chain of equations that cannot be read, the last side); or None."""
    normalized = normalize_latex(text, _NORMALIZATION)
    for candidate in dict.fromkeys((normalized, get_last_eq(normalized))):
        complex_valued = should_treat_as_complex(candidate)
        try:
            found = _Reader(None, not complex_valued, False, config=_CONVERSION).parse(candidate)
        except MemoryError:
            raise
        except Exception:
            continue  # the parser raises what it likes on text that it cannot read
        return _with_imaginary_unit(found) if complex_valued else found
    return None


def _with_imaginary_unit(found: Any) -> Any:
    """`i` is a mere letter to the parser, so that `i^2` was not -1."""
    letter = sympy.Symbol("i", real=False)
    if isinstance(found, sympy.Basic | sympy.MatrixBase) and letter in getattr(found, "free_symbols", ()):
        return found.subs(letter, sympy.I)
    return found
