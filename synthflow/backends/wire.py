"""The OpenAI protocol: what is sent for a request, and what an answer means.

Invariant: a sampling parameter is sent or the request is refused, never dropped; a field that the answer lacks is
null in the result, never guessed. With a tokenizer at hand the text is what the answer's tokens decode to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from synthflow.backends.local import Admitted, cut_at_stop, refusal
from synthflow.backends.renderer import Renderer, encodable
from synthflow.contracts import SampleRequest, SampleResult

Server = Literal["vllm", "openai"]
Endpoint = Literal["completions", "chat"]
PATHS: Mapping[Endpoint, str] = {"completions": "completions", "chat": "chat/completions"}
WORDS = 300
"""Characters of a server's message that are kept."""


class BadAnswer(Exception):
    """An answer that is no answer: the request is sent again."""


def trimmed(text: str) -> str:
    """A server's words on one line, cut to `WORDS` characters."""
    line = " ".join(text.split())
    return line if len(line) <= WORDS else line[: WORDS - 1] + "…"


def unsupported(request: SampleRequest, server: Server, endpoint: Endpoint) -> str | None:
    """Why the protocol cannot carry this request; None if it can."""
    if server == "openai" and request.params.top_k > 0:
        return "top_k is no parameter of the OpenAI protocol; set server: vllm if the server takes it"
    if server == "openai" and len(request.params.stop) > 4:
        return "the OpenAI protocol takes at most four stop texts; set server: vllm if the server takes more"
    if endpoint == "completions" and request.prompt_token_ids is None:
        return "endpoint completions sends token ids, and this request has none; name the tokenizer with weights"
    return None


def body(
    request: SampleRequest, admitted: Admitted | None, model: str, server: Server, endpoint: Endpoint, logprobs: bool
) -> dict[str, Any]:
    """The JSON body of a request."""
    p = request.params
    limit = p.max_tokens if admitted is None else admitted.limit
    sent: dict[str, Any] = {"model": model, "temperature": p.temperature, "top_p": p.top_p, "n": 1}
    sent["seed"] = request.seed % 2**63
    if p.stop:
        sent["stop"] = [encodable(s) for s in p.stop]
    if endpoint == "chat":
        sent["messages"] = [{"role": role, "content": encodable(content)} for role, content in request.messages]
        sent["max_tokens" if server == "vllm" else "max_completion_tokens"] = limit
        sent["logprobs"] = logprobs
    else:
        sent["prompt"] = list(request.prompt_token_ids or ())
        sent["max_tokens"] = limit
        if logprobs:
            sent["logprobs"] = 0
    if server == "vllm":
        sent |= {"top_k": p.top_k, "return_token_ids": True, "add_special_tokens": False}
        # Defaults of the server's generation_config.json would change the distribution that is asked for.
        sent |= {"min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
        if endpoint == "chat":
            del sent["add_special_tokens"]  # the server's template writes them
    return sent


def _field(value: Any, name: str, kind: type | tuple[type, ...]) -> Any:
    found = value.get(name) if isinstance(value, Mapping) else None
    return found if isinstance(found, kind) else None


def _logprobs(choice: Any) -> tuple[float, ...] | None:
    given = _field(choice, "logprobs", dict)
    numbers = _field(given, "token_logprobs", list)
    if numbers is None:
        content = _field(given, "content", list)
        numbers = None if content is None else [_field(c, "logprob", (int, float)) for c in content]
    if numbers is None or not all(isinstance(x, int | float) and math.isfinite(x) for x in numbers):
        return None
    return tuple(float(x) for x in numbers)


def _integers(value: Any) -> tuple[int, ...] | None:
    return tuple(value) if isinstance(value, list) and all(isinstance(x, int) for x in value) else None


def parse(
    request: SampleRequest, answer: Any, endpoint: Endpoint, renderer: Renderer | None, elapsed_s: float
) -> SampleResult:
    """The result that an answer (decoded JSON) holds.

    Raises:
        BadAnswer: if it holds no choice with a text.
    """
    choices = _field(answer, "choices", list)
    choice = choices[0] if choices else None
    finish = _field(choice, "finish_reason", str)
    message = _field(choice, "message", dict) if endpoint == "chat" else choice
    text = _field(message, "content" if endpoint == "chat" else "text", str)
    usage = _field(answer, "usage", dict)
    prompt_tokens = _field(usage, "prompt_tokens", int) or len(request.prompt_token_ids or ())
    if finish == "content_filter":
        return refusal(request, "the server's content filter ended the completion", prompt_tokens)
    tokens = _integers(_field(choice, "token_ids", list))
    if text is None and finish is not None and message is not None:
        text = ""  # a chat message may be empty, and is then null
    if text is None or finish not in ("stop", "length"):
        raise BadAnswer(f"finish_reason {finish!r}, text {text!r:.80}")
    logprobs = _logprobs(choice)
    if tokens is not None and logprobs is not None and len(tokens) != len(logprobs):
        logprobs = None
    stopped = finish == "stop"
    kept = None if tokens is None else len(tokens)
    if tokens is not None and renderer is not None:
        text, kept, at_text = cut_at_stop(renderer, tokens, request.params.stop)
        stopped = stopped or at_text
    counted = _field(usage, "completion_tokens", int)
    return SampleResult(
        rollout_id=request.rollout_id,
        text=text,
        finish_reason="stop" if stopped else "length",
        token_ids=None if tokens is None else tokens[:kept],
        logprobs=None if logprobs is None else logprobs[: kept if kept is not None else None],
        n_tokens=kept if kept is not None else counted if counted is not None else len(logprobs or ()),
        prompt_tokens=prompt_tokens,
        elapsed_s=elapsed_s,
    )
