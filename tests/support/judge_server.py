"""A chat server that judges by a script, for whole runs."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Judging:
    """A chat server that judges: `script(prompt, number of the request)` is what it writes."""

    def __init__(self, script: Callable[[str, int], str]) -> None:
        self.seen: list[str] = []
        lock, server = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                prompt = body["messages"][-1]["content"]
                with lock:
                    number = len(server.seen)
                    server.seen.append(prompt)
                message = {"content": script(prompt, number)}
                raw = json.dumps(
                    {
                        "choices": [{"message": message, "finish_reason": "stop"}],
                        "usage": {"prompt_tokens": 9, "completion_tokens": 9},
                    }
                ).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, format: str, *args: Any) -> None:
                return

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def between(prompt: str, tag: str) -> str:
    found = re.search(rf'<{tag} id="(\w+)">\n(.*?)\n</{tag} id="\1">', prompt, re.DOTALL)
    assert found is not None, prompt
    return found.group(2)
