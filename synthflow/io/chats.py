"""Chats as people write them, in messages of a role and a text.

Invariant: what a message says reaches the prompt unchanged, or the row is malformed; nothing but what is empty is
left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

ROLES = ("system", "user", "assistant", "tool")
SPEAKERS = {"human": "user", "gpt": "assistant", "system": "system", "user": "user", "assistant": "assistant"}
"""Who speaks in ShareGPT's form, and what that is elsewhere."""

PROMPT_COLUMNS = ("prompt", "messages", "problem", "question")

ChatStyle: TypeAlias = Literal["plain", "openai", "sharegpt"]


class RowError(ValueError):
    """A malformed row: what is wrong, and what to do."""

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(what)
        self.what, self.fix = what, fix


def usual_columns(chat: ChatStyle) -> tuple[str, ...]:
    """Names under which a prompt usually stands."""
    return ("conversations",) if chat == "sharegpt" else PROMPT_COLUMNS


def messages_of(value: Any, column: str, chat: ChatStyle) -> list[dict[str, str]]:
    """The messages of a chat, at least one.

    Raises:
        RowError: if it is none.
    """
    if chat != "plain" and isinstance(value, list):
        read = _from_openai if chat == "openai" else _from_sharegpt
        value = [read(message) if isinstance(message, Mapping) else message for message in value]
    return list(_plain(value, column))


def _plain(value: Any, column: str) -> Iterator[dict[str, str]]:
    if value is None:
        raise RowError(f"the prompt ({column!r}) is missing")
    if not isinstance(value, list) or not value or not all(isinstance(m, Mapping) for m in value):
        what = f"the prompt ({column!r}) is neither text nor a list of messages"
        raise RowError(what, "a message is {role: user, content: text}")
    for message in value:
        role, content = message.get("role"), message.get("content")
        if role is None and {"from", "value"} <= set(message):
            raise RowError("a message has from and value, as in ShareGPT", "set chat: sharegpt")
        if role not in ROLES:
            raise RowError(f"a message has the role {brief(role)}", f"expected one of {', '.join(ROLES)}")
        if not isinstance(content, str):
            raise RowError(f"a {role} message has no text", "content must be text")
        more = [key for key, inner in message.items() if key not in ("role", "content") and inner is not None]
        if more:
            raise RowError(f"a message has the field {more[0]!r}", "only role and content are kept; remove it")
        yield {"role": role, "content": content}


def _from_openai(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message of OpenAI's protocol, as far as it says nothing that a plain one cannot hold."""
    said = _without_empty(message, "role", "content")
    if said.get("role") == "developer":
        said["role"] = "system"
    parts = said.get("content")
    if isinstance(parts, list):
        if not all(isinstance(p, Mapping) and isinstance(p.get("text"), str) for p in parts):
            kinds = sorted({str(p.get("type") if isinstance(p, Mapping) else type(p).__name__) for p in parts})
            raise RowError(f"a message has parts that are no text ({', '.join(kinds)})", "only text can be asked")
        said["content"] = "".join(part["text"] for part in parts)
    return said


def _from_sharegpt(message: Mapping[str, Any]) -> dict[str, Any]:
    said = _without_empty(message, "from", "value")
    speaker = said.pop("from", None)
    role = SPEAKERS.get(speaker) if isinstance(speaker, str) else None
    if role is None:
        raise RowError(f"a message is from {brief(speaker)}", f"expected one of {', '.join(SPEAKERS)}")
    return {"role": role, "content": said.pop("value", None), **said}


def _without_empty(message: Mapping[str, Any], *kept: str) -> dict[str, Any]:
    return {key: inner for key, inner in message.items() if key in kept or inner not in ([], {}, "")}


def brief(value: Any) -> str:
    """A value in at most forty characters."""
    text = repr(value) if isinstance(value, str | int | float) or value is None else f"a {type(value).__name__}"
    return text if len(text) <= 40 else text[:37] + "..."
