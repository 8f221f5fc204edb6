"""What an assistant's message says: one text, with the thought that a server has taken out of it put back.

Invariant: nothing that the policy wrote is dropped. A server with a reasoning parser sends a thought apart from the
answer, and the parts do not add up to what was sampled: the markers are gone, and white space with them. They are put
together again as the template writes them, and where the answer begins is told. Such parsers also take a whole reply
without markers for a thought: a reply that has ended and has no content is the text that it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from synthflow.backends.openai.fields import BadAnswer, field, kind, shown
from synthflow.backends.renderer import encodable


class Markers(NamedTuple):
    """What opens and closes a thought."""

    opened: str
    closed: str


THINKING = Markers("<think>", "</think>")
"""The markers of DeepSeek-R1, QwQ, Qwen3 and most models since."""
APART = "its thought came apart from its answer, and was put together with it"
UNMARKED = "its server took a whole reply for a thought"
_TEXTS = ("text", "output_text")
_THOUGHTS = ("thinking", "reasoning", "reasoning_text")
_REASONING = ("reasoning_content", "reasoning")


@dataclass(frozen=True, slots=True)
class Message:
    """What a message says. `refusal` is True of words in which the model itself refuses."""

    text: str
    answer_start: int | None = None
    refusal: bool = False
    notes: tuple[str, ...] = ()


def read_message(message: Any, finish: str, markers: Markers) -> Message | None:
    """What a chat message says; None if it has no text and does not say so either.

    Args:
        finish: its finish_reason.
        markers: what opens and closes a thought.

    Raises:
        BadAnswer: if a part of it has a wrong type.
    """
    parts, apart = _content(message)
    content = None if parts is None else encodable(parts)
    reasoning = encodable(next((text for name in _REASONING if (text := field(message, name, str, "message"))), apart))
    refusal = field(message, "refusal", str, "message")
    if refusal and not content:
        return Message(encodable(refusal), refusal=True)
    if reasoning:
        return _joined(reasoning, content or "", finish, markers)
    if content is None and ("content" in (message or {}) or (message or {}).get("role") == "assistant"):
        return Message("")  # a message that says nothing, by the protocol null
    return None if content is None else Message(content)


def _joined(reasoning: str, content: str, finish: str, markers: Markers) -> Message:
    opened, closed = markers
    if not content.strip():
        if finish != "length":
            return Message(reasoning, notes=(UNMARKED,))
        text = f"{opened}\n{reasoning.lstrip()}"
        return Message(text, len(text), notes=(APART,))
    thought = f"{opened}\n{reasoning.strip()}\n{closed}\n\n"
    return Message(thought + content.lstrip(), len(thought), notes=(APART,))


def _content(message: Any) -> tuple[str | None, str]:
    """The content as one text (null is None), and the thoughts that stand in its parts."""
    given = field(message, "content", (str, list), "message")
    if given is None or isinstance(given, str):
        return given, ""
    texts: list[str] = []
    thoughts: list[str] = []
    for part in given:
        name = field(part, "type", str, "a part of content")
        if name in _TEXTS:
            texts.append(field(part, "text", str, "a part of content") or "")
        elif name in _THOUGHTS:
            thoughts.extend(_thought(part, name))
        else:
            raise BadAnswer(f"a part of content has the type {shown(name)}; expected text")
    return "".join(texts), "".join(thoughts)


def _thought(part: dict[str, Any], name: str) -> list[str]:
    value = part.get("text", part.get(name))
    if isinstance(value, list):
        return [field(each, "text", str, "a part of a thought") or "" for each in value]
    if not isinstance(value, str):
        raise BadAnswer(f"a thought is {kind(value)}; expected text")
    return [value]
