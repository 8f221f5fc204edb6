"""A judge's prompt: a short template, filled once, in which other people's text cannot pass for ours.

Invariants: values are put in one pass, so a placeholder inside a value stays text; each value stands between tags
whose id is a hash of all the values, which a text would have to contain before it is written; what looks like such a
tag, or like a control token of a chat template, is broken up; an answer longer than the budget loses its middle, and
the prompt says so. The judge's verdict is read from the judge's completion alone (`verifiers.readings`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from synthflow.ids import digest
from synthflow.verifiers.answers.finding.extract import after_thinking

SHIPPED = ("pointwise", "reference", "pairwise", "criterion")
SHIPPED_FOR_STEPS = ("earliest", "principles")
TAGS = {
    "question": "question",
    "reference": "reference",
    "answer": "answer",
    "first": "answer_A",
    "second": "answer_B",
    "criterion": "criterion",
    "solution": "solution",
    "principles": "principles",
}
"""Placeholder -> the tag its value stands in."""

_PLACEHOLDER = re.compile(r"\{([a-z]+)\}")
_OWN = ("id", "format")
_TAG = re.compile(rf"<(?=\s*/?\s*(?:{'|'.join(TAGS.values())})\b)", re.IGNORECASE)
# Control tokens of the common chat templates; those of the judge's own tokenizer come on top where it is known.
_CONTROL = re.compile(
    r"<(?=\|)|<(?=/?s>|bos>|eos>|pad>|unk>|(?:start|end)_of_turn>|｜)|\[(?=/?(?:INST|SYSTEM_PROMPT)\])|<(?=</?SYS>>)"
)


@cache
def shipped(name: str) -> str:
    """The text of a prompt that comes with the package."""
    return resources.files("synthflow.judges").joinpath("templates", f"{name}.txt").read_text(encoding="utf-8").strip()


def shipped_version(names: Sequence[str] = SHIPPED) -> str:
    """H(shipped prompts): a changed one makes new judgements."""
    return digest("\0".join(shipped(name) for name in names))[:8]


def mistakes(template: str, wanted: Sequence[str]) -> Iterable[tuple[str, str]]:
    """What is wrong with a user's template, and what to do: unknown placeholders, and missing ones of `wanted`."""
    held = set(_PLACEHOLDER.findall(template))
    known = [*wanted, *_OWN]
    for name in sorted(held - set(known)):
        yield f"{{{name}}} is no placeholder of this prompt", f"known: {', '.join(f'{{{k}}}' for k in known)}"
    for name in [*wanted, "format"]:
        if name not in held:
            yield f"does not hold {{{name}}}", f"write {{{name}}} where {_MEANS.get(name, name)} belongs"


_MEANS = {
    "question": "the problem",
    "answer": "the answer that is judged",
    "format": "the form of the judge's answer, which is the only one that is read,",
    "first": "answer A",
    "second": "answer B",
    "solution": "the solution, step by step,",
    "principles": "the principles by which its steps are scored",
}


@dataclass(frozen=True, slots=True)
class Prompt:
    """A template with the special tokens of the tokenizer that will read it."""

    template: str
    special: tuple[str, ...] = ()

    def fill(self, values: Mapping[str, str], instruction: str) -> str:
        """The text of the prompt.

        Args:
            values: by placeholder; all are other people's text.
            instruction: how to answer, ours.
        """
        safe = {name: self._safe(value) for name, value in values.items()}
        mark = digest("\0".join(f"{name}\0{value}" for name, value in sorted(safe.items())))[:12]
        ready = {
            name: f'<{TAGS[name]} id="{mark}">\n{text}\n</{TAGS[name]} id="{mark}">' for name, text in safe.items()
        }
        ready |= {"id": mark, "format": instruction}
        return _PLACEHOLDER.sub(lambda match: ready.get(match.group(1), match.group()), self.template)

    def _safe(self, text: str) -> str:
        text = _CONTROL.sub(lambda match: match.group() + " ", _TAG.sub("&lt;", text))
        for token in self.special:
            if len(token.strip()) > 1:
                text = text.replace(token, f"{token[0]} {token[1:]}")
        return text


def within(text: str, budget: int) -> str:
    """A text of at most `budget` characters, its middle left out and counted: reasons begin, and results end it."""
    if len(text) <= budget:
        return text
    head = budget // 2
    tail = budget - head
    return f"{text[:head]}\n[{len(text) - budget} characters left out here]\n{text[len(text) - tail :]}"


def shown_answer(completion: str, budget: int, thinking: bool) -> str:
    """What a judge sees of a completion; empty where there is nothing to judge."""
    text = completion if thinking else after_thinking(completion)
    return within(text.strip(), budget) if text.strip() else ""


def question_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """The problem as one text: its only message, or all with their roles."""
    if len(messages) == 1:
        return str(messages[0]["content"])
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in messages)
