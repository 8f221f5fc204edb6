"""The transformers backend against transformers itself."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from synthflow.backends import open_backend
from synthflow.backends.renderer import PolicyRenderer
from synthflow.contracts import Backend, PolicyConfig, SampleRequest, SampleResult, SamplingParams
from synthflow.errors import InfrastructureError, UserError


def request(
    seed: int, prompt: tuple[int, ...] | None = (5, 6, 7), messages: tuple[tuple[str, str], ...] = (), **params: Any
) -> SampleRequest:
    return SampleRequest(f"r_{seed}", "p_1", messages, prompt, SamplingParams(**params), seed)


def start(model: Path, **options: Any) -> Backend:
    backend = open_backend(PolicyConfig(backend="transformers", model=str(model), options=options))
    backend.start()
    return backend


@pytest.fixture(scope="module")
def backend(policy_dir: Path) -> Iterator[Backend]:
    opened = start(policy_dir, batch_size=16, dtype="float64")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def model(policy_dir: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(policy_dir, dtype=torch.float64).eval()


def run(backend: Backend, requests: list[SampleRequest]) -> list[SampleResult]:
    return [f.result(120) for f in backend.submit_many(requests)]


def content(result: SampleResult) -> tuple[Any, ...]:
    return result.text, result.token_ids, result.finish_reason, result.n_tokens


def test_logprobs_are_those_of_a_fresh_forward_pass(backend: Backend, model: Any) -> None:
    requests = [request(i, prompt=tuple(range(5, 9 + 7 * i)), max_tokens=20 + 5 * i) for i in range(8)]
    requests += [request(90 + i, prompt=(7,), max_tokens=9, temperature=0.6, top_p=0.8, top_k=20) for i in range(3)]
    for asked, result in zip(requests, run(backend, requests), strict=True):
        assert result.token_ids and result.logprobs and asked.prompt_token_ids
        whole = torch.tensor([asked.prompt_token_ids + result.token_ids])
        with torch.inference_mode():
            logits = model(whole).logits[0, len(asked.prompt_token_ids) - 1 : -1]
        expected = logits.log_softmax(-1).gather(-1, torch.tensor(result.token_ids)[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(result.logprobs).double(), expected, atol=1e-5, rtol=1e-5)
        assert len(result.logprobs) == result.n_tokens == len(result.token_ids)
        if asked.params.temperature == 1:
            assert result.sampling_logprobs is None
        else:
            assert result.sampling_logprobs is not None and len(result.sampling_logprobs) == result.n_tokens


@pytest.mark.parametrize("kv_heads", [1, 2])
def test_greedy_is_transformers_generate(tmp_path: Path, make_policy: Callable[..., Path], kv_heads: int) -> None:
    from transformers import AutoModelForCausalLM

    directory = make_policy(tmp_path / "p", seed=3, kv_heads=kv_heads)
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float64).eval()
    backend = start(directory, batch_size=3, dtype="float64")
    requests = [request(i, prompt=tuple(range(9 + i, 14 + 4 * i)), max_tokens=40, temperature=0) for i in range(7)]
    for asked, result in zip(requests, run(backend, requests), strict=True):
        whole = model.generate(torch.tensor([asked.prompt_token_ids]), max_new_tokens=40, do_sample=False)
        assert list(result.token_ids or ()) == whole[0, len(asked.prompt_token_ids or ()) :].tolist()
        assert set(result.sampling_logprobs or ()) == {0.0}
    backend.close()


def test_first_tokens_follow_the_softmax(backend: Backend, model: Any) -> None:
    n, prompt = 3000, (6, 40, 41, 42)
    results = run(backend, [request(i, prompt=prompt, max_tokens=1) for i in range(n)])
    counts = Counter(r.token_ids[0] for r in results if r.token_ids)
    with torch.inference_mode():
        p = model(torch.tensor([prompt])).logits[0, -1].softmax(-1).tolist()
    often = [t for t, x in enumerate(p) if n * x >= 8]
    rest = 1 - sum(p[t] for t in often)
    cells = [(counts[t], n * p[t]) for t in often] + [(n - sum(counts[t] for t in often), n * rest)]
    chi2, freedom = sum((o - e) ** 2 / e for o, e in cells), len(cells) - 1
    # Wilson and Hilferty 1931: the cube root of chi2/freedom is nearly normal.
    z = ((chi2 / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / math.sqrt(2 / (9 * freedom))
    assert freedom > 20 and z < 3.3


def test_a_request_alone_and_in_any_batch_gives_the_same(backend: Backend, policy_dir: Path) -> None:
    requests = [
        request(i, prompt=tuple(range(5, 7 + i % 11)), max_tokens=5 + 9 * (i % 7), temperature=[1.0, 0.8][i % 2])
        for i in range(40)
    ]
    together = [content(r) for r in run(backend, requests)]
    assert [content(r) for r in run(backend, requests[::-1])][::-1] == together
    assert [content(run(backend, [r])[0]) for r in requests[:6]] == together[:6]
    small = start(policy_dir, batch_size=3, dtype="float64", kv_cache_gb=0.0006)
    assert [content(r) for r in run(small, requests)] == together
    small.close()


def test_the_stop_token_ends_and_is_kept(backend: Backend, policy_dir: Path) -> None:
    renderer = PolicyRenderer.load(policy_dir)
    results = run(backend, [request(i, prompt=(5, 6), max_tokens=200) for i in range(60)])
    stopped = [r for r in results if r.finish_reason == "stop"]
    assert stopped and any(r.finish_reason == "length" for r in results)
    for r in results:
        assert r.token_ids is not None and r.text == renderer.decode(r.token_ids)
        assert (r.token_ids[-1] == 2) == (r.finish_reason == "stop") and 2 not in r.token_ids[:-1]


def test_stop_texts_cut_text_and_tokens(backend: Backend, policy_dir: Path) -> None:
    renderer = PolicyRenderer.load(policy_dir)
    free = run(backend, [request(i, max_tokens=60) for i in range(30)])
    cut = run(backend, [request(i, max_tokens=60, stop=("a", "1", "zzz")) for i in range(30)])
    for whole, part in zip(free, cut, strict=True):
        at = min((whole.text.find(s) for s in ("a", "1") if s in whole.text), default=None)
        assert part.text == whole.text[:at]
        assert whole.token_ids is not None and part.token_ids is not None
        assert part.token_ids == whole.token_ids[: len(part.token_ids)]
        assert len(part.token_ids) == len(part.logprobs or ()) == part.n_tokens
        assert renderer.decode(part.token_ids).startswith(part.text)
        assert part.finish_reason == ("stop" if at is not None else whole.finish_reason)
    assert any(p.text != w.text for p, w in zip(cut, free, strict=True))


def test_what_does_not_fit_is_refused_or_clamped(backend: Backend) -> None:
    whole = backend.submit(request(0, prompt=tuple([9] * 256))).result(10)
    assert (whole.finish_reason, whole.text, whole.token_ids) == ("refused", "", None)
    assert whole.reason == "prompt too long: 256 tokens, the model holds 256"
    assert backend.submit(request(0, prompt=())).result(10).finish_reason == "refused"
    strange = backend.submit(request(0, prompt=(5, 99_999))).result(10)
    assert strange.reason is not None and "token 99999" in strange.reason
    [tight] = run(backend, [request(4, prompt=tuple([9] * 250), max_tokens=100, temperature=0)])
    assert tight.n_tokens <= 6 and tight.finish_reason in ("length", "stop")


def test_messages_are_rendered_where_no_tokens_are_given(backend: Backend, policy_dir: Path) -> None:
    rendered = tuple(PolicyRenderer.load(policy_dir).render([("user", "Tom has 12")]))
    a, b = run(backend, [request(5, prompt=None, messages=(("user", "Tom has 12"),)), request(5, prompt=rendered)])
    assert content(a) == content(b) and a.prompt_tokens == len(rendered)


def test_many_threads_submit_at_once(backend: Backend) -> None:
    found: dict[int, SampleResult] = {}

    def work(k: int) -> None:
        for i in range(k, 48, 6):
            found[i] = backend.submit(request(i, max_tokens=12)).result(60)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [content(found[i]) for i in range(48)] == [
        content(r) for r in run(backend, [request(i, max_tokens=12) for i in range(48)])
    ]
    assert all(found[i].rollout_id == f"r_{i}" for i in found)


def test_a_failure_costs_what_was_in_flight_and_nothing_else(policy_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from synthflow.backends.transformers.batch import Batch

    backend, step, fail = start(policy_dir, batch_size=4), Batch.step, threading.Event()

    def broken(self: Batch) -> int:
        if fail.is_set():
            fail.clear()
            raise RuntimeError("out of luck")
        return step(self)

    monkeypatch.setattr(Batch, "step", broken)
    [before] = run(backend, [request(1, max_tokens=8)])
    fail.set()
    with pytest.raises(InfrastructureError, match="out of luck"):
        backend.submit(request(1, max_tokens=8)).result(30)
    assert content(run(backend, [request(1, max_tokens=8)])[0]) == content(before)
    backend.close()
    with pytest.raises(InfrastructureError, match="not started"):
        backend.submit(request(1))
    backend.close()


def test_closing_owes_what_is_unfinished(policy_dir: Path) -> None:
    backend = start(policy_dir, batch_size=2)
    futures = backend.submit_many([request(i, max_tokens=250) for i in range(40)])
    backend.close()
    outcomes = Counter(type(f.exception(10)) for f in futures)
    assert outcomes[InfrastructureError] > 0 and set(outcomes) <= {InfrastructureError, type(None)}


def test_a_model_that_is_not_there_or_slides_is_a_user_s_mistake(policy_dir: Path, tmp_path: Path) -> None:
    import json
    import shutil

    with pytest.raises(UserError, match="no such directory"):
        start(tmp_path / "none")
    slides = Path(shutil.copytree(policy_dir, tmp_path / "slides"))
    config = json.loads((slides / "config.json").read_text()) | {"model_type": "mistral", "sliding_window": 64}
    (slides / "config.json").write_text(json.dumps(config | {"architectures": ["MistralForCausalLM"]}))
    with pytest.raises(UserError, match="max_context: 64"):
        start(slides)
    fits = start(slides, max_context=64, batch_size=2)
    assert run(fits, [request(1, max_tokens=500)])[0].n_tokens <= 64
    fits.close()
    (slides / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(InfrastructureError, match="cannot load"):
        start(slides, max_context=64)


def test_engines_by_default_fill_the_cores_and_no_more(policy_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    from synthflow.backends.transformers import backend as transformers

    def engines(**options: Any) -> int:
        return open_backend(
            PolicyConfig(backend="transformers", model=str(policy_dir), options=options)
        ).default_engines()

    monkeypatch.setattr(transformers.os, "sched_getaffinity", lambda _: set(range(6)))
    memory = psutil.virtual_memory()._replace(available=2**40)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    assert (engines(device="cpu"), engines(device="cpu", threads=4), engines(device="cpu", threads=9)) == (6, 1, 1)
    assert engines(device="cuda") == 1
    scarce = memory._replace(available=3 * 2**30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: scarce)
    assert engines(device="cpu") == 2
