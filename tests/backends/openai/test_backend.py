"""The openai backend against a real HTTP server that misbehaves on purpose."""

from __future__ import annotations

import json
import logging
import math
import re
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from synthflow.backends import load_renderer, open_backend
from synthflow.backends.openai import client, server_pool
from synthflow.backends.openai import rate_limit as pace
from synthflow.backends.openai.backend import OpenAIBackend
from synthflow.backends.renderer import PolicyRenderer
from synthflow.contracts import Backend, PolicyConfig, SampleRequest, SampleResult, SamplingParams
from synthflow.errors import InfrastructureError, Mistakes, UserError
from synthflow.models.directories import identify

Reply = tuple[int, dict[str, str], bytes]
TOKENS = [40, 41, 42, 2]


def completion(body: dict[str, Any], **choice: Any) -> Reply:
    tokens = {"token_ids": TOKENS, "logprobs": {"token_logprobs": [-0.1, -0.2, -0.3, -0.4]}}
    text = {"message": {"content": "chat"}} if "messages" in body else {"text": "server's own", **tokens}
    found = {"choices": [{"finish_reason": "stop", **text, **choice}]}
    return 200, {}, json.dumps({**found, "usage": {"prompt_tokens": 3, "completion_tokens": 4}}).encode()


def error(status: int, words: str, **headers: str) -> Reply:
    return status, headers, json.dumps({"error": {"message": words}}).encode()


class Server:
    """Answers by a script: `script(number of the request, its body)`; a reply of None breaks the connection."""

    def __init__(self, script: Callable[[int, dict[str, Any]], Reply | None]) -> None:
        self.seen: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.keys: list[str | None] = []
        self.open = self.most_open = 0
        lock, server = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    number = len(server.seen)
                    server.seen.append(body)
                    server.paths.append(self.path)
                    server.keys.append(self.headers.get("Authorization"))
                    server.open += 1
                    server.most_open = max(server.most_open, server.open)
                try:
                    reply = script(number, body)
                finally:
                    with lock:
                        server.open -= 1
                self._send(reply)

            def _send(self, reply: Reply | None) -> None:
                self.close_connection = reply is None
                if reply is None:  # half a body
                    self.send_response(200)
                    self.send_header("Content-Length", "1000")
                    self.end_headers()
                    self.wfile.write(b'{"choices": [')
                    return
                status, headers, raw = reply
                self.send_response(status)
                for name, value in {"Content-Length": str(len(raw)), **headers}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, format: str, *args: Any) -> None:
                return

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                return  # a client that went away is part of the test

        self._http = Quiet(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def make(script: Callable[[int, dict[str, Any]], Reply | None] = lambda n, b: completion(b)) -> Server:
        servers.append(Server(script))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "BASE_S", 0.01)


@pytest.fixture
def start(policy_dir: Path) -> Iterator[Callable[..., Backend]]:
    opened: list[Backend] = []

    def make(*servers: Server, model: str = "org/served", **options: Any) -> Backend:
        options = {"base_url": [s.url for s in servers], "weights": str(policy_dir), **options}
        backend = open_backend(PolicyConfig(backend="openai", model=model, options=options))
        backend.start()
        opened.append(backend)
        return backend

    yield make
    for backend in opened:
        backend.close()


def request(seed: int, prompt: tuple[int, ...] | None = (5, 6, 7), content: str = "Hi", **params: Any) -> SampleRequest:
    return SampleRequest(f"r_{seed}", "p_1", (("user", content),), prompt, SamplingParams(**params), seed)


def ask(backend: Backend, sent: SampleRequest) -> SampleResult:
    return backend.submit(sent).result(30)


def test_token_ids_travel_and_come_back(
    serve: Callable[..., Server], start: Callable[..., Backend], policy_dir: Path
) -> None:
    server = serve()
    result = ask(start(server), request(9, max_tokens=11, temperature=0.5, top_k=3, stop=("zzz",)))
    [sent] = server.seen
    assert server.paths == ["/v1/completions"]
    assert sent["prompt"] == [5, 6, 7] and sent["model"] == "org/served" and sent["return_token_ids"] is True
    assert (sent["max_tokens"], sent["temperature"], sent["top_k"], sent["seed"]) == (11, 0.5, 3, 9)
    assert sent["stop"] == ["zzz"] and sent["logprobs"] == 0
    assert result.token_ids == tuple(TOKENS) and result.logprobs == (-0.1, -0.2, -0.3, -0.4)
    assert result.text == PolicyRenderer.load(policy_dir).decode(TOKENS), "the text is ours, not the server's"
    assert (result.finish_reason, result.n_tokens, result.prompt_tokens) == ("stop", 4, 3)


def test_chat_sends_messages(serve: Callable[..., Server], start: Callable[..., Backend]) -> None:
    server = serve()
    backend = start(server, weights=None, server="openai")
    result = ask(backend, request(1, None, "a\ud800b"))
    [sent] = server.seen
    assert server.paths == ["/v1/chat/completions"]
    assert sent["messages"] == [{"role": "user", "content": "a�b"}]
    assert "top_k" not in sent and "return_token_ids" not in sent and sent["max_completion_tokens"] == 1024
    assert (result.text, result.token_ids, result.logprobs, result.n_tokens) == ("chat", None, None, 4)
    refused = ask(backend, request(1, None, top_k=5))
    assert refused.finish_reason == "refused" and "top_k" in (refused.reason or "")
    assert len(server.seen) == 1


def test_faults_are_retried(serve: Callable[..., Server], start: Callable[..., Backend]) -> None:
    faults: list[Reply | None] = [
        error(429, "slow down", Retry_After="0.05"), error(503, "busy"), None, (200, {}, b"<html>"), (200, {}, b"{}"),
        (200, {}, json.dumps({"choices": [{"text": "x", "finish_reason": "abort"}]}).encode()), error(500, "oops"),
    ]  # fmt: skip
    server = serve(lambda n, b: faults[n] if n < len(faults) else completion(b))
    backend = start(server, retries=8)
    assert ask(backend, request(1)).finish_reason == "stop"
    assert len(server.seen) == len(faults) + 1 and all(s == server.seen[0] for s in server.seen)
    assert backend.load()["retries"] == len(faults)


def test_a_server_s_refusal_is_recorded_with_its_words(
    serve: Callable[..., Server], start: Callable[..., Backend]
) -> None:
    server = serve(lambda n, b: error(400, "your prompt\n  is " + "too " * 300 + "long"))
    result = ask(start(server), request(1))
    assert result.finish_reason == "refused" and result.reason is not None
    assert "(400): your prompt is too too" in result.reason and len(result.reason) < 400
    assert len(server.seen) == 1


def test_the_last_words_are_kept_when_retries_run_out(
    serve: Callable[..., Server], start: Callable[..., Backend]
) -> None:
    server = serve(lambda n, b: error(503, f"try {n}"))
    with pytest.raises(InfrastructureError, match=r"after 3 tries.*503: try 2"):
        ask(start(server, retries=2), request(1))
    hopeless = serve(lambda n, b: error(404, "no such model"))
    with pytest.raises(InfrastructureError, match="404: no such model"):
        ask(start(hopeless), request(1))
    assert len(hopeless.seen) == 1


def test_a_silent_server_times_out(serve: Callable[..., Server], start: Callable[..., Backend]) -> None:
    def script(n: int, body: dict[str, Any]) -> Reply:
        if n == 0:
            time.sleep(1.5)
        return completion(body)

    assert ask(start(serve(script), timeout_s=0.4), request(1)).finish_reason == "stop"


def test_a_dead_server_s_work_goes_to_the_other(serve: Callable[..., Server], start: Callable[..., Backend]) -> None:
    dead, alive = serve(), serve()
    dead.stop()
    backend = start(dead, alive)
    futures = backend.submit_many([request(i) for i in range(40)])
    assert {f.result(30).finish_reason for f in futures} == {"stop"}
    assert len(alive.seen) == 40


def test_concurrency_adapts_to_what_the_server_takes(
    serve: Callable[..., Server], start: Callable[..., Backend]
) -> None:
    box: list[Server] = []

    opened: list[int] = []

    def script(n: int, body: dict[str, Any]) -> Reply:
        opened.append(box[0].open)
        time.sleep(0.01)
        return error(429, "full") if box[0].open > 4 else completion(body)

    box.append(serve(script))
    backend = start(box[0], max_concurrency=32, retries=30)
    futures = backend.submit_many([request(i) for i in range(150)])
    assert {f.result(60).finish_reason for f in futures} == {"stop"}
    assert box[0].most_open <= 32
    assert backend.load()["concurrency"] < 32
    assert statistics.median(opened) < 16 and statistics.median(opened[len(opened) // 2 :]) < 16, "not at one moment"
    easy = serve()
    backend = start(easy, max_concurrency=12)
    for f in backend.submit_many([request(i) for i in range(150)]):
        f.result(60)
    assert backend.load()["concurrency"] == 12, "grows back to the most when nothing is refused"
    assert easy.most_open <= 12


def test_the_key_is_sent_and_never_shown(
    serve: Callable[..., Server],
    start: Callable[..., Backend],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("MY_KEY", "sk-verysecret")
    server = serve(lambda n, b: error(401, "bad key sk-verysecret"))
    backend = start(server, api_key_env="MY_KEY")
    with pytest.raises(InfrastructureError, match=r"401: bad key \*\*\*"):
        ask(backend, request(1))
    assert server.keys == ["Bearer sk-verysecret"]
    assert "verysecret" not in caplog.text and "verysecret" not in repr(backend.options)
    monkeypatch.delenv("MY_KEY")
    with pytest.raises(UserError, match="MY_KEY is not set"):
        start(server, api_key_env="MY_KEY")


def test_what_does_not_fit_is_not_even_sent(serve: Callable[..., Server], start: Callable[..., Backend]) -> None:
    server = serve()
    backend = start(server)
    assert "too long: 300 tokens" in (ask(backend, request(1, tuple([9] * 300))).reason or "")
    ask(backend, request(1, tuple([9] * 250), max_tokens=100))
    assert [s["max_tokens"] for s in server.seen] == [6]


def test_identity_and_tokenizer(policy_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))

    def policy(model: str, **options: Any) -> PolicyConfig:
        return PolicyConfig(backend="openai", model=model, options={"base_url": "http://h/v1", **options})

    local = policy("org/x", weights=str(policy_dir))
    assert open_backend(local).identity() == identify(policy_dir)
    assert load_renderer(local) is not None and load_renderer(policy(str(policy_dir))) is not None
    far = policy("org/x", revision="v1")
    assert load_renderer(far) is None
    assert open_backend(far).identity().weights_hash == "declared:org/x@v1"
    assert open_backend(far).identity() != open_backend(policy("org/x", revision="v2")).identity()
    with pytest.raises(UserError, match="weights: PATH"):
        load_renderer(policy("org/x", endpoint="completions"))
    with pytest.raises(Mistakes, match="no http"):
        open_backend(policy("org/x", base_url=["h:8000"]))


def test_retry_after_in_all_its_forms() -> None:
    from email.utils import formatdate

    assert pace.retry_after(None) is None and pace.retry_after("soon") is None and pace.retry_after("nan") is None
    assert pace.retry_after("3") == 3 and pace.retry_after("-5") == 0 and pace.retry_after("1e9") == 120
    in_ten = pace.retry_after(formatdate(time.time() + 10, usegmt=True))
    assert in_ten is not None and 8 < in_ten <= 10
    assert all(pace.pause(5000) <= pace.CAP_S and pace.pause(9, 1.0) <= 1 for _ in range(20))


def test_closing_owes_what_is_open(serve: Callable[..., Server], start: Callable[..., Backend]) -> None:
    release = threading.Event()

    def script(n: int, body: dict[str, Any]) -> Reply:
        release.wait(10)
        return completion(body)

    backend = start(serve(script))
    futures = backend.submit_many([request(i) for i in range(20)])
    time.sleep(0.1)
    backend.close()
    release.set()
    assert {type(f.exception(10)) for f in futures} == {InfrastructureError}
    with pytest.raises(InfrastructureError):
        backend.submit(request(1))


def test_a_redirect_is_not_followed_and_the_key_stays(
    serve: Callable[..., Server], start: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-verysecret")
    other = serve()
    server = serve(lambda n, b: (307, {"Location": f"{other.url}/x?token=sk-verysecret&a=hidden"}, b""))
    with pytest.raises(InfrastructureError, match=r"answers 307: a redirect to http://127.*; it is not followed") as e:
        ask(start(server, api_key_env="MY_KEY"), request(1))
    assert "verysecret" not in repr(e.value) and "hidden" not in repr(e.value)
    assert len(server.seen) == 1 and not other.seen


@pytest.mark.parametrize(
    "url", ["http://me:verysecret@h/v1", "me:verysecret@h:8000", "https://h/v1?key=verysecret", "http://h/#verysecret"]
)
def test_an_address_holds_no_secret_and_none_is_shown(url: str) -> None:
    with pytest.raises(Mistakes, match="api_key_env") as e:
        open_backend(PolicyConfig(backend="openai", model="m", options={"base_url": [url]}))
    assert "verysecret" not in f"{e.value} {e.value!r} {e.value.__cause__}"


@pytest.mark.parametrize("key", ["sk-verysecret\n", "sk very secret", "sk-vérysecret"])
def test_a_key_that_no_header_takes_is_told_before_it_is_sent(
    key: str, serve: Callable[..., Server], start: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", key)
    with pytest.raises(UserError, match="MY_KEY holds a blank, a line break") as e:
        start(serve(), api_key_env="MY_KEY")
    assert "secret" not in str(e.value)


def test_a_wrong_key_costs_a_handful_of_requests(serve: Callable[..., Server], start: Callable[..., Backend]) -> None:
    server = serve(lambda n, b: error(401, "bad key"))
    asked = [replace(request(i), problem_id=f"p_{i}") for i in range(300)]
    errors = [f.exception(30) for f in start(server).submit_many(asked)]
    assert all(isinstance(e, InfrastructureError) and "401: bad key" in str(e) for e in errors)
    assert len(server.seen) < pace.FIRST_LIMIT + server_pool.TURNED_AWAY


def test_what_one_problem_is_turned_away_for_is_its_own_fault(
    serve: Callable[..., Server], start: Callable[..., Backend]
) -> None:
    """A gateway that answers 403 to one prompt does so before it has answered any other."""
    server = serve(lambda n, b: error(403, "no such words") if b["seed"] < 40 else completion(b))
    asked = [replace(request(i), problem_id=f"p_{i // 40}") for i in range(80)]
    futures = start(server).submit_many(asked)
    assert {str(f.exception(30)).partition(" answers ")[2] for f in futures[:40]} == {"403: no such words"}
    assert {f.result(30).finish_reason for f in futures[40:]} == {"stop"}


@pytest.mark.parametrize("dropped", ["seed", "logprobs", "top_p", "max_completion_tokens"])
def test_what_a_server_refuses_is_left_out_and_every_answer_says_so(
    dropped: str, serve: Callable[..., Server], start: Callable[..., Backend]
) -> None:
    def script(n: int, body: dict[str, Any]) -> Reply:
        time.sleep(0.01)
        return error(400, f"Unsupported parameter: '{dropped}'") if dropped in body else completion(body)

    server = serve(script)
    backend = start(server, weights=None, server="openai", logprobs=True)
    results = [f.result(30) for f in backend.submit_many([request(i, None) for i in range(40)])]
    assert {r.finish_reason for r in results} == {"stop"}
    other = "max_tokens was sent in place of max_completion_tokens"
    assert {r.notes for r in results} == {(other if dropped.startswith("max") else f"{dropped} was not sent",)}
    assert len(server.seen) <= 40 + pace.FIRST_LIMIT, "learned once"
    assert all("max_tokens" in s or "max_completion_tokens" in s for s in server.seen)


def test_a_parameter_is_not_left_out_for_a_refusal_of_something_else(
    serve: Callable[..., Server], start: Callable[..., Backend]
) -> None:
    server = serve(lambda n, b: error(400, "invalid: seed of evil") if n < 2 else completion(b))
    backend = start(server, weights=None, server="openai")
    assert ask(backend, request(1, None)).finish_reason == "refused"
    assert ask(backend, request(2, None)).notes == () and "seed" in server.seen[-1]


def test_what_is_sent_is_a_field(serve: Callable[..., Server], start: Callable[..., Backend]) -> None:
    server = serve()
    fields = {"seed": False, "max_tokens": True}
    backend = start(server, weights=None, server="openai", send=fields, enable_thinking=False)
    assert ask(backend, request(1, None)).notes == ("seed was not sent",)
    assert "seed" not in server.seen[0] and server.seen[0]["max_tokens"] == 1024
    assert "max_completion_tokens" not in server.seen[0]
    assert server.seen[0]["chat_template_kwargs"] == {"enable_thinking": False}
    cold = start(server, weights=None, server="openai", send={"temperature": False})
    assert "temperature, which is 0.5 here" in str(ask(cold, request(1, None, temperature=0.5)).reason)
    for wrong in ({"prompt": False}, {"max_tokens": False, "max_completion_tokens": False}):
        with pytest.raises(Mistakes):
            start(server, send=wrong)


def test_a_server_without_the_model_is_left_alone_while_another_answers(
    serve: Callable[..., Server], start: Callable[..., Backend]
) -> None:
    alive, lost = serve(), serve(lambda n, b: error(404, "no such model"))
    backend = start(alive, max_concurrency=1)
    ask(backend, request(0))
    backend = start(alive, lost, max_concurrency=2)
    assert ask(backend, request(1)).finish_reason == "stop", "the first server is asked first"
    futures = backend.submit_many([request(i) for i in range(40)])
    assert {f.result(30).finish_reason for f in futures} == {"stop"}
    assert len(lost.seen) <= 2


ENDLESS = b'{"choices": [{"text": "' + b"x" * (12 << 20)


@pytest.mark.parametrize("headers", [{}, {"Content_Encoding": "gzip"}])
def test_a_huge_or_compressed_body_is_not_read(
    headers: dict[str, str], serve: Callable[..., Server], start: Callable[..., Backend]
) -> None:
    server = serve(lambda n, b: (200, headers, ENDLESS) if n == 0 else completion(b))
    why = "content-encoding gzip" if headers else "a body of more than"
    with pytest.raises(InfrastructureError, match=why):
        ask(start(server, retries=0), request(1))
    assert ask(start(server), request(1)).finish_reason == "stop"


def test_an_error_s_status_counts_even_if_its_body_breaks_off(
    serve: Callable[..., Server], start: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_ERROR_S", 0.3)
    server = serve(lambda n, b: (413, {"Content-Length": "9999"}, b""))
    assert "refuses (413)" in (ask(start(server), request(1)).reason or "")
    deep = serve(lambda n, b: (400, {}, b"[" * 200_000))
    assert len(ask(start(deep), request(1)).reason or "") < 400


def scoring(prompt: tuple[int, ...], tokens: tuple[int, ...], top: int = 0) -> SampleRequest:
    params = SamplingParams(max_tokens=1)
    return SampleRequest("l_1", "p_1", (), prompt, params, 0, score=tokens, entropy_top=top)


def _vllm_scores(body: dict[str, Any]) -> Reply:
    """As vLLM's server answers `prompt_logprobs`: null, then for every token its own and those of its rivals."""
    places: list[Any] = [None]
    for token in body["prompt"][1:]:
        rivals = {str(300 + k): {"logprob": -2.0 - k, "rank": k + 1} for k in range(body["prompt_logprobs"])}
        places.append({str(token): {"logprob": -token / 100, "rank": 9, "decoded_token": "x"}, **rivals})
    found = {"choices": [{"finish_reason": "length", "text": "y", "prompt_logprobs": places}]}
    return 200, {}, json.dumps(found).encode()


def test_vllm_s_server_scores_given_tokens(serve: Callable[..., Server], start: Callable[..., Backend]) -> None:
    server = serve(lambda n, b: _vllm_scores(b))
    backend = start(server)
    plain = ask(backend, scoring((5, 6), (7, 40, 3)))
    assert plain.logprobs == (-0.07, -0.4, -0.03) and plain.entropies is None
    assert (plain.prompt_tokens, plain.n_tokens, plain.text) == (5, 0, "")
    sent = server.seen[0]
    assert sent["prompt"] == [5, 6, 7, 40, 3] and sent["prompt_logprobs"] == 0 and sent["max_tokens"] == 1
    rivals = ask(backend, scoring((5, 6), (7,), top=2))
    p = [math.exp(-0.07), math.exp(-2.0), math.exp(-3.0)]
    rest = max(1 - sum(p), 0)
    bound = -sum(x * math.log(x) for x in p) - (rest * math.log(rest) if rest else 0)
    assert rivals.entropies == pytest.approx((bound,)) and rivals.entropies_exact is False
    ask(backend, scoring((5, 6), (7,), top=1000))
    assert server.seen[2]["prompt_logprobs"] == 20, "vLLM's server tells no more, unless it was told to"


def test_a_server_that_echoes_scores_given_tokens(serve: Callable[..., Server], start: Callable[..., Backend]) -> None:
    def echo(n: int, body: dict[str, Any]) -> Reply:
        numbers = [None, *(-t / 100 for t in body["prompt"][1:]), -0.9]
        tops = [None, *({"a": -t / 100, "b": -4.0} for t in body["prompt"][1:]), {"c": -0.9}]
        return completion(body, text="echo", token_ids=None, logprobs={"token_logprobs": numbers, "top_logprobs": tops})

    server = serve(echo)
    told = ask(start(server, server="openai"), scoring((5, 6), (7, 40), top=20))
    assert told.logprobs == (-0.07, -0.4) and told.entropies_exact is False and len(told.entropies or ()) == 2
    assert (
        server.seen[0]["echo"] is True and server.seen[0]["logprobs"] == 5 and "prompt_logprobs" not in server.seen[0]
    )


def test_a_server_that_tells_no_scores_refuses(serve: Callable[..., Server], start: Callable[..., Backend]) -> None:
    server = serve()  # answers completions, and nothing of their prompts
    for told in ("vllm", "openai"):
        refused = ask(start(server, server=told), scoring((5, 6), (7, 8, 9)))
        assert refused.finish_reason == "refused" and "tells no log probabilities of a prompt" in str(refused.reason)
    chat = ask(start(server, endpoint="chat"), scoring((5, 6), (7,)))
    assert chat.finish_reason == "refused" and "use endpoint: completions" in str(chat.reason)
    assert len(server.seen) == 2, "what no chat can answer is not sent"
    long = serve(lambda n, b: error(400, "too many tokens"))
    assert ask(start(long), scoring((5,), (6,))).reason == "the server refuses (400): too many tokens"


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ({"8": {"logprob": -1}}, "does not tell of token 7"),
        ({"7": {"logprob": 0.5}}, "expected a number not above 0"),
        ({"7": {"logprob": "x"}}, "expected a number"),
        (None, "is null; expected an object"),
        (7, "is an integer; expected an object"),
    ],
)
def test_scores_that_cannot_be_true_are_asked_for_again(
    place: Any, why: str, serve: Callable[..., Server], start: Callable[..., Backend]
) -> None:
    def script(n: int, body: dict[str, Any]) -> Reply:
        if n:
            return _vllm_scores(body)
        choice = {"finish_reason": "length", "text": "y", "prompt_logprobs": [None, None, place]}
        return 200, {}, json.dumps({"choices": [choice]}).encode()

    server = serve(script)
    assert ask(start(server), scoring((5, 6), (7,))).logprobs == (-0.07,)
    assert len(server.seen) == 2
    with pytest.raises(InfrastructureError, match=re.escape(why)):
        ask(start(serve(lambda n, b: script(0, b)), retries=1), scoring((5, 6), (7,)))


def test_numbers_that_json_has_not_are_the_model_s(serve: Callable[..., Server], start: Callable[..., Backend]) -> None:
    places = b'{"choices": [{"prompt_logprobs": [null, {"7": {"logprob": NaN}}, {"8": {"logprob": -Infinity}}]}]}'
    told = ask(start(serve(lambda n, b: (200, {}, places))), scoring((5,), (7, 8))).logprobs
    assert told is not None and math.isnan(told[0]) and told[1] == -math.inf


def test_who_can_score_is_known_beforehand(policy_dir: Path) -> None:
    def why(**options: Any) -> str | None:
        options = {"base_url": "http://here/v1", **options}
        return OpenAIBackend.cannot_score(PolicyConfig(backend="openai", model="org/served", options=options))

    assert why(weights=str(policy_dir)) is None
    assert "endpoint: completions" in str(why(weights=str(policy_dir), endpoint="chat"))
    assert "endpoint: completions" in str(why()), "without a tokenizer there are no tokens to score"
