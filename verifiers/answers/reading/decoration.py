r"""What LaTeX says only of looks: sizes, colours, fonts, boxes, spaces, unit packages. The value stays.

Invariant: linear; a command with an argument gives its argument, balanced braces and all, or stays as it is.
"""

from __future__ import annotations

import re

_SIZES = """tiny scriptsize footnotesize small normalsize large Large LARGE huge Huge displaystyle textstyle scriptstyle
    limits nolimits bfseries itshape mathstrut centering nonumber notag middle bf it sf tt rm mathop mathrel mathbin
    ensuremath hfill strut noindent"""
_SIZE = re.compile(rf"\\(?:{'|'.join(_SIZES.split())})(?![a-zA-Z])(?!\s*\{{[a-zA-Z]+\}})")
_WITH_OPTION = re.compile(r"\\(?:color|hspace|vspace|label|tag|hphantom|phantom|vphantom)\*?\s*\{[^{}]*\}")
_UNWRAPPED = re.compile(
    r"\\(?:boxed|fbox|framebox|textcolor\s*\{[^{}]*\}|colorbox\s*\{[^{}]*\}|mathop|mathstrut|ensuremath|underline|bm|boldsymbol|pmb"
    r"|num|mathbin|mathrel|emph|cancelto\s*\{\})\s*\{"
)
_TO_TEXT = re.compile(
    r"\\(?:textnormal|textup|textmd|textsl|textsc|texttt|textsf|mathsf|mathtt|mathnormal|si|unit|hbox|bold)\s*\{"
)
_QUANTITY = re.compile(r"\\(?:SI|qty)\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_ESCAPED = re.compile(r"\\\\[a-zA-Z]{2}")  # as JSON writes it
_BLACKBOARD = re.compile(r"\\mathbb\s{1,3}([A-Z])(?![a-zA-Z])")
_BRACED_SIGN = re.compile(r"(?<![\^_a-zA-Z\]}])\{([:=<>*])\}")
_EXPONENT = re.compile(
    r"(?<=\d)\s{0,3}\\(?:mathrm|text|textrm|rm)\s{0,3}\{\s{0,3}[eE]\s{0,3}\}\s{0,3}\{?([-+]?)\s{0,3}(\d{1,3})\}?"
)
_UPRIGHT_NUMBER = re.compile(
    r"(?<![\w.}])\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox|rm)\s?\{\s?(-?\d[\d,. ]{0,300})\}"
)
_UPRIGHT = re.compile(r"\\(?:mathrm|text|textrm)\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_INNER = re.compile(r"\\(?:text|mathrm|textrm)\s*\{([^{}]*)\}")
_DOLLAR = re.compile(r"(?<!\\)\$")
_NAME = re.compile(r"(?<![\\a-zA-Z])[A-Za-zµΩ]+")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)


def undecorated(text: str) -> str:
    r"""A text without commands for looks; `\SI{12}{cm}` and `1.5\mathrm{E}4` as they are read."""
    if _ESCAPED.search(text) and "begin" not in text:
        text = text.replace("\\\\", "\\")
    text = _UPRIGHT_NUMBER.sub(r"\1", _EXPONENT.sub(r"e\1\2", text))
    if "SI" in text or "qty" in text:
        text = _QUANTITY.sub(r"\1 \\text{\2}", text)
    text = _BLACKBOARD.sub(r"\\mathbb{\1}", text)
    text = _TO_TEXT.sub(r"\\text{", text)
    text = _WITH_OPTION.sub("", text)
    for _ in range(6):
        match = _UNWRAPPED.search(text)
        end = _closing(text, match.end()) if match else None
        if match is None or end is None:
            break
        text = text[: match.start()] + _apart(text, match.start()) + text[match.end() : end] + text[end + 1 :]
    text = _SIZE.sub(" ", _BRACED_SIGN.sub(r"\1", text))
    return _UPRIGHT.sub(_single_words, text) if "{" in text else text


def _apart(text: str, at: int) -> str:
    """A space where the command kept a letter before it from what it wraps."""
    return " " if at and text[at - 1].isalpha() else ""


def _single_words(match: re.Match[str]) -> str:
    r"""`\mathrm{m\cdot s^{-2}}` as upright words with operators between them."""
    content = match.group(1)
    if "{" not in content and "\\" not in content and "^" not in content:
        return match.group()
    if _DOLLAR.search(content):
        return " " + _DOLLAR.sub(" ", content) + " "
    content = _INNER.sub(r"\1 ", content)
    return _NAME.sub(lambda name: rf"\text{{{name.group()}}}", content.replace("~", " "))


def _closing(text: str, start: int) -> int | None:
    depth = 1
    for match in _BRACE.finditer(text, start):
        depth += (match.group() == "{") - (match.group() == "}")
        if depth == 0:
            return match.start()
    return None
