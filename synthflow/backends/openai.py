"""Any server that speaks the OpenAI protocol: vLLM's, a gateway, a provider.

Invariant: a request ends in the server's answer, in a refusal with the server's words (400, 413, 422), or, after
all retries, in an `InfrastructureError` with its last words. With a tokenizer at hand prompts travel as token ids,
so a prefix is never tokenised anew. The key is read from the environment and appears nowhere.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from concurrent.futures import Future
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from synthflow import ids
from synthflow.backends import models, wire
from synthflow.backends.aio import LoopThread
from synthflow.backends.local import Admitted, admit, done, refusal
from synthflow.backends.pace import Pace, pause, retry_after
from synthflow.backends.renderer import Renderer
from synthflow.backends.serve import ServeOptions, Servers
from synthflow.contracts import Backend, PolicyConfig, PolicyIdentity, SampleRequest, SampleResult
from synthflow.errors import InfrastructureError, UserError

if TYPE_CHECKING:
    import httpx

REFUSED = frozenset([400, 413, 422])
HOPELESS = frozenset([401, 403, 404, 405])
"""Statuses that no second try changes: a wrong key, address or model name."""


class OpenAIOptions(BaseModel):
    """Options of the openai backend."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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
    timeout_s: float = Field(600.0, gt=0, description="seconds an answer may take")
    max_concurrency: int = Field(64, ge=1, description="most requests open at one server")
    retries: int = Field(6, ge=0, le=100, description="tries after the first")

    @field_validator("base_url", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("base_url")
    @classmethod
    def _urls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for url in value:
            if not url.startswith(("http://", "https://")):
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


def _local_copy(policy: PolicyConfig, options: OpenAIOptions) -> Path | None:
    if options.weights is not None or options.serve is not None:
        return models.resolve_model(options.weights or policy.model)
    try:
        return models.resolve_model(policy.model)
    except UserError:  # served elsewhere: nobody promised a copy
        return None


class OpenAIBackend(Backend):
    """Samples from OpenAI-compatible servers; registered as `openai`."""

    name = "openai"
    Options = OpenAIOptions

    def __init__(self, policy: PolicyConfig) -> None:
        super().__init__(policy)
        o = self.options
        self.max_in_flight = o.max_concurrency * (len(o.base_url) if o.serve is None else o.serve.servers)
        self._servers: Servers | None = None
        self._loop: LoopThread | None = None
        self._client: httpx.AsyncClient | None = None
        self._paces: list[Pace] = []
        self._key: str | None = None
        self._counts = {"finished": 0.0, "retries": 0.0, "tokens": 0.0}

    @staticmethod
    def tokenizer_directory(policy: PolicyConfig) -> Path | None:
        """Where this policy's tokenizer is; None if prompts go out as messages."""
        options = OpenAIOptions.model_validate(policy.options)
        copy = None if options.endpoint == "chat" else _local_copy(policy, options)
        if copy is None and options.endpoint == "completions":
            raise UserError(
                f"endpoint: completions needs the tokenizer of {policy.model!r}; name a local copy with weights: PATH, "
                "or use endpoint: chat"
            )
        return copy

    @cached_property
    def _renderer(self) -> Renderer | None:
        directory = self.tokenizer_directory(self.policy)
        return None if directory is None else Renderer.load(directory)

    @cached_property
    def _endpoint(self) -> wire.Endpoint:
        chosen: wire.Endpoint | None = self.options.endpoint
        return chosen or ("chat" if self._renderer is None else "completions")

    @cached_property
    def _server(self) -> wire.Server:
        chosen: wire.Server | None = self.options.server
        ours = self.options.serve is not None
        return chosen or ("vllm" if ours or self._endpoint == "completions" else "openai")

    def identity(self) -> PolicyIdentity:
        """Of the local copy where there is one; else what the spec declares, which nobody can check."""
        copy = _local_copy(self.policy, self.options)
        if copy is not None:
            return models.identify(copy)
        declared = f"declared:{self.policy.model}@{self.options.revision}"
        return PolicyIdentity(
            ids.policy_id(declared, declared, declared), declared, declared, declared, {"declared": True}
        )

    def gpus_per_engine(self) -> int:
        """What servers of our own take."""
        return 0 if self.options.serve is None else int(self.options.serve.gpus())

    def start(self) -> None:
        """Open the client; asks a server that runs already nothing. Servers of our own are started and waited for.

        Raises:
            UserError: if httpx or vLLM is not installed, the key's variable is not set, a tokenizer is not found, or
                a port is taken.
            InfrastructureError: if a server of our own does not come up.
        """
        try:
            import httpx  # noqa: F401
        except ModuleNotFoundError as error:
            raise UserError("backend 'openai' needs the package 'httpx'; install synthflow[openai]") from error
        variable = self.options.api_key_env
        if variable is not None:
            self._key = os.environ.get(variable)
            if not self._key:
                raise UserError(f"api_key_env: the environment variable {variable} is not set; export the key in it")
        self._endpoint  # noqa: B018 - a missing tokenizer is a user's mistake: say so first
        if self.options.serve is not None:
            self._serve(self.options.serve)
        self._loop = LoopThread("the openai client's loop")
        self._loop.call(self._open())

    def _serve(self, options: ServeOptions) -> None:
        directory = _local_copy(self.policy, self.options)
        assert directory is not None
        context = Renderer.load(directory).max_context
        name = self.options.served_name or self.policy.model
        self._servers = Servers(options, directory, context, name, self.options.api_key_env, self.logs)
        self._servers.start()

    async def _open(self) -> None:
        import httpx

        o = self.options
        headers = {} if self._key is None else {"Authorization": f"Bearer {self._key}"}
        self._client = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(o.timeout_s, connect=min(10.0, o.timeout_s)),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
        )
        urls = o.base_url if self._servers is None else self._servers.urls
        self._paces = [Pace(url, o.max_concurrency) for url in urls]

    def submit(self, request: SampleRequest) -> Future[SampleResult]:
        if self._loop is None:
            raise InfrastructureError("the openai backend is not started")
        why = wire.unsupported(request, self._server, self._endpoint)
        if why is not None:
            return done(refusal(request, why))
        admitted: Admitted | None = None
        if self._renderer is not None:
            checked = admit(request, self._renderer, self._renderer.max_context, 1 << 30)
            if isinstance(checked, SampleResult):
                return done(checked)
            admitted = checked
        return self._loop.submit(self._sample(request, admitted))

    async def _sample(self, request: SampleRequest, admitted: Admitted | None) -> SampleResult:
        logprobs = self._server == "vllm" if self.options.logprobs is None else self.options.logprobs
        model = self.options.served_name or self.policy.model
        sent = wire.body(request, admitted, model, self._server, self._endpoint, logprobs)
        words = ""
        for attempt in range(self.options.retries + 1):
            server = min(self._paces, key=lambda pace: pace.load)
            async with server as since:
                outcome = await self._ask(server, since, sent, request)
            if isinstance(outcome, SampleResult):
                self._counts["finished"] += 1
                self._counts["tokens"] += outcome.n_tokens
                return outcome
            words, asked = outcome
            if attempt < self.options.retries:
                self._counts["retries"] += 1
                await asyncio.sleep(pause(attempt, asked))
        raise InfrastructureError(f"no answer after {self.options.retries + 1} tries; the last: {words}")

    async def _ask(
        self, server: Pace, since: float, sent: dict[str, Any], request: SampleRequest
    ) -> SampleResult | tuple[str, float | None]:
        """One try: a result, or the server's words and the pause it asks for."""
        import httpx

        assert self._client is not None
        send = partial(self._client.post, f"{server.url}/{wire.PATHS[self._endpoint]}", json=sent)
        try:
            if self._servers is None:
                response = await send()
            else:
                response = await self._servers.exchange(server.url, send, lambda answer: answer.status_code)
        except httpx.TransportError as error:  # refused, timed out, broken off in the middle of a body
            server.overloaded(since)
            return f"{server.url}: {type(error).__name__} {self._clean(str(error))}".rstrip(), None
        status, words = response.status_code, self._clean(_words(response.text))
        if status in REFUSED:
            server.succeeded()
            return refusal(request, f"the server refuses ({status}): {words}")
        if status in HOPELESS:
            raise InfrastructureError(f"{server.url} answers {status}: {words}")
        if status != 200:
            server.overloaded(since)
            return f"{server.url} answers {status}: {words}", retry_after(response.headers.get("retry-after"))
        try:
            answer = json.loads(response.content)
            result = wire.parse(request, answer, self._endpoint, self._renderer, time.monotonic() - since)
        except (ValueError, wire.BadAnswer) as error:
            return f"{server.url} answers no completion ({error}): {words}", None
        server.succeeded()
        return result

    def _clean(self, text: str) -> str:
        return wire.trimmed(text.replace(self._key, "***") if self._key else text)

    def close(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.close(None if self._client is None else self._client.aclose())
            self._client = None
        servers, self._servers = self._servers, None
        if servers is not None:
            servers.close()

    def load(self) -> dict[str, float]:
        limit = sum(int(p.limit) for p in self._paces)
        return {**self._counts, "concurrency": float(limit), "open": float(sum(p.open for p in self._paces))}


def _words(text: str) -> str:
    """The message inside an error body, or the body itself."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    for name in ("error", "message", "detail"):
        if isinstance(found, dict) and found.get(name):
            found = found[name]
    return found if isinstance(found, str) else text
