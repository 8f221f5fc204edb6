r"""The two commonest ends of a response, `$\boxed{12}$.` and "The answer is $12$.", found in a few steps.

Invariant: nothing is found here that the rules would not find in the same words; where a thought, a tag, another turn
or another answer may stand in the text, nothing is. Searches for substrings are many times faster than patterns.
"""

from __future__ import annotations

import re
from typing import Literal

from synthflow.verifiers.answers.finding.boxes import closing_brace
from synthflow.verifiers.answers.finding.turns import may_ask_another
from synthflow.verifiers.answers.finding.values import result_of

_NEAR = 400  # characters from the end in which the only box is looked for
_BEHIND = 8  # characters behind it: "$.", "\n\\]"
_TAG = re.compile(r"<[/|tTrRsSaAiIlLeEbBfF<]")  # a tag, a control token or a calculator's note
_BRACKET = re.compile(r"\[[/tTiIbB]")
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{4,}")  # what may take back or comment on what is announced
_ANNOUNCED = re.compile(
    r"(?:^|[\n.]\s*(?:\\\]\s*)?)(?:(?:So|Thus|Therefore|Hence),?\s)?(?:\*\*)?(?:[Tt]he\s)?(?:[Ff]inal\s|correct\s)?[Aa]nswer"
    r"(?:\s+is:?|:(?:\*\*)?|\*\*:)\s*(?:\$([^$\n]{1,100})\$|(-?\d+(?:\.\d+)?))(?:\*\*)?\.?\s*$"
)


def quick_ending(text: str, how: str, gold: str | None) -> tuple[str, Literal["box", "announced"]] | None:
    """The answer that the end of a text gives, and the rule that would find it; None says nothing."""
    if (at := text.rfind("\\boxed{", -_NEAR if len(text) > _NEAR else 0)) >= 0:
        answer = _boxed(text, at)
        return (answer, "box") if answer else None
    if how != "any" or text.find("nswer", -_NEAR if len(text) > _NEAR else 0) < 0:
        return None
    match = _ANNOUNCED.search(text[-160:])
    if match is None or "box" in text or _holds_hashes(text):
        return None
    if text.find("nswer", 0, max(0, len(text) - 160) + match.start()) >= 0:
        return None
    answer = (match.group(1) or match.group(2)).strip()
    if not answer or answer[-1] in "!.,;=" or answer[0] in "=<>" or _WORD.search(answer) or _may_hold_control(text):
        return None
    return result_of(answer, gold), "announced"


def _boxed(text: str, at: int) -> str:
    """What the only box of a text holds that ends it; empty where rules have to look."""
    end = text.find("}", at + 7)
    if end < 0 or text[end - 1] == "\\" or text.find("{", at + 7, end) >= 0:
        end = closing_brace(text, at + 7) or -1
    if end < 0 or len(text) - end > _BEHIND:
        return ""
    behind = text[end + 1 :]
    if behind and any(sign.isalnum() for sign in behind):
        return ""
    content = text[at + 7 : end].strip()
    if not content.strip(" ?._…") or text.find("box", 0, at) >= 0:
        return ""
    return "" if _holds_hashes(text) or _may_hold_control(text) else content


def _holds_hashes(text: str) -> bool:
    return "#" in text and "####" in text  # one sign is found many times faster than four


def _may_hold_control(text: str) -> bool:
    """Whether a tag, a control token, another question or the heading of a thought may stand in a text."""
    if (
        text.startswith("analysis")
        or " my " in text[:24].lower()
        or (not text.isascii() and ("\u25c1" in text or "\uff5c" in text or "\n问题" in text or "\n問題" in text))
    ):
        return True
    if "<" in text and _TAG.search(text) is not None:
        return True
    if "[" in text and _BRACKET.search(text) is not None:
        return True
    return "\n" in text and may_ask_another(text)
