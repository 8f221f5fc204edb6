r"""Where a completion runs on into another turn: a base model that asks itself the next question.

Invariants: what stands before the cut is never empty, so a completion that begins with its question is left whole; a
line such as `Question:` cuts only outside a thought; work is linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from synthflow.verifiers.answers.finding.thoughts import thoughts

_CONTROL = re.compile(
    r"<\|(?:end|im_end|im_start|eot_id|eom_id|start_header_id|end_of_text|endoftext|endofassistant|user|assistant|system|return"
    r"|end_of_turn|turn_end|START_OF_TURN_TOKEN|END_OF_TURN_TOKEN|USER_TOKEN|CHATBOT_TOKEN)\|>"
    r"|<｜(?:User|Assistant|end▁of▁sentence)｜>|</?s>|\[/?INST\]|<(?:start|end)_of_turn>|<extra_id_1>"
)
_HEADER = re.compile(
    r"\s*(?:<\|begin_of_text\|>|<s>)?\s*(?:(?:<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>)\s*(?:assistant|model)?\s*"
    r"(?:<\|end_header_id\|>)?|<\|assistant\|>|<｜Assistant｜>|\[/INST\])\s*"
)
_ASKED = re.compile(
    r"\n[ \t>]{0,4}(?:\*\*|#{1,4} ?)?(?:(?:New |Next |Another )?(?:[Qq]uestion|Problem|Exercise|Instruction"
    r"|Pregunta|Frage|Aufgabe|Domanda|Pergunta|Вопрос|Задача|问题|問題|문제|질문)"
    r"(?: ?#?\d{1,3})?|Q ?\d{0,3}|User|Human|Student)(?:\*\*)? ?[:：](?!\s*\d{1,3}\s*(?:\n|$))"
    r"|\n[ \t]*(?:\n[ \t>]{0,4}(?:\*\*|#{1,4} ?)?|#{1,4} ?)"
    r"(?:(?:Question|Problem|Exercise) #?([2-9]|\d\d)|(?:Example |Q)([2-9]|\d\d))\b"
    r"(?:\*\*)?(?:[.):][ \t*]|[.):]?[ \t]*(?=\n))"
    r"|\n[ \t]{0,3}(?:#{1,4} |\*\*)(Question|Problem|Exercise)(?:\*\*)?[ \t]*(?=\n)"
)
_MAY_ASK = re.compile(  # no line that `_ASKED` finds begins otherwise; a first letter decides most lines
    r"\n[ \t>*#]*(?=[ADEFHINPQSUqВЗ问問문질])"
    r"(?:(?:New |Next |Another )?(?:[Qq]uestion|Problem|Exercise|Instruction|Pregunta|Frage|Aufgabe|Domanda|Pergunta"
    r"|Вопрос|Задача|问题|問題|문제|질문)|Q|User|Human|Student|Example )"
)
_ANSWERED = re.compile(r"nswer|boxed|####")
_FIRST_PART = re.compile(r"\n[ \t>*#]{0,8}(?:Question|Problem|Exercise|Example|Part|Q) ?#?1\b")
_STARTS_WITH_PARTS = re.compile(
    r"\s*(?:\*\*|#{1,4} ?)?(?:Question|Problem|Exercise|Part|Q) ?#?\d{1,3}\b", re.IGNORECASE
)


class Turn(NamedTuple):
    """The first turn of a completion, and what was cut off behind it; `cut` is empty where nothing was."""

    text: str
    cut: str


def first_turn(text: str) -> Turn:
    """A completion up to the first sign that another turn begins."""
    at, cut = len(text), ""
    begin = 0
    if _has_control(text):
        header = _HEADER.match(text)
        begin = header.end() if header else 0
        for match in _CONTROL.finditer(text, begin):
            if match.group() == "<|end|>" and "<|channel|>" in text:
                continue  # it ends a thought there
            if text[begin : match.start()].strip():
                at, cut = match.start(), match.group()
                break
            begin = match.end()
    if may_ask_another(text):
        asked = _first_asked(text, begin, at)
        if asked is not None:
            at, cut = asked
    return Turn(text[begin:at], cut)


def _first_asked(text: str, begin: int, end: int) -> tuple[int, str] | None:
    if _STARTS_WITH_PARTS.match(text, begin):
        return None  # several questions are answered in turn
    spans: Iterator[tuple[int, int]] | None = None
    opening = closing = -1  # the last thought that opens before the match
    said = begin
    for match in _ASKED.finditer(text, begin, end):
        numbered, other, heading = match.groups()
        if (numbered or other) and _FIRST_PART.search(text, begin, match.start()):
            continue  # parts of one answer
        if (other or heading) and not _ANSWERED.search(text, begin, match.start()):
            continue  # the heading of its own question
        if spans is None:  # of what follows a header: words open a thought as the first of a text
            found = [(begin + opened, begin + closed) for opened, closed in thoughts(text[begin:end])]
            spans = iter([*found, (end, end)])
        while closing <= match.start() and closing < end:
            said = max(said, closing)
            opening, closing = next(spans)
        if match.start() < opening and text[said : match.start()].strip():
            return match.start(), match.group().strip(" \n>*#:：")
    return None


def _has_control(text: str) -> bool:
    """Whether a search for control tokens can find one: signs and substrings are found much faster than patterns."""
    if "[" in text and "INST]" in text:
        return True
    return "<" in text and any(sign in text for sign in ("<|", "s>", "_of_turn>", "<｜", "<extra_id_1>"))


def may_ask_another(text: str) -> bool:
    """Whether a line may ask another question: the heads of lines are looked at in one pass."""
    return _MAY_ASK.search(text) is not None
