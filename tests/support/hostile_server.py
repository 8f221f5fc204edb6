"""A real HTTP server that behaves in one way to every prompt, or to one prompt among good ones.

`BEHAVIOURS` is the list that docs/faults.md tables: what the server does, and what a run against it ends in.
"""

from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MARK = "zebra"
"""Stands in the prompt that meets the behaviour, where others do not."""
GOOD = "It is \\boxed{2}."
Body = Mapping[str, Any]
Ask = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """What is sent: a status with a body, or, with `how`, something that is no answer."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    how: str = ""


def completion(**fields: Any) -> Reply:
    """A good chat completion, of which some fields are others; a field of None is left out."""
    choice: dict[str, Any] = {"finish_reason": "stop", "message": {"role": "assistant", "content": GOOD}}
    found: dict[str, Any] = {"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 6}}
    for name, value in fields.items():
        where = found if name in ("choices", "usage", "error") else choice
        where[name] = value
    return Reply(body=json.dumps(found).encode())


def message(**fields: Any) -> Reply:
    return completion(message={"role": "assistant", "content": GOOD, **fields})


def error(status: int, words: str = "out of order", **headers: str) -> Reply:
    return Reply(status, json.dumps({"error": {"message": words}}).encode(), headers)


def refuses(name: str) -> Callable[[Ask], Reply]:
    return lambda asked: error(400, f"Unsupported parameter: '{name}'") if name in asked else completion()


def always(reply: Reply) -> Callable[[Ask], Reply]:
    return lambda asked: reply


@dataclass(frozen=True)
class Behaviour:
    """One way to answer, and what it ends in.

    Attributes:
        says: what the server does, for a reader.
        ends: finish_reason of the rollouts that met it, among others that were answered.
        alone: exit code where every prompt meets it.
        note: what telemetry tells of the rollouts that met it.
        text: what their completion is, if it is not empty and not `GOOD`.
        options: of the policy, besides those of the test.
    """

    says: str
    answer: Callable[[Ask], Reply]
    ends: str = "failed"
    alone: int = 3
    note: str = ""
    text: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


def _answered(says: str, answer: Callable[[Ask], Reply], note: str = "", text: str = "", **options: Any) -> Behaviour:
    return Behaviour(says, answer, "stop", 0, note, text, options)


def _refused(says: str, answer: Callable[[Ask], Reply], text: str = "") -> Behaviour:
    return Behaviour(says, answer, "refused", 3, text=text)


def _broken(says: str, how: str, **options: Any) -> Behaviour:
    return Behaviour(says, always(Reply(how=how)), options=options)


THOUGHT = f"<think>\n1 + 1\n</think>\n\n{GOOD}"
APART = "its thought came apart from its answer, and was put together with it"
BEHAVIOURS: dict[str, Behaviour] = {
    "400 for the request": _refused("400 for a parameter that decides", always(error(400, "no such model option"))),
    "400 for the seed": _answered("400 for `seed`", refuses("seed"), "seed was not sent"),
    "400 for logprobs": _answered("400 for `logprobs`", refuses("logprobs"), "logprobs was not sent", logprobs=True),
    "400 for top_p": _answered("400 for `top_p`, which is 1", refuses("top_p"), "top_p was not sent"),
    "wants max_tokens": _answered(
        "400 for `max_completion_tokens`",
        refuses("max_completion_tokens"),
        "max_tokens was sent in place of max_completion_tokens",
    ),
    "wants max_completion_tokens": _answered(
        "400 for `max_tokens`", refuses("max_tokens"),
        "max_completion_tokens was sent in place of max_tokens", server="vllm",
    ),
    "413": _refused("413", always(error(413, "too large"))),
    "422": _refused("422 for a field that decides", always(Reply(422, b'{"detail": [{"loc": ["body", "messages"]}]}'))),
    "401": Behaviour("401", always(error(401))),
    "402": Behaviour("402", always(error(402))),
    "403": Behaviour("403", always(error(403))),
    "404": Behaviour("404", always(error(404))),
    "405": Behaviour("405", always(error(405))),
    "410": Behaviour("410", always(error(410))),
    "redirect": Behaviour("a redirect", always(Reply(302, b"", {"Location": "http://127.0.0.1:9/v1"}))),
    "429": Behaviour("429", always(error(429))),
    "429 with a pause": Behaviour("429 with Retry-After", always(error(429, "slow down", **{"Retry-After": "0.3"}))),
    "500": Behaviour("500", always(error(500))),
    "502 as HTML": Behaviour("502 with a page", always(Reply(502, b"<html>Bad Gateway</html>"))),
    "503": Behaviour("503", always(error(503))),
    "529": Behaviour("529", always(error(529))),
    "reset": _broken("a reset connection", "reset"),
    "closed": _broken("a connection that closes without a word", "close"),
    "half a body": _broken("half a body", "half"),
    "silence": _broken("no answer", "silence"),
    "drip": _broken("a byte now and then", "drip"),
    "endless": _broken("a body without end", "endless"),
    "compressed": Behaviour(
        "a compressed body", always(Reply(200, gzip.compress(completion().body), {"Content-Encoding": "gzip"}))
    ),
    "no body": Behaviour("200 with nothing", always(Reply())),
    "no JSON": Behaviour("200 with a page", always(Reply(200, b"<html>welcome</html>"))),
    "deep JSON": Behaviour("200 with JSON nested without end", always(Reply(200, b"[" * 100_000))),
    "a stream": Behaviour("200 with a stream of events", always(Reply(200, b'data: {"choices": []}\n\ndata: [DONE]'))),
    "an error as 200": Behaviour("200 with an error", always(Reply(200, b'{"error": {"message": "out of order"}}'))),
    "no choices": Behaviour("empty `choices`", always(completion(choices=[]))),
    "tool calls": Behaviour("`finish_reason: tool_calls`", always(completion(finish_reason="tool_calls"))),
    "no finish": Behaviour("`finish_reason: null`", always(completion(finish_reason=None))),
    "abort": Behaviour("`finish_reason: abort`", always(completion(finish_reason="abort"))),
    "a number for a text": Behaviour("a number in place of a text", always(message(content=3))),
    "negative counts": Behaviour("negative counts", always(completion(usage={"completion_tokens": -1}))),
    "content in parts": _answered("content in parts", always(message(content=[{"type": "text", "text": GOOD}]))),
    "parts of another kind": Behaviour(
        "content in parts that are no text", always(message(content=[{"type": "image_url", "image_url": {}}]))
    ),
    "nothing said": _answered("`content: null` and nothing else", always(message(content=None)), text="nothing"),
    "a refusal": _refused("a refusal in words", always(message(content=None, refusal="I will not.")), "I will not."),
    "content filter": _refused(
        "`finish_reason: content_filter`",
        always(completion(finish_reason="content_filter", message={"role": "assistant", "content": "It"})), "It",
    ),
    "reasoning_content": _answered(
        "a thought in `reasoning_content`", always(message(reasoning_content="1 + 1")), APART, THOUGHT
    ),
    "reasoning": _answered("a thought in `reasoning`", always(message(reasoning="1 + 1")), APART, THOUGHT),
    "all reasoning": _answered(
        "the whole reply in `reasoning`, `content: null`", always(message(content=None, reasoning=GOOD)),
        "its server took a whole reply for a thought",
    ),
    "no usage": _answered("no `usage`", always(completion(usage=None))),
    "too many tokens": _answered(
        "more tokens than were asked for", always(completion(usage={"completion_tokens": 900})),
        "the server ignores the token limit",
    ),
    "half a surrogate": _answered(
        "half a surrogate pair", always(message(content=f"\ud800 {GOOD}")), text=f"\ufffd {GOOD}"
    ),
}  # fmt: skip


class HostileServer:
    """Serves chat completions on a port of its own until it is closed.

    Args:
        marked: only prompts that hold `MARK` meet the behaviour; False is all of them.
    """

    def __init__(self, behaviour: Behaviour, *, marked: bool) -> None:
        self.behaviour: Behaviour | None = behaviour
        self.asked = 0
        server, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    server.asked += 1
                meets = not marked or MARK in asked["messages"][-1]["content"]
                _send(self, server.behaviour.answer(asked) if server.behaviour and meets else completion())

            def log_message(self, format: str, *args: object) -> None:
                return

        class Quiet(ThreadingHTTPServer):
            request_queue_size = 256

            def handle_error(self, request: Any, client_address: Any) -> None:
                return  # a client that went away is part of the test

        self._http = Quiet(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def mend(self) -> None:
        """From here on every prompt is answered."""
        self.behaviour = None

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def _send(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    how, good = reply.how, completion().body
    if how in ("reset", "close", "silence"):
        handler.close_connection = True
        if how == "silence":
            time.sleep(3)
        elif how == "reset":
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()
        return
    length = len(good) if how in ("half", "drip") else 1 << 40 if how == "endless" else len(reply.body)
    handler.send_response(reply.status)
    for name, value in {"Content-Type": "application/json", "Content-Length": str(length), **reply.headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    if how == "drip":
        for i in range(30):
            handler.wfile.write(good[i : i + 1])
            handler.wfile.flush()
            time.sleep(0.1)
    else:
        handler.wfile.write(good[: len(good) // 2] if how == "half" else reply.body)
    handler.close_connection = bool(how)
