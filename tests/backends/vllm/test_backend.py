"""The vLLM backend on its CPU build: against transformers, under death and under kill -9."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from synthflow.backends import open_backend
from synthflow.backends.renderer import PolicyRenderer
from synthflow.contracts import Backend, PolicyConfig, SampleRequest, SampleResult, SamplingParams
from synthflow.errors import EngineFailed, UserError

if importlib.util.find_spec("vllm") is None and os.environ.get("CI") != "true":
    pytest.skip("vLLM is not installed", allow_module_level=True)

pytestmark = [pytest.mark.vllm, pytest.mark.extended, pytest.mark.slow, pytest.mark.timeout(900)]
OPTIONS = {"dtype": "float32", "kv_cache_gb": 0.25, "max_num_seqs": 16}


def request(seed: int, prompt: tuple[int, ...] | None = (5, 6, 7), **params: Any) -> SampleRequest:
    return SampleRequest(f"r_{seed}", "p_1", (("user", "Tom has 12"),), prompt, SamplingParams(**params), seed)


def run(backend: Backend, requests: list[SampleRequest]) -> list[SampleResult]:
    return [f.result(300) for f in backend.submit_many(requests)]


@pytest.fixture(scope="module")
def backend(policy_dir: Path) -> Iterator[Backend]:
    opened = open_backend(PolicyConfig(backend="vllm", model=str(policy_dir), options=OPTIONS))
    opened.start()
    yield opened
    opened.close()


def test_a_worker_that_may_have_no_children_is_told_apart(policy_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_backend(PolicyConfig(backend="vllm", model=str(policy_dir), options=OPTIONS))
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="DASK_DISTRIBUTED__WORKER__DAEMON=False"):
        opened.start()


def test_raw_logprobs_are_those_of_transformers(backend: Backend, policy_dir: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(policy_dir, dtype=torch.float32).eval()
    requests = [request(i, prompt=tuple(range(5, 9 + 7 * i)), max_tokens=30) for i in range(5)]
    requests += [request(50 + i, max_tokens=20, temperature=0.5, top_p=0.7, top_k=9) for i in range(4)]
    for asked, result in zip(requests, run(backend, requests), strict=True):
        assert result.token_ids and result.logprobs and asked.prompt_token_ids
        with torch.inference_mode():
            logits = model(torch.tensor([asked.prompt_token_ids + result.token_ids])).logits[0]
        logits = logits[len(asked.prompt_token_ids) - 1 : -1]
        expected = logits.log_softmax(-1).gather(-1, torch.tensor(result.token_ids)[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(result.logprobs), expected, atol=2e-3, rtol=1e-3)
        assert len(result.logprobs) == len(result.token_ids) == result.n_tokens


def test_scores_of_sampled_tokens_are_those_of_their_sampling(backend: Backend, policy_dir: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(policy_dir, dtype=torch.float32).eval()
    asked = [request(i, prompt=tuple(range(5, 6 + 7 * i)), max_tokens=30) for i in range(1, 6)]
    sampled = run(backend, asked)
    read = [
        replace(a, rollout_id=f"l_{i}", score=r.token_ids, entropy_top=20)
        for i, (a, r) in enumerate(zip(asked, sampled, strict=True))
    ]
    for scored, result, told in zip(read, sampled, run(backend, read), strict=True):
        prompt, tokens = scored.prompt_token_ids or (), scored.score or ()
        assert told.logprobs == pytest.approx(result.logprobs, abs=1e-2)
        assert (told.n_tokens, told.token_ids, told.prompt_tokens) == (0, None, len(prompt) + len(tokens))
        with torch.inference_mode():
            log_p = model(torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        entropies = (-(log_p.exp() * log_p).sum(-1)).tolist()
        assert told.entropies is not None and told.entropies_exact is False
        assert all(0 < bound <= whole + 1e-3 for bound, whole in zip(told.entropies, entropies, strict=True))
    [plain] = run(backend, [replace(read[0], entropy_top=0)])
    assert plain.logprobs == pytest.approx(sampled[0].logprobs, abs=1e-2) and plain.entropies is None
    full, over = run(backend, [replace(read[0], score=(9,) * n) for n in (247, 248)])
    assert len(full.logprobs or ()) == 247 and over.finish_reason == "refused", "vLLM wants room for one more token"


def test_seeds_decide_and_the_stop_token_is_kept(backend: Backend, policy_dir: Path) -> None:
    renderer = PolicyRenderer.load(policy_dir)
    requests = [request(i, max_tokens=120) for i in range(40)]
    first, again = run(backend, requests), run(backend, requests[::-1])[::-1]
    same = sum(a.token_ids == b.token_ids for a, b in zip(first, again, strict=True))
    assert same >= 30, "rounding may part a few, a seed may not be ignored"
    assert len({r.token_ids for r in first}) == 40
    assert {r.finish_reason for r in first} == {"stop", "length"}
    for r in first:
        assert r.token_ids is not None and r.text == renderer.decode(r.token_ids)
        assert (r.token_ids[-1] == 2) == (r.finish_reason == "stop") and 2 not in r.token_ids[:-1]


def test_stop_texts_and_greedy(backend: Backend) -> None:
    free = run(backend, [request(i, max_tokens=60) for i in range(8)])
    cut = run(backend, [request(i, max_tokens=60, stop=("a", "1")) for i in range(8)])
    assert any(part.text != whole.text for whole, part in zip(free, cut, strict=True))
    for part in cut:
        assert "a" not in part.text and "1" not in part.text
        assert part.token_ids is not None and len(part.token_ids) == part.n_tokens == len(part.logprobs or ())
    a, b = run(backend, [request(1, max_tokens=9, temperature=0), request(2, max_tokens=9, temperature=0)])
    assert a.token_ids == b.token_ids


def test_what_does_not_fit_is_refused_or_clamped(backend: Backend, policy_dir: Path) -> None:
    refused = backend.submit(request(0, prompt=tuple([9] * 256))).result(10)
    assert refused.reason == "prompt too long: 256 tokens, the model holds 256"
    tight, rendered = run(backend, [request(4, prompt=tuple([9] * 250), max_tokens=99), request(5, None, max_tokens=3)])
    assert tight.n_tokens <= 6
    assert rendered.prompt_tokens == len(PolicyRenderer.load(policy_dir).render([("user", "Tom has 12")]))


def test_a_dead_engine_owes_everything(backend: Backend) -> None:
    """Last of those that share the engine: it kills it."""
    futures = backend.submit_many([request(i, max_tokens=250, prompt=(9, i % 300)) for i in range(400)])
    for child in psutil.Process().children(recursive=True):
        if "EngineCore" in child.name() or "Worker" in child.name() or "spawn_main" in " ".join(child.cmdline()):
            child.kill()
    outcomes = {type(f.exception(120)) for f in futures}
    assert EngineFailed in outcomes and outcomes <= {EngineFailed, type(None)}
    assert not backend.alive()
    with pytest.raises(EngineFailed):
        backend.submit(request(1)).result(60)
    backend.close()
    backend.close()


CHILD = """
import sys, time
from synthflow.backends import open_backend
from synthflow.contracts import PolicyConfig
if __name__ == "__main__":
    backend = open_backend(PolicyConfig(backend="vllm", model=sys.argv[1], options={"kv_cache_gb": 0.25}))
    backend.start()
    print("ready", flush=True)
    time.sleep(600)
"""


def test_the_engine_does_not_outlive_a_killed_parent(policy_dir: Path, tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    with subprocess.Popen([sys.executable, str(script), str(policy_dir)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        children = psutil.Process(parent.pid).children(recursive=True)
        assert children
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and any(c.is_running() and c.status() != "zombie" for c in children):
            time.sleep(0.2)
    left = [c.cmdline() for c in children if c.is_running() and c.status() != "zombie"]
    assert not left
