"""A server for tests: answers /health and completions as vLLM's does, and misbehaves as its environment says.

FAKE_READY_S: seconds until it listens (`never` for never); FAKE_DIES: file whose lines are counted, one a life: lives
before the number in FAKE_LIVES end at once; FAKE_STUBBORN: SIGTERM is ignored; a completion whose seed is FAKE_POISON
kills it; one with `max_tokens` 999 never ends; a grandchild's process id is written to the file FAKE_CHILD.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(200, b"")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body.get("seed") == int(os.environ.get("FAKE_POISON", -1)):
            print("what a request", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        if body["max_tokens"] == 999:
            time.sleep(600)
        print(f"asked for {body['model']}", flush=True)
        tokens = {"token_ids": [40, 2], "logprobs": {"token_logprobs": [-0.1, -0.2]}}
        found = {"choices": [{"finish_reason": "stop", "text": "x", **tokens}]}
        found["usage"] = {"prompt_tokens": 3, "completion_tokens": 2}  # type: ignore[assignment]
        self._answer(200, json.dumps(found).encode())

    def _answer(self, status: int, raw: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:
        return


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_known_args()[0].port
    print(f"hello from life {os.getpid()}, the key is {os.environ.get('MY_API_KEY')}", flush=True)
    if "FAKE_STUBBORN" in os.environ:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "FAKE_CHILD" in os.environ:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(os.environ["FAKE_CHILD"]).write_text(str(child.pid))
    if "FAKE_DIES" in os.environ:
        lives = Path(os.environ["FAKE_DIES"])
        with lives.open("a") as file:
            file.write("x\n")
        if len(lives.read_text().split()) in map(int, os.environ["FAKE_LIVES"].split(",")):
            print("\n".join(f"line {i}" for i in range(40)), flush=True)
            sys.exit(7)
    wait = os.environ.get("FAKE_READY_S", "0")
    time.sleep(600 if wait == "never" else float(wait))
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
