"""The options of the `openai` backend: where the servers are, what they are sent, and how patient we are with them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from synthflow.backends.openai import protocol as wire
from synthflow.backends.openai.dialect import OTHER_NAME, SENDABLE
from synthflow.backends.openai.message import THINKING, Markers
from synthflow.backends.openai.serve import ServeOptions
from synthflow.backends.template_options import TemplateOptions


class OpenAIOptions(TemplateOptions):
    """Options of the openai backend."""

    base_url: tuple[str, ...] = Field(
        (), description="where the server is, such as http://host:8000/v1; one or several"
    )
    serve: ServeOptions | None = Field(None, description="instead of base_url: start vLLM's server, and watch it")
    endpoint: wire.Endpoint | None = Field(
        None, description="completions (prompts as token ids) or chat; default: completions if the tokenizer is here"
    )
    server: wire.Server | None = Field(
        None, description="vllm: the server takes vLLM's extra parameters; default: vllm for completions, else openai"
    )
    weights: str | None = Field(None, description="demo, a directory or a hub name: the local copy of what is served")
    served_name: str | None = Field(None, description="the model's name at the server; default: the policy's model")
    revision: str = Field("unstated", description="revision of a model that nobody has a copy of")
    api_key_env: str | None = Field(None, description="environment variable that holds the key")
    logprobs: bool | None = Field(None, description="ask for log probabilities; default: if server is vllm")
    send: dict[str, bool] = Field(
        default_factory=dict,
        description="parameters to send in any case (true) or to leave out (false), such as {seed: false, max_tokens: "
        "true}; default: all, and what the server refuses is left out where that changes nothing of what is sampled",
    )
    thinking: Markers = Field(THINKING, description="what to put around a thought that a server sends apart")
    timeout_s: float = Field(600.0, gt=0, description="seconds that a whole answer may take, in one try")
    max_concurrency: int = Field(64, ge=1, description="most requests open at one server")
    retries: int = Field(6, ge=0, le=100, description="tries after the first")
    patience_s: float = Field(60.0, ge=0, description="seconds that every server may fail before requests give up")

    @field_validator("base_url", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("send")
    @classmethod
    def _known_parameters(cls, value: dict[str, bool]) -> dict[str, bool]:
        for name in value:
            if name not in SENDABLE:
                raise ValueError(f"{name!r} can be neither sent nor left out; known: {', '.join(SENDABLE)}")
        if all(value.get(name) is False for name in OTHER_NAME):
            raise ValueError(f"the token limit must be sent, as {' or '.join(OTHER_NAME)}")
        return value

    @field_validator("base_url")
    @classmethod
    def _urls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for url in value:
            if any(mark in url for mark in "@?#"):  # what follows or precedes may be secret: none of it is shown
                raise ValueError(
                    "an address holds a user, a password or a query; write it as http://host:8000/v1, put the key into "
                    "an environment variable and name that in api_key_env"
                )
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError(f"{url!r} is no http(s) address; write it as http://host:8000/v1")
        return tuple(url.rstrip("/") for url in value)

    @model_validator(mode="after")
    def _served_somewhere(self) -> OpenAIOptions:
        if bool(self.base_url) == (self.serve is not None):
            raise ValueError(
                "give either base_url, the address of a server that runs, or serve, to start one (serve: {} will do)"
                + ("; not both" if self.base_url else "")
            )
        return self
