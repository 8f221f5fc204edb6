"""Given tokens under the transformers backend: the numbers that sampling them gave, and transformers' own."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import torch

from synthflow.backends import open_backend
from synthflow.backends.admission import Admitted
from synthflow.backends.transformers import scoring as reading
from synthflow.backends.transformers.scoring import Scoring, take
from synthflow.contracts import Backend, PolicyConfig, SampleRequest, SampleResult, SamplingParams
from synthflow.errors import EngineFailed, InfrastructureError


def sampling(seed: int, prompt: tuple[int, ...], **params: Any) -> SampleRequest:
    return SampleRequest(f"r_{seed}", "p_1", (), prompt, SamplingParams(**params), seed)


def scoring(prompt: tuple[int, ...], tokens: tuple[int, ...], top: int = 0) -> SampleRequest:
    made = SampleRequest("l_1", "p_1", (), prompt, SamplingParams(max_tokens=1), 0)
    return SampleRequest(*(getattr(made, f) for f in made.__slots__[:6]), score=tokens, entropy_top=top)


def start(model: Path, **options: Any) -> Backend:
    backend = open_backend(PolicyConfig(backend="transformers", model=str(model), options=options))
    backend.start()
    return backend


@pytest.fixture(scope="module")
def backend(policy_dir: Path) -> Iterator[Backend]:
    opened = start(policy_dir, batch_size=16, dtype="float64")
    yield opened
    opened.close()


def run(backend: Backend, requests: list[SampleRequest]) -> list[SampleResult]:
    return [f.result(120) for f in backend.submit_many(requests)]


def rollouts(backend: Backend, n: int = 12) -> list[tuple[SampleRequest, SampleResult]]:
    asked = [sampling(i, tuple(range(5, 8 + 3 * i)), max_tokens=10 + 9 * i) for i in range(n)]
    return list(zip(asked, run(backend, asked), strict=True))


def test_scores_of_sampled_tokens_are_those_of_their_sampling(backend: Backend) -> None:
    sampled = rollouts(backend)
    asked = [scoring(a.prompt_token_ids or (), r.token_ids or ()) for a, r in sampled]
    for (request, result), told in zip(sampled, run(backend, asked), strict=True):
        assert result.logprobs and told.logprobs
        assert told.logprobs == pytest.approx(result.logprobs, abs=1e-5)
        assert told.entropies is None and told.entropies_exact is None
        assert (told.text, told.token_ids, told.n_tokens, told.finish_reason) == ("", None, 0, "stop")
        assert told.prompt_tokens == len(request.prompt_token_ids or ()) + result.n_tokens


def test_entropies_are_of_the_whole_distribution(backend: Backend, policy_dir: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(policy_dir, dtype=torch.float64).eval()
    asked = [scoring(tuple(range(5, 9 + i)), tuple(range(30, 40 + 5 * i)), top=20) for i in range(5)]
    for request, told in zip(asked, run(backend, asked), strict=True):
        prompt, tokens = request.prompt_token_ids or (), request.score or ()
        with torch.inference_mode():
            log_p = model(torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        assert told.entropies_exact is True
        assert told.entropies == pytest.approx((-(log_p.exp() * log_p).sum(-1)).tolist(), abs=1e-5)
        assert told.logprobs == pytest.approx(log_p.gather(-1, torch.tensor(tokens)[:, None])[:, 0].tolist(), abs=1e-5)
        assert all(0 < h < math.log(344) for h in told.entropies or ())


@pytest.mark.parametrize("logits", [1, 344 * 7, 344 * 40])
def test_a_pass_in_runs_of_columns_says_the_same(
    backend: Backend, policy_dir: Path, logits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [scoring(tuple(range(5, 7 + 9 * i)), tuple(range(40, 60 + 11 * i)), top=1) for i in range(6)]
    whole = run(backend, asked)
    monkeypatch.setattr(reading, "LOGITS", logits)
    for one, other in zip(whole, run(backend, asked), strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)
        assert one.entropies == pytest.approx(other.entropies, abs=1e-5)


def test_passes_take_what_fits_in_order() -> None:
    asked = [scoring((5,) * n, (6,) * n) for n in (1000, 1000, 3000, 10, 10, 10)]
    queue = deque(Scoring(Admitted(a, a.prompt_token_ids or (), 0), Future()) for a in asked)
    sizes = []
    while queue:
        sizes.append([r.length for r in take(queue, 2)])
    assert sizes == [[2000, 2000], [6000], [20, 20], [20]], "at most 4,096 padded tokens, and one row always"


def test_what_cannot_be_read_is_refused(backend: Backend) -> None:
    none, long, strange, negative = run(
        backend,
        [scoring((5,), ()), scoring((5,) * 200, (6,) * 57), scoring((5,), (6, 344)), scoring((5, -1), (6,))],
    )
    assert none.reason == "nothing to score: no tokens"
    assert long.reason == "too long to score: 257 tokens, the model holds 256"
    assert strange.reason == "token 344 is to be scored, the model knows 344 tokens"
    assert negative.reason == "token -1 is to be scored, the model knows 344 tokens"
    assert {r.finish_reason for r in (none, long, strange, negative)} == {"refused"}
    [full] = run(backend, [scoring((5,) * 200, (6,) * 56)])
    assert len(full.logprobs or ()) == 56, "a rollout that fills the context is read to its last token"


def test_readings_beside_sampling_change_neither(backend: Backend) -> None:
    alone = [r for _, r in rollouts(backend)]
    asked = [sampling(i, tuple(range(5, 8 + 3 * i)), max_tokens=10 + 9 * i) for i in range(12)]
    read = [scoring((5, 6), tuple(range(40, 60 + i))) for i in range(40)]
    mixed = [each for pair in zip(asked, read, strict=False) for each in pair] + read[12:]
    found = run(backend, mixed)
    assert [r.token_ids for r in found[:24:2]] == [r.token_ids for r in alone]
    assert all(r.logprobs and r.text == "" for r in found[1:24:2] + found[24:])


def test_a_model_that_gives_no_numbers_is_read_without_a_crash(
    tmp_path: Path, make_policy: Callable[..., Path]
) -> None:
    from safetensors.torch import load_file, save_file

    directory = make_policy(tmp_path / "sick", seed=5)
    weights = load_file(directory / "model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, directory / "model.safetensors", {"format": "pt"})
    backend = start(directory, batch_size=4)
    [told] = run(backend, [scoring((5, 6), (7, 8), top=1)])
    assert told.finish_reason == "stop" and told.logprobs is not None and told.entropies is not None
    assert all(math.isnan(x) for x in (*told.logprobs, *told.entropies))
    backend.close()


def test_a_pass_that_fails_costs_its_own_readings(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("synthflow.backends.transformers.batch.read", fail)
    sampled, lost = backend.submit_many([sampling(1, (5, 6), max_tokens=60), scoring((5,), (6,))])
    assert isinstance(lost.exception(60), EngineFailed)
    assert sampled.result(60).n_tokens > 0
    monkeypatch.undo()
    assert run(backend, [scoring((5,), (6,))])[0].logprobs


def test_closing_owes_what_is_not_read(policy_dir: Path) -> None:
    backend = start(policy_dir, batch_size=2)
    futures = backend.submit_many([scoring((5,) * 100, (6,) * 150) for _ in range(200)])
    backend.close()
    outcomes = {type(f.exception(60)) for f in futures}
    assert InfrastructureError in outcomes and outcomes <= {InfrastructureError, type(None)}
