"""What one server takes of the protocol: what it refuses and may be left out is left out, and every answer says so.

Invariant: a parameter is left out only where that changes nothing of what is sampled: it tells more (log probabilities,
token ids), makes a sample the same again (a seed), has the value that leaving it out has, or is sent under its other
name. Anything else is sent, or the request is refused. What a server was found not to take counts for all that follows
once a request without it was answered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

OTHER_NAME: Mapping[str, str] = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
"""Two names of one parameter."""
_FREE = ("seed", "logprobs", "top_logprobs", "return_token_ids", "add_special_tokens")
"""What never changes the distribution that is sampled from."""
_NEUTRAL: Mapping[str, Any] = {
    "top_p": 1.0, "temperature": 1.0, "n": 1, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0,
    "presence_penalty": 0.0, "frequency_penalty": 0.0,
}  # fmt: skip
"""Values that mean what leaving the parameter out means."""
SENDABLE = (*_FREE, *_NEUTRAL, *OTHER_NAME)
_REFUSES = re.compile(
    r"unsupported|not support|unrecogni[sz]ed|unknown|unexpected|not permitted|not allowed|extra (inputs|fields)|"
    r"invalid|deprecated|does not (take|accept)|cannot|use '?max_",
    re.IGNORECASE,
)


class Dialect:
    """What one server was found not to take. Used from one event loop only.

    Args:
        send: what is to be sent (true) or left out (false) of the beginning, by name.
    """

    def __init__(self, send: Mapping[str, bool]) -> None:
        self._always = {name for name, wanted in send.items() if wanted}
        self.without: frozenset[str] = frozenset(name for name, wanted in send.items() if not wanted)

    def learned(self, without: frozenset[str]) -> None:
        """A request without these was answered."""
        self.without |= without

    def refused(self, body: bytes, sent: Mapping[str, Any]) -> str | None:
        """The parameter that a refusal is about, if it may be left out of what was sent; None if there is none."""
        named = _named(body)
        for name in sent:
            if name in named and name not in self._always and may_go(name, sent[name]):
                return name
        return None


def may_go(name: str, value: Any) -> bool:
    """Whether leaving a parameter out, or sending it under its other name, changes nothing of what is sampled."""
    return name in _FREE or name in OTHER_NAME or (name in _NEUTRAL and bool(value == _NEUTRAL[name]))


def left_out(sent: Mapping[str, Any], send: Mapping[str, bool]) -> str | None:
    """Why what the policy wants to be left out may not be; None if it may."""
    for name, wanted in send.items():
        if not wanted and name in sent and not may_go(name, sent[name]):
            return f"send leaves out {name}, which is {sent[name]!r} here: without it others would be sampled"
    return None


def spoken(sent: Mapping[str, Any], without: frozenset[str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A body without some parameters, and what is to be said of it."""
    body: dict[str, Any] = {}
    notes: list[str] = []
    for name, value in sent.items():
        other = OTHER_NAME.get(name)
        if name not in without:
            body[name] = value
        elif other is not None and other not in without:
            body[other] = value
            notes.append(f"{other} was sent in place of {name}")
        else:
            notes.append(f"{name} was not sent")
    return body, tuple(notes)


def _named(body: bytes) -> set[str]:
    """Names of parameters that an error is about: in the fields that protocols have for it, or else in its words."""
    text = body.decode("utf-8", "replace")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    error = found.get("error", found) if isinstance(found, dict) else None
    named: set[str] = set()
    words = text
    if isinstance(error, dict):
        if isinstance(error.get("param"), str):
            named.add(error["param"])
        detail = error.get("detail")
        for each in detail if isinstance(detail, list) else ():
            if isinstance(each, dict) and isinstance(each.get("loc"), list) and each["loc"]:
                named.add(str(each["loc"][-1]))
        said = error.get("message", detail if isinstance(detail, str) else "")
        words = said if isinstance(said, str) else ""
    elif isinstance(error, str):
        words = error
    if _REFUSES.search(words):
        named |= {name for name in SENDABLE if re.search(rf"\b{name}\b", words) and name != "n"}
    return named
