"""The options of a multiple-choice question: from the problem's metadata, or as its prompt lists them.

Invariant: a list is read from a prompt only where its labels are A, B, C and so on without a gap, each once; then the
texts are what stands between them. Anything else is no list, and choices go by their letters alone.
"""

from __future__ import annotations

import re
from typing import Any

from synthflow.contracts import Question
from synthflow.verifiers.choice_letters import plain
from synthflow.verifiers.choice_words import LATIN
from synthflow.verifiers.metadata import fields

_LINES = re.compile(r"^[ \t>*•-]*[(\[]?([A-Z])[)\].:、][ \t]*(?=\S)", re.MULTILINE)
_INLINE = re.compile(r"(?:(?<=\s)|^)[(\[]([A-Z])[)\]][ \t]*|(?:(?<=\s)|^)([A-Z])[).:、][ \t]+")
_LABEL = re.compile(r"[(\[]?([A-Za-z])[)\].:、]\s*(.*)", re.DOTALL)
_PROMPT = 8000  # characters of a prompt, from its end, in which options are looked for


def options_of(question: Question, key: str) -> dict[str, str]:
    """Texts of the options by letter; empty where neither the metadata's field `key` nor the prompt has them."""
    held = _held(fields(question.metadata).get(key))
    return held or _listed(next((text for role, text in reversed(question.prompt) if role == "user"), ""))


def _held(held: Any) -> dict[str, str]:
    if isinstance(held, dict) and isinstance(held.get("text"), list) and isinstance(held.get("label"), list):
        held = dict(zip(held["label"], held["text"], strict=False))  # as ARC has it
    if isinstance(held, list):
        held = dict(zip(LATIN, held, strict=False))
    if not isinstance(held, dict) or len(held) > len(LATIN):
        return {}
    texts = {str(label).strip().upper(): plain(str(text)) for label, text in held.items()}
    return {label: _unlabelled(text, label) for label, text in texts.items() if label in set(LATIN)}


def _unlabelled(text: str, label: str) -> str:
    """Without the letter that "A) four" in a list says once more."""
    found = _LABEL.match(text.strip())
    return found.group(2).strip() if found is not None and found.group(1).upper() == label else text.strip()


def _listed(prompt: str) -> dict[str, str]:
    text = plain(prompt[-_PROMPT:])
    for labels in ([*_LINES.finditer(text)], [*_INLINE.finditer(text)]):
        letters = "".join(next(filter(None, label.groups())) for label in labels)
        if len(letters) >= 2 and LATIN.startswith(letters):
            ends = [label.start() for label in labels[1:]]
            ends.append(_paragraph_end(text, labels[-1].end()))
            said = [text[label.end() : end] for label, end in zip(labels, ends, strict=True)]
            return {letter: " ".join(each.split()).rstrip(",;") for letter, each in zip(letters, said, strict=True)}
    return {}


def _paragraph_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return end if end >= 0 else len(text)
