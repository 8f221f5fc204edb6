r"""A completion that is an answer: one short line without prose, bare, bold, in a code span or a formula.

Invariants: what is read whole is all that was said; without a gold answer that says the same, it begins with
mathematics and holds no more words than a unit and a counted thing need (`12 square meters`), or is a few words where
the gold answer is words.
"""

from __future__ import annotations

import re

from synthflow.verifiers.answers.finding.segments import without_delimiters
from synthflow.verifiers.answers.finding.values import result_of
from synthflow.verifiers.answers.finding.vocabulary import SENTENCE
from synthflow.verifiers.answers.finding.wording import is_wording
from synthflow.verifiers.answers.reading.numerals import spelled
from synthflow.verifiers.answers.reading.text import canonical

_LONGEST = 300
_MOST_UNITS = 3
_MOST_WORDS = 5
_WORD = re.compile(r"[^\W\d_]{2,}(?:['’]\w+)?")
_COMMAND = re.compile(r"\\[a-zA-Z]+")
_MATH_FIRST = re.compile(
    r"[-+−(\[{|~≈$€£¥₹√±]*\s?(?:\d|\.\d|\\|[^\W\d_](?![^\W\d_]|\s+[^\W\d_]{2,})|[√π∞∅½⅓¼¾ℝ]|(?:sqrt|sin|cos|tan|log|ln|exp|pi|oo|binomial|factorial|Theta|alpha|beta|gamma"
    r"|delta|lambda|theta|mu|sigma|omega|phi)(?![a-z])|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\s\d|[A-Z]{2,4}\s?=)",
    re.IGNORECASE,
)
_LABEL = re.compile(r"[^\W\d_]{2,}\s?[:：]|\bA(?:ns)?[:.]\s")
_FENCE = re.compile(r"```\w*\s*\n(.*?)\n?\s*```", re.DOTALL)
_AROUND = (
    ("\\[", "\\]"), ("\\(", "\\)"), ("$$", "$$"), ("$", "$"),
    ("***", "***"), ("**", "**"), ("__", "__"), ("`", "`"), ("*", "*"),
)  # fmt: skip
_NOTHING = re.compile(r"[^\w∞∅√½⅓¼¾ℝπ]*|[?_.…\s]*")


def bare_answer(text: str, gold: str | None = None) -> str | None:
    """The answer that a text is; None for one that says more, or nothing."""
    line = text.strip()
    if len(line) > _LONGEST and (gold is None or len(line) > 2 * len(gold) + 20):
        return None
    if (fenced := _FENCE.fullmatch(line)) is not None:
        line = fenced.group(1).strip()
    line = unwrapped(line)
    if _NOTHING.fullmatch(line):
        return None
    if gold is not None and canonical(line) == canonical(unwrapped(gold)):
        return line
    if len(line) > _LONGEST or ("\n" in line and not line.startswith("\\begin")):
        return None
    if (
        line.startswith(("- ", "* ", "+ "))
        or line.endswith(("?", ":", "="))
        or _LABEL.search(line)
        or "</" in line
        or "####" in line
    ):
        return None
    if gold is not None and not is_wording(gold) and spelled(line) is not None:
        return line
    words = [word.lower() for word in _WORD.findall(_COMMAND.sub(" ", line))]
    if any(word in SENTENCE for word in words):
        return None
    line = without_delimiters(line)
    if _MATH_FIRST.match(line):
        return result_of(line, gold) if sum(len(word) > 3 for word in words) <= _MOST_UNITS else None
    return line if gold is not None and is_wording(gold) and len(words) <= _MOST_WORDS else None


def unwrapped(line: str) -> str:
    """Without what sets it off: delimiters of a formula, stars, back ticks, a point at the end."""
    for _ in range(4):
        before = line
        if line.endswith(".") and not line.endswith(".."):
            line = line[:-1].rstrip()
        for opening, closing in _AROUND:
            inner = line[len(opening) : len(line) - len(closing)]
            around = line.startswith(opening) and line.endswith(closing) and len(line) > len(opening) + len(closing)
            if around and opening not in inner and closing not in inner and not inner.endswith("\\"):
                line = inner.strip()
        if line == before:
            break
    return line
