r"""What stands behind an answer and only says what its letters are: `k \in \mathbb{Z}`, `for any constant c`.

Invariant: a declaration narrows nothing but the kind of a letter; any other condition stays and is read, or is unread.
"""

from __future__ import annotations

import re

from synthflow.verifiers.answers.reading.amounts import written
from synthflow.verifiers.answers.reading.splitting import CLOSING, OPENING
from synthflow.verifiers.answers.reading.tokens import Token

_KINDS = (
    "an?|all|any|some|every|each|arbitrary|real|integers?|whole|constants?|numbers?|positive|non-?negative|values?|of"
    "|the"
)
_KIND = rf"(?:(?:{_KINDS})\b ?)*"
_SET = r"\\mathbb ?\{? ?([ZNRQC]) ?\}?(?: ?[\^_] ?\{? ?[+0*] ?\}?)?|[ZNRQC]"
_DECLARED = re.compile(
    rf"(?:(?:for|where|with|and|if|when)\b ?)?{_KIND}(?P<letter>[a-zA-Z](?:_\{{?\w\}}?)?)(?: ?, ?[a-zA-Z])*"
    rf"(?: ?\\in ?(?P<set>{_SET})| (?:is|are) (?P<kind>{_KIND}))?"
)
_STARTS = frozenset({"for", "where", "with"})


def without_conditions(found: list[Token]) -> tuple[list[Token], list[str]]:
    """Tokens without declarations at their end, and the letters that were declared to be integers."""
    integers: list[str] = []
    for _ in range(3):
        at = _last_start(found)
        if at is None or at == 0:
            break
        skip = at + 1 if found[at].value in (",", ";") else at
        text = " ".join(written(found[skip:]).split())
        match = _DECLARED.fullmatch(text)
        if match is None or not (match["set"] or match["kind"] or re.match(r"(?:for|where|with)\b", text)):
            break
        if (
            (match["set"] or "")[-1:] in ("}", "Z", "N") and re.search("[ZN]", match["set"] or "")
        ) or "integer" in text:
            integers.append(match["letter"])
        found = found[:at]
    return found, integers


def _last_start(found: list[Token]) -> int | None:
    """Where the last condition may start: a comma outside of brackets, or a word such as `for`."""
    depth, last = 0, None
    for at, token in enumerate(found):
        depth += (token.value in OPENING) - (token.value in CLOSING)
        if depth:
            continue
        if (token.value in (",", ";") and token.kind == "op") or (
            token.kind in ("run", "text")
            and token.value.strip().split(" ")[0].lower() in _STARTS
            and (last is None or last != at - 1)
        ):
            last = at
    return last
