"""One try over HTTP: a body goes out, and a whole answer comes back in time or not at all.

Invariants: a try ends within its time limit, however slowly bytes arrive, and holds no more bytes than its size limit,
whatever the server sends: no redirect is followed (it would carry the prompt, and perhaps the key, to another
host), no compressed body is opened. An answer that came whole is given back, also if the time ends at that moment. The
key is in no message.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from synthflow.backends.openai.rate_limit import retry_after

if TYPE_CHECKING:
    import aiohttp

WORDS = 300
"""Characters of a server's message that are kept."""
_ERROR_BYTES, _ERROR_S = 1 << 16, 5.0
"""How much of an error's body is read, and for how long: its status is what counts."""
_CONNECT_S = 10.0
_IDLE_S = 3.0
"""Less than the five seconds after which uvicorn, and so vLLM, closes an idle connection under a new request."""


class NoAnswer(Exception):
    """The try brought no whole answer; the message says why."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A status with its body (cut short where it is an error's).

    `asked` is the pause in seconds that the server asks for; `words` are an error's, on one line.
    """

    status: int
    body: bytes
    asked: float | None = None
    words: str = ""


def trimmed(text: str) -> str:
    """A server's words on one line, cut to `WORDS` characters."""
    line = " ".join(text[: 100 * WORDS].split())
    return line if len(line) <= WORDS else line[: WORDS - 1] + "…"


class Client:
    """Connections to any number of servers; opened and used on one event loop.

    Args:
        key: sent as a bearer token.
        timeout_s: seconds that a whole answer may take.
    """

    def __init__(self, key: str | None, timeout_s: float) -> None:
        import aiohttp

        self._key, self._timeout_s = key, timeout_s
        headers = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        self._http = aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_S),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=min(_CONNECT_S, timeout_s)),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    async def post(self, url: str, body: bytes, most_bytes: int) -> Reply:
        """Send a JSON body; the reply holds at most `most_bytes`.

        Raises:
            NoAnswer: if the connection fails, the time ends, or the answer is too long or compressed.
        """
        import aiohttp

        reply: Reply | None = None
        try:
            async with asyncio.timeout(self._timeout_s):
                async with self._http.post(url, data=body, allow_redirects=False, proxy=_proxy(url)) as response:
                    reply = await self._read(response, most_bytes)
        except (aiohttp.ClientError, OSError) as error:  # refused, reset, broken off in the middle of a body
            why = f"{type(error).__name__} {self.clean(str(error))}".rstrip()
            if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientError):
                why = f"no whole answer in {self._timeout_s:g} s"
        if reply is None:
            raise NoAnswer(why)  # outside of the except: the error's cause holds the request with its headers
        return reply

    async def _read(self, response: aiohttp.ClientResponse, most_bytes: int) -> Reply:
        import aiohttp

        status = response.status
        if status == 200:
            return Reply(status, await _bounded(response, most_bytes))
        body = b""
        with suppress(TimeoutError, NoAnswer, aiohttp.ClientError):
            async with asyncio.timeout(_ERROR_S):
                body = await _bounded(response, _ERROR_BYTES)
        words = _message(body)
        if 300 <= status < 400:
            words = f"a redirect to {_host(response.headers.get('location', ''))}; it is not followed"
        return Reply(status, body, retry_after(response.headers.get("retry-after")), self.clean(words))

    def clean(self, text: str) -> str:
        """The text on one line, cut short, without the key."""
        return trimmed(text.replace(self._key, "***") if self._key else text)

    async def close(self) -> None:
        await self._http.close()


async def _bounded(response: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise NoAnswer(f"a body in content-encoding {trimmed(coding)}, which was not asked for")
    too_long = NoAnswer(f"a body of more than {most_bytes:,} bytes")
    length = response.headers.get("content-length", "")
    if length.isdecimal() and len(length) < 20 and int(length) > most_bytes:
        raise too_long
    parts = bytearray()
    async for part in response.content.iter_any():
        parts += part
        if len(parts) > most_bytes:
            raise too_long
    return bytes(parts)


@cache
def _proxy(url: str) -> str | None:
    """The proxy that the environment names for an address (HTTPS_PROXY, HTTP_PROXY, NO_PROXY), as other tools do."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


def _host(location: str) -> str:
    """Scheme, host and path of an address: not a password or a query, which may be secret."""
    try:
        parts = urlsplit(location)
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        return "an address that is none"
    host = f"{parts.scheme}://{parts.hostname}{port}" if parts.hostname else ""
    return host + parts.path or "nowhere"


def _message(body: bytes) -> str:
    """The message inside an error body, or the body itself."""
    text = body.decode("utf-8", "replace")
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return text
    for name in ("error", "message", "detail"):
        if isinstance(found, dict) and found.get(name):
            found = found[name]
    return found if isinstance(found, str) else text
