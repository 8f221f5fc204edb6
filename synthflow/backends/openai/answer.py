"""What a server's answer means.

Invariant: bytes become a completion, a refusal, or `BadAnswer`, and nothing else, whatever they hold. A field that is
absent or null is null in the result, never guessed; one that is there and cannot be true (of the wrong type, out of
range, at odds with another) spoils the whole answer, because then nothing in it can be relied on. With a
tokenizer at hand the text is what the answer's tokens decode to.
"""

from __future__ import annotations

import json
import math
from typing import Any

import orjson

from synthflow.backends.admission import cut_at_stop, refusal
from synthflow.backends.openai.protocol import Endpoint
from synthflow.backends.renderer import PolicyRenderer, encodable
from synthflow.contracts import SampleRequest, SampleResult

_INT32 = 2**31 - 1
"""The journal and the tables hold token ids and counts as int32."""
_FLOAT32 = 3.4e38
ABOVE_ZERO = 1e-3
"""Rounding that may lift a log probability above zero."""
_BYTES, _BYTES_PER_TOKEN = 1 << 20, 2048


class BadAnswer(Exception):
    """An answer that is no answer: the request is sent again."""


def most_bytes(tokens: int) -> int:
    """Bytes that an honest answer about `tokens` tokens (prompt and completion) stays below.

    A token brings its text, its id, and its log probability with the token's bytes one by one: some 300 bytes.
    """
    return _BYTES + _BYTES_PER_TOKEN * tokens


def decode(body: bytes) -> Any:
    """JSON, as servers write it: NaN and halves of surrogate pairs, which JSON has not, are read.

    Raises:
        BadAnswer: if it is none, is no UTF-8, or is nested without end.
    """
    try:
        return orjson.loads(body)
    except ValueError:
        pass
    try:
        return json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        what = "JSON nested without end" if isinstance(error, RecursionError) else f"no JSON: {error}"
        raise BadAnswer(what) from None


def parse(
    request: SampleRequest,
    answer: Any,
    endpoint: Endpoint,
    renderer: PolicyRenderer | None,
    elapsed_s: float,
    *,
    limit: int | None = None,
    vocabulary: int | None = None,
) -> SampleResult:
    """The result that an answer (decoded JSON) holds.

    Args:
        limit: tokens that were asked for at most.
        vocabulary: token ids are below this.

    Raises:
        BadAnswer: if it holds no choice with a text, or anything in it cannot be true.
    """
    choices = field(answer, "choices", list, "the answer")
    if not choices:
        raise BadAnswer("no choices")
    choice = choices[0]
    finish = field(choice, "finish_reason", str, "choice")
    usage = field(answer, "usage", dict, "the answer") or {}
    prompt_tokens, counted = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    if prompt_tokens is None:
        prompt_tokens = len(request.prompt_token_ids or ())
    if finish == "content_filter":
        return refusal(request, "the server's content filter ended the completion", prompt_tokens)
    if finish not in ("stop", "length"):
        raise BadAnswer(f"finish_reason {shown(finish)}; expected stop, length or content_filter")
    text = _text(choice, endpoint)
    tokens = _tokens(choice, _INT32 if vocabulary is None else vocabulary)
    logprobs = _logprobs(choice)
    if tokens is not None:
        _agree(tokens, logprobs, counted, limit)
    if (counted if tokens is None else len(tokens)) == 0 and (text or finish == "length"):
        raise BadAnswer(f"no tokens, finish_reason {finish}, and a text of {len(text)} characters")
    stopped, kept = finish == "stop", None if tokens is None else len(tokens)
    if tokens is not None and renderer is not None:
        text, kept, at_text = cut_at_stop(renderer, tokens, request.params.stop)
        stopped = stopped or at_text
    return SampleResult(
        rollout_id=request.rollout_id,
        text=text,
        finish_reason="stop" if stopped else "length",
        token_ids=None if tokens is None else tokens[:kept],
        logprobs=None if logprobs is None else logprobs[:kept],
        n_tokens=kept if kept is not None else counted if counted is not None else len(logprobs or ()),
        prompt_tokens=prompt_tokens,
        elapsed_s=elapsed_s,
    )


def field(value: Any, name: str, wanted: type, where: str) -> Any:
    """A field of an object; None where it is absent or null."""
    if not isinstance(value, dict):
        raise BadAnswer(f"{where} is {kind(value)}; expected an object")
    found = value.get(name)
    if found is not None and not isinstance(found, wanted):
        raise BadAnswer(f"{name} is {kind(found)}; expected {_NAMES[wanted]}")
    return found


_NAMES: dict[type, str] = {dict: "an object", list: "an array", str: "text", int: "an integer", bool: "a truth value"}


def kind(value: Any) -> str:
    """What kind of JSON a value is, in words."""
    return "null" if value is None else _NAMES.get(type(value), "a number")


def shown(value: Any) -> str:
    """A value in a message: nothing that is long or deep."""
    return repr(value)[:40] if value is None or isinstance(value, str | int | float) else kind(value)


def _is_integer(value: Any, most: int) -> bool:
    return type(value) is int and 0 <= value <= most  # a bool is an int, and no count


def _count(usage: dict[str, Any], name: str) -> int | None:
    found = usage.get(name)
    if found is not None and not _is_integer(found, _INT32):
        raise BadAnswer(f"usage.{name} is {shown(found)}; expected a count")
    return found


def _text(choice: Any, endpoint: Endpoint) -> str:
    if endpoint == "completions":
        text = field(choice, "text", str, "choice")
    else:
        message = field(choice, "message", dict, "choice")
        text = field(message, "content", str, "message")
        if text is None and ("content" in message or message.get("role") == "assistant"):
            text = ""  # a message that says nothing, by the protocol null
    if text is None:
        raise BadAnswer("no text")
    return encodable(text)


def _tokens(choice: dict[str, Any], vocabulary: int) -> tuple[int, ...] | None:
    given = field(choice, "token_ids", list, "choice")
    if given is None:
        return None
    most = min(vocabulary - 1, _INT32)
    for token in given:
        if not _is_integer(token, most):
            raise BadAnswer(f"token_ids hold {shown(token)}; expected integers from 0 to {most}")
    return tuple(given)


def _logprobs(choice: dict[str, Any]) -> tuple[float, ...] | None:
    """Log probabilities, nats; None where they are absent or any of them is null, NaN or beyond float32."""
    given = field(choice, "logprobs", dict, "choice")
    if given is None:
        return None
    numbers = field(given, "token_logprobs", list, "logprobs")
    if numbers is None:
        content = field(given, "content", list, "logprobs")
        if content is None:
            return None
        numbers = [c.get("logprob") if isinstance(c, dict) else c for c in content]
    whole = True
    for x in numbers:
        if x is None or (isinstance(x, float) and not math.isfinite(x)):
            whole = False
        elif type(x) not in (int, float) or x > ABOVE_ZERO:
            raise BadAnswer(f"a log probability is {shown(x)}; expected a number not above 0")
        elif x < -_FLOAT32:
            whole = False
    return tuple(float(x) for x in numbers) if whole else None


def _agree(tokens: tuple[int, ...], logprobs: tuple[float, ...] | None, counted: int | None, limit: int | None) -> None:
    n = len(tokens)
    if logprobs is not None and len(logprobs) != n:
        raise BadAnswer(f"{n} token_ids and {len(logprobs)} log probabilities; expected one a token")
    if counted is not None and counted != n:
        raise BadAnswer(f"{n} token_ids and completion_tokens {counted}; expected the same number")
    if limit is not None and n > limit:
        raise BadAnswer(f"{n} token_ids, where at most {limit} were asked for")
