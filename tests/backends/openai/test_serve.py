"""The openai backend with servers of its own: options, and requests in flight when a server dies (a fake server)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from support import fake_server
from synthflow.backends import open_backend
from synthflow.backends.openai import serve, supervised
from synthflow.backends.openai.backend import OpenAIBackend
from synthflow.backends.vllm.arguments import flags
from synthflow.contracts import PolicyConfig, SampleRequest, SamplingParams
from synthflow.errors import EngineFailed, Mistakes

FAKE = Path(fake_server.__file__)


def policy(**options: Any) -> PolicyConfig:
    return PolicyConfig(backend="openai", model="tiny", options=options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "give either base_url"),
        ({"base_url": "http://h/v1", "serve": {}}, "not both"),
        ({"serve": {"args": {"--api-key": "x"}}}, "api_key_env says it"),
        ({"serve": {"servers": 3, "port": 65534}}, "it must be lower"),
        ({"serve": {"resarts": 3}}, "Extra inputs"),
    ],
)
def test_mistakes_in_options(options: dict[str, Any], words: str) -> None:
    with pytest.raises(Mistakes, match=words):
        open_backend(policy(**options))


def test_where_a_policy_runs_is_not_who_it_is(policy_dir: Path) -> None:
    served = open_backend(policy(weights=str(policy_dir), serve={"dtype": "float32", "args": {"seed": 3}}))
    assert served.identity() == open_backend(policy(weights=str(policy_dir), base_url="http://h/v1")).identity()


def test_arguments_as_the_command_line_takes_them() -> None:
    given = {"enable_x": True, "--enable-y": False, "z": {"a": 1}, "many": [1, 2], "none": None, "n": 5}
    line = ["--enable-x", "--no-enable-y", "--z", '{"a": 1}', "--many", "1", "2", "--n", "5"]
    assert flags(given) == line


def test_a_request_in_flight_falls_with_its_server_and_the_next_one_waits(
    policy_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "COMMAND", (sys.executable, str(FAKE)))
    monkeypatch.setattr(supervised, "BACKOFF_S", 0.05)
    options = {"env": {"FAKE_POISON": "7"}, "restarts": 1}
    backend = open_backend(policy(weights=str(policy_dir), serve=options))
    assert isinstance(backend, OpenAIBackend)
    backend.logs = tmp_path
    backend.start()

    def ask(seed: int, max_tokens: int = 9) -> Any:
        return backend.submit(SampleRequest(f"r_{seed}", "p", (), (5, 6), SamplingParams(max_tokens=max_tokens), seed))

    assert ask(1).result(30).n_tokens == 2
    deadly = ask(7)
    with pytest.raises(EngineFailed, match=r"(?s)server-0 was killed by SIGKILL.*what a request"):
        deadly.result(30)
    assert ask(2).result(30).n_tokens == 2 and backend.alive()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["server-0.1.log", "server-0.2.log"]
    backend.close()
