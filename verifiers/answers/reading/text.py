r"""Answers as text: one canonical spelling, so that what only looks different compares equal.

`canonical` never changes the value: it unifies Unicode and LaTeX spellings, spaces and delimiters, and is idempotent.
`to_latex` writes the plain-text forms that models use (`sqrt(2)`, `2pi`, `**`, `5 million`, `1 1/2`) in LaTeX, which is
what the parser reads. Nothing here evaluates anything.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from synthflow.verifiers.answers.reading.decoration import undecorated

_UNICODE = str.maketrans(
    {
        "\u2212": "-", "\u2013": "-", "\u2014": "-", "\u00d7": r"\times ", "\u22c5": r"\cdot ", "\u00b7": r"\cdot ",
        "\u00f7": "/", "\u2044": "/", "\u221e": r"\infty ", "\u03c0": r"\pi ", "\u2264": r"\le ", "\u2265": r"\ge ",
        "\u2260": r"\ne ", "\u222a": r"\cup ", "\u2229": r"\cap ", "\u00b0": r"^{\circ}", "\u00b1": r"\pm ",
        "\u2205": r"\emptyset ", "\u211d": r"\mathbb{R}", "\u2208": r"\in ",
        "\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u201c": '"', "\u201d": '"', "\u2019": "'", "\uff0c": ",",
        "\u00bd": r"\frac{1}{2}", "\u00bc": r"\frac{1}{4}", "\u00be": r"\frac{3}{4}", "\u03b8": r"\theta ",
        "\u2153": r"\frac{1}{3}", "\u2154": r"\frac{2}{3}", "\u215b": r"\frac{1}{8}", "\u2155": r"\frac{1}{5}",
        "\u27e8": r"\langle ", "\u27e9": r"\rangle ", "\u230a": r"\lfloor ", "\u230b": r"\rfloor ",
        "\u2308": r"\lceil ", "\u2309": r"\rceil ", "\u2032": "'", "\u2192": r"\to ", "\u21a6": r"\mapsto ",
        "\u2248": r"\approx ", "\u2261": r"\equiv ", "\u2124": r"\mathbb{Z}", "\u2115": r"\mathbb{N}",
        "\u2220": r"\angle ", "\u2026": r"\ldots ", "\u2236": ":", "\u2012": "-", "\u2010": "-", "\u2011": "-",
        "\u00b5": "\u03bc",        "\u2126": "\u03a9",
    }
)  # fmt: skip
_UNICODE |= (
    {
        ord(unicodedata.lookup(f"GREEK SMALL LETTER {name.upper()}")): rf"\{name} "
        for name in [
            "alpha",
            "beta",
            "gamma",
            "delta",
            "epsilon",
            "zeta",
            "eta",
            "kappa",
            "nu",
            "xi",
            "rho",
            "sigma",
            "tau",
            "phi",
            "chi",
            "psi",
            "omega",
        ]
    }
    | {0x3BB: r"\lambda "}
    | {
        ord(unicodedata.lookup(f"GREEK CAPITAL LETTER {name.upper()}")): rf"\{name} "
        for name in ["Gamma", "Delta", "Theta", "Xi", "Sigma", "Phi", "Psi"]
    }
)
_MARKS = " \n\t\u2713\u2714\u2705\u2611\ufe0f\u2728\U0001f389\U0001f44d\U0001f3af"  # ticks and the like at the ends
_SCRIPTS = str.maketrans("\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b\u207a\u207f"
                         "\u2080\u2081\u2082\u2083\u2084\u2085\u2086\u2087\u2088\u2089\u2099",
                         "0123456789-+n0123456789n")  # fmt: skip
_RAISED = re.compile("[\u2070\u00b9\u00b2\u00b3\u2074-\u2079\u207b\u207a\u207f]+")
_LOWERED = re.compile("[\u2080-\u2089\u2099]+")
_DROPPED = re.compile(r"\\(?:left|right|bigl|bigr|Bigl|Bigr|big|Big|displaystyle|textstyle|limits)(?![a-zA-Z])\.?")
_SPACES = re.compile(r"(?<!\\)\\[,;:! ]|\\q?quad(?![a-zA-Z])|~|\s+")
_FRAC = re.compile(r"\\[dtc](frac|binom)(?![a-zA-Z])")
_SHORT_FRAC = re.compile(r"\\frac\s*(\d)\s*(\d)(?!\d)")
_TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname|rm)\s*\{([^{}]*)\}")
_NAMED = {
    r"\leq": r"\le",
    r"\geq": r"\ge",
    r"\leqslant": r"\le",
    r"\geqslant": r"\ge",
    r"\lt": "<",
    r"\gt": ">",
    r"\colon": ":",
    r"\dots": r"\ldots",
    r"\lvert": "|",
    r"\rvert": "|",
    r"\vert": "|",
    r"\ast": "*",
    r"\neq": r"\ne",
    r"\lbrace": r"\{",
    r"\rbrace": r"\}",
    r"\varnothing": r"\emptyset",
}
_NAMES = re.compile("|".join(re.escape(k) + "(?![a-zA-Z])" for k in _NAMED))
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:\{,\}\d{3})+(?!\d)")

_LATEX_COMMA = re.compile(r"(\d)\\!,\\!(?=\d{3})|(\d),\\!(?=\d{3})")
_AROUND = re.compile(r" ?([{}()\[\]=<>^_+*/|]) ?")
_COMMA = re.compile(r" ?,(?! \d{3}(?!\d)) ?")  # "1, 234" is a list, "1,234" a number
# What none of the rules below touches: no spaces, no command but these, no comma or point at the end.
_SETTLED = re.compile(  # possessive: no way back, hence linear
    r"(?:[A-Za-z0-9+\-*/^_=()\[\]{}<>|!'&%]++|[.,:;](?=[A-Za-z0-9(\[\\+\-])"
    r"|\\(?:frac\{|sqrt[\[{]|[{}%]|(?:pi|infty|cup|cap|le|ge|ne|in|cdot|times|pm|sin|cos|tan|ln|log|theta|binom)"
    r"(?![A-Za-z])))++"
)

_EUROPEAN = re.compile(r"[-+]?\d{1,3}(?:\.\d{3})+,\d{1,2}")  # nothing else is written 1.234,56
_GROUPED = re.compile(r"[-+]?\d{1,3}(?: \d{3})+(?:\.\d+)?")

_MAGNITUDES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_MAGNITUDE = re.compile(
    rf"(\d)\s*(?:\\text\{{\s*)?({'|'.join(_MAGNITUDES)})s?(?![a-zA-Z])\s*([^{{}}]*\}})?", re.IGNORECASE
)
_SQRT = re.compile(r"(?<![\\a-zA-Z])sqrt\s*\(([^()]*)\)")
_ROOT_SIGN = re.compile(r"\u221a\s*(?:\(([^()]*)\)|(\d+|[a-z]))")
_PLAIN_NAME = re.compile(r"(?<![\\a-zA-Z])(pi|infinity|sin|cos|tan|log|ln|exp)(?![a-zA-Z])")
_MIXED = re.compile(r"(?<![\d.,/^{])(\d{1,6})\s+(\d{1,6})\s*/\s*(\d{1,6})(?![\d/])")
_UPRIGHT = re.compile(r"\\mathrm\s*(?:\{([eid])\}|([eid])(?![a-zA-Z]))")
_DEGREES = re.compile(
    r"\\(sin|cos|tan|cot|sec|csc)\s*(?:\(\s*(\d+(?:\.\d+)?)\^\{?\\circ\}?\s*\)|(\d+(?:\.\d+)?)\^\{?\\circ(?![a-zA-Z])\}?)"
)
_BUILDER = re.compile(
    r"\\\{ ?([a-zA-Z])(?:\\in ?\\mathbb\{R\})? ?(?:\\mid|\||:) ?"
    r"((?=.*(?<![a-zA-Z\\])\1(?![a-zA-Z]))[^|:{}]*(?:<|>|\\[lg]e)[^|:{}]*)\\\}"
)
_RECURRING = re.compile(r"(\d*)\.(\d{0,10})\\(?:overline|bar)\s*\{?(\d{1,10})\}?")


def clean(text: str) -> str:
    """Without control characters and lone surrogates, which no table can hold."""
    if text.isascii() and text.isprintable():
        return text
    kept = "".join(c if c.isprintable() or c in "\n\t" else " " for c in text)
    return unicodedata.normalize("NFC", kept)


def canonical(answer: str) -> str:
    """One spelling of an answer: same value, same text more often than not."""
    if _SETTLED.fullmatch(answer) and not ("," in answer and _EUROPEAN.fullmatch(answer)):
        return answer
    return _settled(answer) if len(answer) < 1000 else _settle(answer)


@lru_cache(maxsize=8192)
def _settled(answer: str) -> str:
    return _settle(answer)


def _settle(answer: str) -> str:
    text, previous = clean(answer), None
    if not text.isascii():
        text = text.strip(_MARKS)
        text = _RAISED.sub(lambda m: "^{" + m.group().translate(_SCRIPTS) + "}", text)
        text = _LOWERED.sub(lambda m: "_{" + m.group().translate(_SCRIPTS) + "}", text)
        text = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text).translate(_UNICODE)
    if "," in text and _EUROPEAN.fullmatch(text.strip()):  # before ", " and "," become one
        text = text.replace(".", "").replace(",", ".")
    for _ in range(8):  # what one rule leaves, another may take up
        if text == previous:
            break
        previous, text = text, _tidied(text)
    return text


def _tidied(text: str) -> str:
    if "\\" in text:
        text = _DROPPED.sub("", text)
        text = undecorated(text)
        text = _NAMES.sub(lambda m: _NAMED[m.group()], text)
        text = _LATEX_COMMA.sub(lambda m: (m.group(1) or m.group(2)) + ",", text)
        text = _FRAC.sub(r"\\\1", text)
        text = _SHORT_FRAC.sub(r"\\frac{\1}{\2}", text)
    if "{:}" in text:
        text = text.replace("{:}", ":")
    if "{,}" in text:
        text = _THOUSANDS.sub(lambda m: m.group().replace("{,}", ""), text)
    text = _SPACES.sub(" ", text).strip()
    if " " in text:
        text = _AROUND.sub(r"\1", text)
        text = _COMMA.sub(",", text)
        if _GROUPED.fullmatch(text):
            text = text.replace(" ", "")
    if text.endswith("..."):
        text = text[:-3].rstrip() + r"\ldots"
    while text and text[-1] in ".,;:" and not text.endswith(r"\:"):
        text = text[:-1].rstrip()
    return text


def words(answer: str) -> str:
    r"""Text answers: `\text{…}` unwrapped, case and spaces folded, quotes and a final point dropped."""
    text = _TEXT.sub(r"\1", clean(answer))
    text = _SPACES.sub(" ", text).replace("$", " ")
    return " ".join(text.casefold().split()).replace(", ", ",").strip(" .,;:\"'`*_")


def unwrap_text(answer: str) -> str:
    """Without the commands that only set text upright."""
    return _TEXT.sub(r" \1 ", answer)


def to_latex(answer: str) -> str:
    """The canonical answer in LaTeX that the parser reads without guessing."""
    text = answer.replace("**", "^")
    if builder := _BUILDER.fullmatch(text):
        text = builder.group(2)  # {x | x > 3} is the condition x > 3
    text = _ROOT_SIGN.sub(lambda m: rf"\sqrt{{{m.group(1) or m.group(2)}}}", text)
    text = _SQRT.sub(r"\\sqrt{\1}", text)
    text = _PLAIN_NAME.sub(lambda m: "\\" + ("infty" if m.group(1) == "infinity" else m.group(1)) + " ", text)
    text = _MAGNITUDE.sub(_magnitude, text)
    text = _MIXED.sub(r"(\1+\\frac{\2}{\3})", text)
    text = _RECURRING.sub(_recurring, text)
    text = _DEGREES.sub(lambda m: rf"\{m.group(1)}(\frac{{{m.group(2) or m.group(3)}\pi}}{{180}})", text)
    text = _UPRIGHT.sub(lambda m: m.group(1) or m.group(2), text)
    text = re.sub(r"(?<=\d)i(?![a-zA-Z])", " i", text)  # "2i" is otherwise another symbol than "2 \cdot i"
    return re.sub(r"(\d), (\d{3})(?!\d)", r"\1,0\2", text)  # or the parser would see thousands


def _magnitude(match: re.Match[str]) -> str:
    digit, name, rest = match.groups()
    return rf"{digit}\cdot 10^{{{_MAGNITUDES[name.lower()]}}}" + (rf"\text{{{rest}" if rest and rest != "}" else "")


def _recurring(match: re.Match[str]) -> str:
    whole, head, cycle = match.groups()
    nines, zeros = "9" * len(cycle), "0" * len(head)
    top = int((whole or "0") + head + cycle) - int((whole or "0") + head)
    return rf"\frac{{{top}}}{{{nines}{zeros}}}"
