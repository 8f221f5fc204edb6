"""The OpenAI protocol: what is sent for a request.

Invariant: a sampling parameter is sent or the request is refused; `dialect` knows what may be left out all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from synthflow.backends.admission import Admitted
from synthflow.backends.renderer import encodable
from synthflow.contracts import SampleRequest, SamplingParams

Server = Literal["vllm", "openai"]
Endpoint = Literal["completions", "chat"]
PATHS: Mapping[Endpoint, str] = {"completions": "completions", "chat": "chat/completions"}


NO_SCORING = (
    "chat completions tell no log probabilities of given tokens; use endpoint: completions, with the tokenizer here"
)
MOST_TOP: Mapping[Server, int] = {"vllm": 20, "openai": 5}
"""Likeliest tokens that a server tells: vLLM's own default, and the protocol's limit."""


def unsupported(request: SampleRequest, server: Server, endpoint: Endpoint) -> str | None:
    """Why the protocol cannot carry this request; None if it can."""
    if request.score is not None and endpoint == "chat":
        return NO_SCORING
    why = unsupported_params(request.params, server)
    if why is not None:
        return why
    if endpoint == "completions" and request.prompt_token_ids is None:
        return "endpoint completions sends token ids, and this request has none; name the tokenizer with weights"
    return None


def unsupported_params(params: SamplingParams, server: Server) -> str | None:
    """Why a kind of server cannot draw tokens so; None if it can."""
    if server == "openai" and params.top_k > 0:
        return "top_k is no parameter of the OpenAI protocol; set server: vllm if the server takes it"
    if server == "openai" and len(params.stop) > 4:
        return "the OpenAI protocol takes at most four stop texts; set server: vllm if the server takes more"
    return None


def body(
    request: SampleRequest,
    admitted: Admitted | None,
    model: str,
    server: Server,
    endpoint: Endpoint,
    logprobs: bool,
    switches: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The JSON body of a request. `switches` are those of the server's own chat template."""
    p = request.params
    limit = p.max_tokens if admitted is None else admitted.limit
    sent: dict[str, Any] = {"model": model, "temperature": p.temperature, "top_p": p.top_p, "n": 1}
    sent["seed"] = request.seed % 2**63
    if p.stop:
        sent["stop"] = [encodable(s) for s in p.stop]
    if endpoint == "chat":
        sent["messages"] = [{"role": role, "content": encodable(content)} for role, content in request.messages]
        sent["max_tokens" if server == "vllm" else "max_completion_tokens"] = limit
        sent |= {"logprobs": True} if logprobs else {}
        sent |= {"chat_template_kwargs": dict(switches)} if switches else {}
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


def top_of(request: SampleRequest, server: Server) -> int:
    """Likeliest tokens to ask for at every place; 0 for the given token alone."""
    return min(request.entropy_top, MOST_TOP[server])


def scoring_body(request: SampleRequest, prompt: Sequence[int], model: str, server: Server) -> dict[str, Any]:
    """The JSON body that has given tokens scored, as the end of a prompt.

    vLLM's server tells `prompt_logprobs`; others echo the prompt with its log probabilities, by the older protocol of
    completions. One token is sampled in any case, and dropped: not every server takes 0.
    """
    top = top_of(request, server)
    sent: dict[str, Any] = {"model": model, "temperature": 0.0, "n": 1, "max_tokens": 1}
    sent["prompt"] = [*prompt, *(request.score or ())]
    if server == "vllm":
        return sent | {"prompt_logprobs": top, "add_special_tokens": False}
    return sent | {"echo": True, "logprobs": top}
