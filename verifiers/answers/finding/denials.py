r"""Words that deny a value, in the languages in which an answer may be announced.

Invariant: a value that its sentence denies is no answer, in any of these languages: "La réponse n'est pas 12",
"答案不是12", "Cevap 12 değil". Work is bounded: some dozen characters on either side of a value.
"""

from __future__ import annotations

import re

_WITHIN = 60
_DENIES = (
    r"(?<!\w)(?:no|tampoco|nunca|n['’](?=\w)|ne|pas|nicht|kein\w*|niemals|niet|ikke|inte|non|n[ãa]o|не|нельзя|nie|không|chẳng|chưa)(?!\w)"
    r"|(?<!\w)n['’]est|不|并非|並非|(?<!\w)(?:ليست|ليس|لا|لن)(?!\w)"
)
_DENIES_BEHIND = r"değil|ではな|ではあり|じゃな|じゃあり|でない|でもない|아니|아닌|아닙|नहीं"
_NOUN_DENIED = re.compile(rf"[^\d$\\.。\n]{{0,40}}?(?:{_DENIES})[^\d$\\.。\n]{{0,40}}[\d$\\]", re.IGNORECASE)
_NOUN_DENIED_BEHIND = re.compile(rf"(?:[^.。!?！？।\n]|\.(?=\d)){{1,{_WITHIN}}}?(?:{_DENIES_BEHIND})")
_VALUE_DENIED = re.compile(
    r"(?:(?:(?<!\w)(?:not|never|cannot|neither|hardly|scarcely|barely|no\s+longer|far\s+from)|n['’]t)(?:\s+(?:be|equals?|to|exactly|really|simply|just|yet|actually|always|necessarily|going)){0,4}"
    r"|(?<!\w)(?:no\s+(?:es|son|vale|era)|n['’]est\s+pas|ne\s+\w+\s+pas|nicht(?:\s+\w+)?|niet(?:\s+\w+)?|ikke|inte|non\s+(?:è|sono|vale|fa)|n[ãa]o\s+(?:é|são|vale)"
    r"|не(?:\s+\w+)?|nie(?:\s+\w+)?|không(?:\s+phải)?(?:\s+là|\s+bằng)?|ليست|ليس|لا\s+\w+|anything\s+but|(?:nobody|no\s+one|none)\s+\w+|(?:exclud|reject|discard|eliminat|ignor)(?:e|es|ed|s|ing)?|rul(?:e|es|ed|ing)\s+out)"
    r"|不是|不等[于於]|不[为為]|并非|並非)[\s*_`$(]*(?:an?\s|the\s)?[\s*_`$(]*$",
    re.IGNORECASE,
)
_REFUTED = re.compile(
    r"[\s*_`$)]*\s(?:(?:is|are|was|were|does|do|did|can|could|will|would)(?:n['’]t|\s+(?:not|never))|cannot|fails?\b|won['’]t"
    r"|(?:is|are|was|were)\s+(?:thus\s+|therefore\s+|clearly\s+|also\s+)?(?:excluded|impossible|ruled\s+out|rejected|wrong|incorrect|too\s+(?:small|large|many|few|big|high|low)))\b",
    re.IGNORECASE,
)
_VALUE_DENIED_BEHIND = re.compile(rf"[\s*_`$]*[^\W\d_]{{0,2}}\s?(?:{_DENIES_BEHIND})")


def noun_denied(text: str, end: int) -> bool:
    """Whether a sentence goes on, behind a noun for the answer, to say what the answer is not."""
    return _NOUN_DENIED.match(text, end) is not None or _NOUN_DENIED_BEHIND.match(text, end) is not None


def value_denied(sentence: str, start: int, end: int) -> bool:
    """Whether the words beside a value deny it."""
    if _VALUE_DENIED.search(sentence, max(0, start - _WITHIN), start) is not None:
        return True
    if _REFUTED.match(sentence, end) is not None:
        return True
    return not sentence.isascii() and _VALUE_DENIED_BEHIND.match(sentence, end) is not None
