"""Both decoders against transformers' own forward pass over whole sequences."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from synthflow.backends.transformers import token_sampling
from synthflow.backends.transformers.decoding import AnyDecoder, Decoder, LlamaDecoder, open_decoder
from synthflow.backends.transformers.kv_cache import probe
from synthflow.backends.transformers.llama import LlamaForward
from synthflow.backends.transformers.packed import PackedLinear, pack
from synthflow.backends.transformers.prefill import prefill
from synthflow.backends.transformers.prefixes import SHARERS
from synthflow.backends.transformers.token_sampling import Knobs, draw

VOCABULARY, SIZE, CONTEXT, BUDGET = 344, 48, 256, 2.0**30
DECODERS = {
    "any": lambda model: AnyDecoder(model, probe(model, 0, "cpu"), BUDGET, SIZE, CONTEXT, "cpu"),
    "llama": lambda model: LlamaDecoder(model, LlamaForward(model), probe(model, 0, "cpu"), BUDGET, SIZE),
}


def load(directory: Path, dtype: torch.dtype = torch.float64) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(directory, dtype=dtype).eval()


@pytest.fixture(autouse=True)
def _inference() -> Any:
    with torch.inference_mode():
        yield


class Rows:
    """Live rows as the tests know them: every token that each has seen."""

    def __init__(self, decoder: Decoder, model: Any, dice: random.Random) -> None:
        self._decoder, self._model, self._dice = decoder, model, dice
        self.tokens: list[list[int]] = []

    def enter(self, prompts: Sequence[tuple[int, ...]]) -> None:
        self._decoder.enter(prompts, [60] * len(prompts))
        self.tokens += [list(p) for p in prompts]

    def step(self) -> float:
        """The largest difference from the model's own logits, of some rows; every row then gets a random token."""
        last = torch.tensor([t[-1] for t in self.tokens])
        position = torch.tensor([len(t) - 1 for t in self.tokens])
        found, worst = self._decoder.step(last, position), 0.0
        for row in self._dice.sample(range(len(self.tokens)), min(4, len(self.tokens))):
            expected = self._model(torch.tensor([self.tokens[row]])).logits[0, -1]
            worst = max(worst, float((found[row] - expected).abs().max()))
        for seen in self.tokens:
            seen.append(self._dice.randrange(VOCABULARY))
        return worst

    def leave(self, ended: Sequence[int]) -> None:
        order = self._decoder.leave(ended)
        assert sorted(order) == [i for i in range(len(self.tokens)) if i not in ended]
        self.tokens = [self.tokens[i] for i in order]


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("kv_heads", [1, 2])
def test_rows_that_come_and_go_get_the_models_own_logits(
    tmp_path: Path, make_policy: Callable[..., Path], name: str, kv_heads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from synthflow.backends.transformers import cohorts, shared_attention

    monkeypatch.setattr(cohorts, "GRAIN", 4)
    monkeypatch.setattr(shared_attention, "CACHED_BYTES", 6000)
    monkeypatch.setattr(shared_attention, "GRID", 2000)
    model, dice = load(make_policy(tmp_path, seed=5, kv_heads=kv_heads)), random.Random(kv_heads)
    rows = Rows(DECODERS[name](model), model, dice)
    text = [dice.randrange(VOCABULARY) for _ in range(90)]
    prompts = [tuple(text[:n]) for n in (1, 2, 3, 17, 30, 31, 90)] + [(7,), (*text[:20], 9), (9, 9, 9)]
    for _ in range(8):
        fresh = dice.choices(prompts, k=min(SIZE - len(rows.tokens), dice.choice([1, 3, 9])))
        if fresh:
            rows.enter(fresh)
        for _ in range(dice.randrange(3)):
            assert rows.step() < 1e-5
        rows.leave(sorted(dice.sample(range(len(rows.tokens)), dice.randrange(len(rows.tokens) // 2 + 1))))
    rows.leave(list(range(len(rows.tokens))))
    rows.enter([prompts[3]] * (SHARERS + 3))  # more than share one slot
    rows.leave(list(range(0, SHARERS, 2)))
    assert rows.step() < 1e-5 and len(rows.tokens) == SHARERS + 3 - SHARERS // 2


def test_prompts_that_begin_alike_are_computed_once(policy_dir: Path) -> None:
    model, passes = load(policy_dir), []
    model.register_forward_pre_hook(lambda _, __, kwargs: passes.append(kwargs["input_ids"].shape), with_kwargs=True)
    stems = [(5, 6), (5, 6, 7, 8), (5,), (6, 6, 6), (), (5, 6)]
    found = {f.stem: f.cache.layers[1].keys[f.row, :, f.columns] for f in prefill(model, stems, "cpu")}
    assert passes == [(2, 4)] and set(found) == set(stems) - {()}
    torch.testing.assert_close(found[5, 6, 7, 8][:, :2], found[5, 6])


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "mistral"])
def test_models_of_llamas_kind_are_known(kind: str) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        kind, vocab_size=90, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, max_position_embeddings=64, initializer_range=0.2, sliding_window=None,
    )  # fmt: skip
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    assert isinstance(open_decoder(model, BUDGET, 4, 64, "cpu"), LlamaDecoder)
    assert isinstance(model.lm_head, PackedLinear)


def test_a_model_that_computes_otherwise_is_run_by_transformers(policy_dir: Path) -> None:
    model = load(policy_dir)
    assert isinstance(open_decoder(model, BUDGET, 4, 64, "cpu"), LlamaDecoder)
    model.model.layers[0].register_forward_hook(lambda _, __, out: out * 1.1)
    assert isinstance(open_decoder(model, BUDGET, 4, 64, "cpu"), AnyDecoder)
    other = load(policy_dir).to(torch.bfloat16)
    assert isinstance(open_decoder(other, BUDGET, 4, 64, "cpu"), AnyDecoder)


def test_packed_weights_compute_the_same_and_are_held_once(policy_dir: Path) -> None:
    plain, packed = load(policy_dir, torch.float32), load(policy_dir, torch.float32)
    pack(packed)
    kinds = [type(m) for m in packed.modules()]
    assert kinds.count(PackedLinear) == 15 and torch.nn.Linear not in kinds
    assert len(list(packed.parameters())) == 6  # the embedding and five norms
    ids = torch.randint(0, VOCABULARY, (3, 50), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(packed(ids).logits, plain(ids).logits, atol=1e-4, rtol=1e-4)
    exact = load(policy_dir)
    pack(exact)
    assert not any(isinstance(m, PackedLinear) for m in exact.modules())


def test_a_few_rows_at_a_time_draw_what_all_draw_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    n = 30
    logits = 3 * torch.randn(n, 200, generator=torch.Generator().manual_seed(2))
    uniforms = torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    knobs = Knobs(torch.linspace(0, 1.5, n), torch.linspace(0.3, 1, n), torch.arange(n))
    whole = draw(logits, knobs, uniforms, plain=False, truncated=True)
    monkeypatch.setattr(token_sampling, "AT_ONCE", 1000)
    for a, b in zip(whole, draw(logits, knobs, uniforms, plain=False, truncated=True), strict=True):
        assert torch.equal(a, b)


def test_freed_memory_stays_in_the_process() -> None:
    script = """
import resource, threading
from synthflow.backends.transformers.allocator import keep_memory
import torch
def faults(n=20):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(n):
        torch.ones(1 << 20)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / n
def both():
    print(faults())
    keep_memory()
    faults()
    print(faults())
thread = threading.Thread(target=both)
thread.start()
thread.join()
"""
    environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}  # as a Dask worker has it
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    before, after = map(float, done.stdout.split())
    assert before > 900 and after < 50  # a block of 4 MiB has 1,024 pages
