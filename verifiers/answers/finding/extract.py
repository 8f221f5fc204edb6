r"""The one place that finds the final answer in a completion, and says by which rule.

Rules, first that finds something:

1. `whole`: the completion is an answer, one short line without prose, or says what the gold answer says, word by word;
2. `box` and `tag`: the last `\boxed{…}` or `<answer>…</answer>`, whichever is later, with boxes that are joined to it;
3. `announced`: what follows the last "the answer is", "**Final answer:**", `####` or their like in other languages;
4. `words`: where the gold answer is words, these words in what the text concludes;
5. `concluded`: what the last sentence concludes ("So there are 12 ways"), and `formula`: a last line that is a formula.

A last box or tag that never closes, an announcement that breaks off, and an answer that is taken back leave none. Only
what follows the last thought is looked at, and a text that runs on into another question is cut there. Work is linear
in the length of the text and bounded after the search for markers, whatever the text holds.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from synthflow.verifiers.answers.finding.announced import announced, taken_back
from synthflow.verifiers.answers.finding.boxes import Box, boxes, last_box
from synthflow.verifiers.answers.finding.conclusions import concluded
from synthflow.verifiers.answers.finding.endings import quick_ending
from synthflow.verifiers.answers.finding.segments import formulas
from synthflow.verifiers.answers.finding.thoughts import after_thinking
from synthflow.verifiers.answers.finding.turns import first_turn
from synthflow.verifiers.answers.finding.values import result_of
from synthflow.verifiers.answers.finding.whole import bare_answer
from synthflow.verifiers.answers.finding.wording import is_wording, worded

__all__ = [
    "SURE",
    "Extracted",
    "Extraction",
    "after_thinking",
    "boxes",
    "candidates",
    "extract",
    "find",
    "gold_answer",
    "strip_math",
]

Extraction = Literal["any", "boxed", "whole"]
SURE = frozenset({"whole", "box", "tag", "announced", "words", "concluded"})
"""The rules that may call a mismatch wrong: right in at least 98 of 100 of their readings of real text."""

_TAIL = 20_000  # characters from the end in which all rules but the box look
_TAG = re.compile(
    r"<(/?)(?:answer|final_answer|\|begin_of_box\||\|end_of_box\|)>|<\|(begin|end)_of_box\|>", re.IGNORECASE
)
_CALCULATOR = re.compile(r"<<[^<>\n]{0,200}>>")  # what GSM8K's solutions write behind an equal sign
_SHORT = 6  # characters that take nothing back: "$.", "\\]"
_LONG = 150  # characters behind a box that may conclude something else
_SPACES = re.compile(r"\s+|\\text\s?(?=\{)")
_PROSE = re.compile(r"[^\W\d_]{2,}\s+[^\W\d_]{2,}\s+[^\W\d_]{2,}")


class Extracted(NamedTuple):
    """The final answer of a completion as it was written, and how it was found.

    Invariants: `text` is empty exactly where no answer was found, and `note` says why then; `sure` is whether the rule
    may call an answer that differs wrong, which only rules may that are right in 98 of 100 of their readings.
    """

    text: str
    rule: str
    sure: bool
    note: str = ""


def extract(completion: str, how: Extraction = "any") -> str | None:
    """The final answer as written, or None where there is none."""
    return find(completion, how).text or None


def find(
    completion: str, how: Extraction = "any", gold: str | None = None, *, bare: bool = True, cut: bool = True
) -> Extracted:
    """The final answer and the rule that found it.

    Args:
        how: `any` for all rules, `boxed` for the box alone, `whole` for all that follows the thoughts.
        gold: the gold answer, of which only the kind is looked at: words, an equation, anything else.
        bare: whether a completion of one short line without prose is read whole.
        cut: whether a text that runs on into another turn is cut there.
    """
    if how != "whole" and (quick := quick_ending(completion, how, gold)) is not None:
        return Extracted(*quick, True)
    text, note = completion, ""
    if cut:
        text, beyond = first_turn(completion)
        note = f"cut at {beyond}" if beyond else ""
    said = after_thinking(text)
    if "<<" in said:
        said = _CALCULATOR.sub("", said)
    if not said.strip() and text.strip():
        return _none("a thought never closes" if said != text else "no answer found", note)
    found = _found(said, how, gold, bare)
    return found._replace(note="; ".join(part for part in (found.note, note) if part)) if note else found


def _found(text: str, how: Extraction, gold: str | None, bare: bool) -> Extracted:
    if how == "whole":
        return _extracted("whole", strip_math(text.strip()), "nothing was said")
    box = last_box(text)
    if how == "boxed":
        return _boxed(text, box, gold) if box else _none("no box")
    if bare and box is None and len(text) < _TAIL:
        answer = bare_answer(text, gold)
        if answer:
            return Extracted(answer, "whole", True)
    marked = _marked(text, box, gold)
    if marked is not None:
        return marked
    tail = text[-_TAIL:]
    said = announced(tail, gold)
    if said is not None:
        if not said.text:
            return _none(said.why)
        return Extracted(said.text, "announced" if said.plain else "stated", said.plain)
    return _guessed(tail, gold)


def _marked(text: str, box: Box | None, gold: str | None) -> Extracted | None:
    """What the last box or tag holds; None without either."""
    tag = _last_tag(text)
    if tag is not None and (box is None or tag.end >= box.end):
        if not tag.content:
            return _none("the tag is empty or never closes")
        return _inside(tag.content, gold)
    return _boxed(text, box, gold) if box is not None else None


def _boxed(text: str, box: Box, gold: str | None) -> Extracted:
    if not box.content:
        return _none("the last box is empty or never closes")
    behind = text[box.end : box.end + _TAIL]
    if len(behind) > _SHORT and taken_back(behind):
        said = announced(behind, gold)
        if said is None or not said.text:
            return _none("the box is taken back")
        return Extracted(said.text, "announced", said.plain)
    if "nswer" in behind and (said := announced(behind, gold)) is not None and said.text and said.plain:
        return Extracted(said.text, "announced", _alike(said.text, box.content))
    if len(behind) > _LONG and (conclusion := concluded(behind, gold)) is not None and conclusion.firm:
        return Extracted(box.content, "box", _alike(conclusion.text, box.content))
    return Extracted(box.content, "box", True)


def _alike(one: str, other: str) -> bool:
    """Whether two answers in one text are spelled alike; where they are not, neither is surely the final one."""
    return _SPACES.sub("", one) == _SPACES.sub("", other)


def _last_tag(text: str) -> Box | None:
    """The last `<answer>…</answer>`; without content where it is empty or never closes."""
    if "nswer>" not in text and "NSWER>" not in text and "_of_box|>" not in text:
        return None
    found = list(_TAG.finditer(text))
    if not found:
        return None
    last = found[-1]
    if not _closes(last):
        return Box(len(text), len(text), "")
    opening = next((mark for mark in reversed(found[:-1]) if not _closes(mark)), None)
    if opening is None:
        return None
    return Box(opening.start(), last.end(), text[opening.end() : last.start()].strip())


def _closes(tag: re.Match[str]) -> bool:
    return bool(tag.group(1)) or "end_of_box" in tag.group().lower()


def _inside(content: str, gold: str | None) -> Extracted:
    """The answer in a tag: all of it, or what the prose in it announces or concludes."""
    box = last_box(content)
    if box is not None:
        return _boxed(content, box, gold)
    if not _PROSE.search(content) or bare_answer(content, gold):
        return _extracted("tag", strip_math(content), "the tag is empty")
    said = announced(content, gold)
    if said is not None and said.text:
        return Extracted(said.text, "tag", said.plain)
    guess = _guessed(content, gold)
    return guess if guess.text else Extracted(strip_math(content), "tag", False)


def _guessed(text: str, gold: str | None) -> Extracted:
    """By the rules that guess."""
    if gold is not None and is_wording(gold):
        said = worded(text, gold)
        if said is None:
            return _none("the words of the gold answer are not concluded")
        return Extracted(said.text, "words" if said.plain else "implied", said.plain)
    conclusion = concluded(text, gold)
    if conclusion is not None:
        return Extracted(conclusion.text, "concluded" if conclusion.firm else "closing", conclusion.firm)
    line = text.rstrip(" .\n").rpartition("\n\n")[2] if "\n\n" in text[-2000:] else text[-2000:]
    spans = formulas(line)
    if len(spans) == 1 and not line[: spans[0].start].strip() and not line[spans[0].end :].strip(" ."):
        return Extracted(result_of(spans[0].content, gold), "formula", False)
    return _none("no answer found")


def _extracted(rule: str, text: str, why_empty: str) -> Extracted:
    return Extracted(text, rule, rule in SURE) if text else _none(why_empty)


def _none(why: str, note: str = "") -> Extracted:
    return Extracted("", "none", False, "; ".join(part for part in (why, note) if part))


def candidates(completion: str, gold: str | None = None) -> list[Extracted]:
    """What each rule by itself finds, in the order of the rules; the first is the one that is chosen."""
    text = after_thinking(first_turn(completion).text)
    found = [find(completion, "any", gold)]
    box, tail = last_box(text), text[-_TAIL:]
    if (marked := _marked(text, box, gold)) is not None:
        found.append(marked)
    said = announced(tail, gold)
    if said is not None:
        found.append(Extracted(said.text, "announced", said.plain, said.why) if said.text else _none(said.why))
    found.append(_guessed(tail, gold))
    return list(dict.fromkeys(found))


def strip_math(text: str) -> str:
    r"""Without math delimiters: `$x$ or $y$` becomes `x or y`; an escaped dollar stays."""
    if "\\" in text:
        text = re.sub(r"\\[()\[\]]", " ", text)
    return re.sub(r"(?<!\\)\$+", " ", text).strip() if "$" in text else text


def gold_answer(answer: str) -> str:
    """The gold answer alone: of its last box or after its last `####` if it has one, else as it stands."""
    if "box" in answer:
        found = boxes(answer)
        if found and found[0]:
            return found[0]
    if "####" in answer:
        answer = answer.rpartition("####")[2]
    return strip_math(answer.strip())
