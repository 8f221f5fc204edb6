"""The openai backend against vLLM's real server with the tiny policy."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from synthflow.backends import load_renderer, open_backend
from synthflow.backends.openai.backend import OpenAIBackend
from synthflow.contracts import PolicyConfig, SampleRequest, SamplingParams

if importlib.util.find_spec("vllm") is None and os.environ.get("CI") != "true":
    pytest.skip("vLLM is not installed", allow_module_level=True)

pytestmark = [pytest.mark.vllm, pytest.mark.extended, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def serving(policy_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAIBackend]:
    """A backend that runs the server itself."""
    serve = {"dtype": "float32", "kv_cache_gb": 0.25, "ready_s": 400}
    options = {"serve": serve, "weights": str(policy_dir), "max_concurrency": 8}
    backend = open_backend(PolicyConfig(backend="openai", model="tiny", options=options))
    assert isinstance(backend, OpenAIBackend)
    backend.logs = tmp_path_factory.mktemp("logs")
    backend.start()
    yield backend
    backend.close()
    assert [path.name for path in backend.logs.iterdir()] == ["server-0.1.log"]


def test_tokens_logprobs_and_text_of_a_real_server(serving: OpenAIBackend, policy_dir: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    backend, renderer = serving, load_renderer(serving.policy)
    assert renderer is not None
    prompt = tuple(renderer.render([("user", "Tom has 12 apples")]))
    kinds = [{"temperature": 1.0}, {"temperature": 0.6, "top_p": 0.9, "top_k": 30}]
    requests = [
        SampleRequest(f"r_{i}", "p", (), prompt, SamplingParams(max_tokens=60, **kinds[i % 2]), i) for i in range(24)
    ]
    results = [f.result(300) for f in backend.submit_many(requests)]
    model = AutoModelForCausalLM.from_pretrained(policy_dir, dtype=torch.float32).eval()
    for result in results:
        assert result.token_ids and result.logprobs and result.n_tokens == len(result.token_ids)
        with torch.inference_mode():
            logits = model(torch.tensor([prompt + result.token_ids])).logits[0, len(prompt) - 1 : -1]
        expected = logits.log_softmax(-1).gather(-1, torch.tensor(result.token_ids)[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(result.logprobs), expected, atol=2e-3, rtol=1e-3)
        assert result.text == renderer.decode(result.token_ids) and result.prompt_tokens == len(prompt)
        assert (result.token_ids[-1] == 2) == (result.finish_reason == "stop")
    assert len({r.token_ids for r in results}) == 24
    again = backend.submit(requests[0]).result(300)
    assert again.token_ids is not None and results[0].token_ids is not None
    assert again.token_ids[:5] == results[0].token_ids[:5], "the seed decides"


def test_chat_and_a_refusal_of_a_real_server(serving: OpenAIBackend) -> None:
    assert serving._servers is not None
    options = {"base_url": serving._servers.urls, "endpoint": "chat", "server": "vllm", "max_concurrency": 4}
    backend = open_backend(PolicyConfig(backend="openai", model="tiny", options=options))
    backend.start()
    message = (("user", "Tom has 12 apples"),)
    fine = backend.submit(SampleRequest("r", "p", message, None, SamplingParams(max_tokens=20), 3)).result(120)
    assert fine.finish_reason in ("stop", "length") and fine.token_ids and fine.logprobs
    assert len(fine.token_ids) == len(fine.logprobs) == fine.n_tokens <= 20
    long = (("user", "apples " * 400),)
    refused = backend.submit(SampleRequest("r", "p", long, None, SamplingParams(max_tokens=20), 3)).result(120)
    assert refused.finish_reason == "refused" and "400" in (refused.reason or "")
    backend.close()
