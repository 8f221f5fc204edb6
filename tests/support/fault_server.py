"""A real HTTP server, in a process of its own, that misbehaves at set rates until it is told to stop.

It speaks the OpenAI protocol's two endpoints on several ports. Which request meets which fault is drawn from a seed.
`POST /control` changes the rates; `GET /counts` tells, for every request seed, how many answers were sent whole. An
answer's text names its request, so that none can be taken for another's.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

FAULTS = ("429", "500", "503", "hang", "half", "wrong", "drip", "reset")
SPOILT: Sequence[bytes] = (
    b"",
    b"<html><body>Bad gateway</body></html>",
    b"{}",
    b'{"choices": []}',
    b"[" * 100_000,
    b'{"choices": [{"text": "\xff\xfe", "finish_reason": "stop"}]}',
    b'{"choices": [{"text": 3, "message": {"content": 3}, "finish_reason": "stop"}]}',
    b'{"choices": [{"text": "x", "message": {"content": "x"}, "finish_reason": "error"}]}',
    b'{"choices": [{"text": "x", "message": {"content": "x"}, "finish_reason": "stop", "token_ids": [true]}]}',
    b'{"choices": [{"text": "x", "message": {"content": "x"}, "finish_reason": "stop"}], '
    b'"usage": {"completion_tokens": -1}}',
)
"""Bodies of a 200 that are no completion."""


def text_of(seed: int) -> str:
    """What the server answers to the request with this seed."""
    return f"the answer to {seed}"


class _Server:
    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config: dict[str, Any] = {"rates": {}, "latency_s": 0.01, "retry_after": "0.05", **config}
        self.random = random.Random(self.config.get("seed", 0))
        self.asked: Counter[int] = Counter()
        self.whole: Counter[int] = Counter()
        self.faults: Counter[str] = Counter()
        self.keys: Counter[str] = Counter()

    def draw(self) -> str | None:
        at, names = self.random.random(), FAULTS
        for name in names:
            at -= self.config["rates"].get(name, 0.0)
            if at < 0:
                return name
        return None

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self.exchange(reader, writer):
                pass
        writer.close()

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection may be used again."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        _, path, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if path == "/control":
            self.config.update(json.loads(body))
            return await self.send(writer, 200, b"{}")
        if path == "/counts":
            counts = {"asked": self.asked, "whole": self.whole, "faults": self.faults, "keys": self.keys}
            return await self.send(writer, 200, json.dumps(counts).encode())
        self.keys[headers.get("authorization", "")] += 1
        sent = json.loads(body)
        self.asked[sent["seed"]] += 1
        fault = self.draw()
        self.faults[fault or "none"] += 1
        return await self.answer(reader, writer, sent, fault)

    async def answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: Mapping[str, Any], fault: str | None
    ) -> bool:
        good = completion(sent)
        if fault == "reset" and self.random.random() < 0.5:
            return reset(writer)
        if fault == "429":
            asked = self.config["retry_after"]
            return await self.send(writer, 429, b'{"error": {"message": "slow down"}}', **{"Retry-After": asked})
        if fault in ("500", "503"):
            return await self.send(writer, int(fault), b'{"error": {"message": "it broke"}}')
        if fault == "hang":
            await reader.read()  # until the client goes
            return False
        await asyncio.sleep(self.config["latency_s"])
        if fault == "wrong":
            return await self.send(writer, 200, self.random.choice(SPOILT))
        if fault == "half":
            await self.send(writer, 200, good[: self.random.randrange(len(good))], length=len(good))
            return False
        if fault == "reset":
            await self.send(writer, 200, good[: len(good) // 2], length=len(good))
            return reset(writer)
        if fault == "drip":
            await self.send(writer, 200, good[:1], length=len(good))
            for i in range(1, len(good)):
                await asyncio.sleep(0.1)
                writer.write(good[i : i + 1])
                await writer.drain()
            return False
        if reader.at_eof():  # the client has gone already
            return False
        await self.send(writer, 200, good)
        self.whole[sent["seed"]] += 1
        return True

    async def send(
        self, writer: asyncio.StreamWriter, status: int, body: bytes, length: int | None = None, **headers: str
    ) -> bool:
        lines = [f"HTTP/1.1 {status} it is so", "Content-Type: application/json"]
        lines += [f"Content-Length: {len(body) if length is None else length}"]
        lines += [f"{name}: {value}" for name, value in headers.items() if value]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()
        return True


def completion(sent: Mapping[str, Any]) -> bytes:
    text = text_of(sent["seed"])
    choice = {"message": {"role": "assistant", "content": text}} if "messages" in sent else {"text": text}
    usage = {"prompt_tokens": 3, "completion_tokens": 4}
    return json.dumps({"choices": [{"finish_reason": "stop", **choice}], "usage": usage}).encode()


def reset(writer: asyncio.StreamWriter) -> bool:
    """Close with RST in place of FIN, as a crashed process or a firewall does."""
    handle = writer.get_extra_info("socket")
    handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


async def _serve(config: Mapping[str, Any], ports: int) -> None:
    server = _Server(config)
    found = [await asyncio.start_server(server.connected, "127.0.0.1", 0, backlog=1024) for _ in range(ports)]
    print(json.dumps([s.sockets[0].getsockname()[1] for s in found]), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until the parent goes


class FaultServer:
    """Starts the server; a context manager that ends it."""

    def __init__(self, ports: int = 1, **config: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(config), str(ports)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.urls = [f"http://127.0.0.1:{port}/v1" for port in json.loads(self._process.stdout.readline())]

    def control(self, **config: Any) -> None:
        """Change rates, latency or Retry-After from here on; `rates={}` ends every fault."""
        self._call("/control", json.dumps(config).encode())

    def counts(self) -> dict[str, Counter[str]]:
        """Requests asked and whole answers by seed, faults by kind, values of the authorization header."""
        return {name: Counter(found) for name, found in self._call("/counts").items()}

    def _call(self, path: str, body: bytes | None = None) -> dict[str, Any]:
        with urllib.request.urlopen(self.urls[0].removesuffix("/v1") + path, body, timeout=30) as reply:
            found: dict[str, Any] = json.load(reply)
        return found

    def __enter__(self) -> FaultServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


if __name__ == "__main__":
    asyncio.run(_serve(json.loads(sys.argv[1]), int(sys.argv[2])))
