"""Names that mathematics gives: functions, constants, Greek letters, and the short words that are no products."""

from __future__ import annotations

from typing import Any

Tree = tuple[Any, ...]

GREEK_LETTERS = """
    alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi
    psi omega"""
GREEK = {name: name for name in GREEK_LETTERS.split()}
GREEK |= {name.capitalize(): name.capitalize() for name in GREEK}
GREEK |= {"varepsilon": "epsilon", "varphi": "phi", "vartheta": "theta", "varrho": "rho", "varsigma": "sigma",
    "ell": "ell",
          "hbar": "hbar", "Pi": "Pi", "nabla": "nabla"}  # fmt: skip

FUNCTIONS = frozenset(
    [
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "sinh",
        "cosh",
        "tanh",
        "coth",
        "sech",
        "csch",
        "arcsin",
        "arccos",
        "arctan",
        "arccot",
        "arcsec",
        "arccsc",
        "asin",
        "acos",
        "atan",
        "arcsinh",
        "arccosh",
        "arctanh",
        "asinh",
        "acosh",
        "atanh",
        "exp",
        "ln",
        "log",
        "lg",
        "cis",
        "tg",
        "ctg",
        "arctg",
        "sgn",
        "sign",
    ]
)
INVERSES = {name: "arc" + name for name in ("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh")}
SAME_FUNCTION = {
    "asin": "arcsin", "acos": "arccos", "atan": "arctan", "asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh",
    "tg": "tan", "ctg": "cot", "arctg": "arctan", "sgn": "sign",
}  # fmt: skip

CALLS = {
    "sqrt": "sqrt", "cbrt": "cbrt", "binomial": "binom", "binom": "binom", "comb": "binom", "nCr": "binom",
    "perm": "permutations", "nPr": "permutations", "factorial": "fact",
    "floor": "floor", "ceil": "ceil", "ceiling": "ceil", "abs": "abs", "Abs": "abs", "gcd": "gcd", "lcm": "lcm",
    "min": "min", "max": "max", "Gamma": "gamma", "gamma": "gamma", "zeta": "zeta", "log": "log", "mod": "mod",
    "theta": "#Theta", "Theta": "#Theta", "O": "#O", "Omega": "#Omega", "omega": "#omega", "o": "#o", "phi": "totient",
    "Re": "re", "Im": "im", "conjugate": "conjugate", "erf": "erf",
}  # fmt: skip
"""Names that take arguments in parentheses; those with a `#` are opaque."""

CONSTANTS: dict[str, Tree] = {
    "pi": ("pi",), "oo": ("inf",), "inf": ("inf",), "infinity": ("inf",), "Infinity": ("inf",), "infty": ("inf",),
    "Pi": ("pi",), "PI": ("pi",),
}  # fmt: skip

_SHORT = """
    and or not if is of to the for in at on by as so no yes an be it he we do all any none odd even per with true
    det lim mod inf max min gcd lcm cm mm km kg mg ml ft yd mi lb oz hr am pm st nd rd th hz nm kj kw mph ev mev gev usd
    eur min sec day hrs lbs ms mol rad deg amp one two six ten red dne cat dog act"""
NOT_PRODUCTS = frozenset(_SHORT.split())
"""Runs of two or three letters that are words, functions or units."""

LETTERS_BESIDE_SIGNS = frozenset(
    ["at", "in", "is", "as", "by", "an", "on", "am", "be", "do", "he", "it", "we", "st", "nd", "an", "ab"]
)
"""Short words that are products where they touch a sign: `e^{-at}`."""
